"""The metrics of a curve point, of a forecast and of a whole curve, by the names that dashboards rely on."""

from __future__ import annotations

from mlproject.curve import Curve, CurvePoint
from mlproject.laws import MIN_D, Prediction, fit, law_for


def point_metrics(point: CurvePoint, method: str) -> dict[str, float]:
    """Metrics of one curve point.

    Args:
        point: the point.
        method: prefix of the point's diagnostics (`ppo/clip_fraction`).

    Returns:
        `curve/*`, `signs/*` and the diagnostics; nan where nothing plays gold.
    """
    metrics = {
        "curve/kl": point.kl,
        "curve/sqrt_kl": point.sqrt_kl,
        "curve/proxy": point.proxy,
        "curve/proxy_se": point.proxy_se,
        "curve/gold": point.gold,
        "curve/gold_se": point.gold_se,
    }
    if point.human is not None:
        metrics["curve/human"] = point.human
    metrics |= {f"signs/{name}": value for name, value in point.statistics.items()}
    return metrics | {f"{method}/{name}": value for name, value in point.diagnostics.items()}


def forecast_metrics(prediction: Prediction) -> dict[str, float]:
    """Metrics `forecast/*`; nan for what cannot be predicted yet (runs leave nan out)."""
    low_kl, high_kl = prediction.peak_kl_interval
    low_gold, high_gold = prediction.peak_gold_interval
    return {
        "forecast/peak_kl": prediction.peak_kl,
        "forecast/peak_kl_low": low_kl,
        "forecast/peak_kl_high": high_kl,
        "forecast/peak_gold": prediction.peak_gold,
        "forecast/peak_gold_low": low_gold,
        "forecast/peak_gold_high": high_gold,
        "forecast/p_past_peak": prediction.p_past_peak,
        "forecast/loses_beyond_kl": prediction.loses_beyond_kl,
        "forecast/gold_responses": prediction.gold_responses,
    }


def summaries(curve: Curve, method: str) -> dict[str, float]:
    """Metrics `peak/*`, `drop/*` and `law/*` of a whole curve; without `law/*` where no law can be fitted to it."""
    peak = curve.peak()
    drop, drop_se = curve.drop_after_peak()
    metrics = {
        "peak/gold": peak.gold,
        "peak/gold_se": peak.gold_se,
        "peak/kl": peak.kl,
        "peak/step": peak.step,
        "drop/gold": drop,
        "drop/gold_se": drop_se,
    }
    form = law_for(method)
    try:
        law = fit(form, curve.sqrt_kl_S, curve.gold_S, min_d=MIN_D[form.name])
    except ValueError:  # too few points away from the origin
        return metrics
    peak_kl, peak_gold = law.peak()
    return metrics | {
        "law/alpha": law.alpha,
        "law/beta": law.beta,
        "law/rmse": law.rmse,
        "law/r2": law.r2,
        "law/peak_kl": peak_kl,
        "law/peak_gold": peak_gold,
    }
