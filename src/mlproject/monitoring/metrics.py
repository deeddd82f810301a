"""The metrics of a curve point, of a forecast and of a whole curve, by the names that dashboards rely on."""

from __future__ import annotations

from collections.abc import Mapping

from mlproject.curve import Curve, CurvePoint
from mlproject.laws import MIN_D, Fit, Form, Prediction, fit_form, law_for
from mlproject.names import Metric, MetricPrefix
from mlproject.optimization import find_method


def point_metrics(point: CurvePoint, method: str) -> dict[str, float]:
    """Metrics of one curve point.

    Args:
        point: the point.
        method: prefix of the point's diagnostics (`ppo/clip_fraction`).

    Returns:
        `curve/*`, `signs/*` and the diagnostics; nan where nothing plays gold.
    """
    metrics = {
        Metric.CURVE_KL: point.kl,
        Metric.CURVE_SQRT_KL: point.sqrt_kl,
        Metric.CURVE_PROXY: point.proxy,
        Metric.CURVE_PROXY_SE: point.proxy_se,
        Metric.CURVE_GOLD: point.gold,
        Metric.CURVE_GOLD_SE: point.gold_se,
    }
    if point.human is not None:
        metrics[Metric.CURVE_HUMAN] = point.human
    if point.win_rate is not None and point.win_rate_se is not None:
        metrics |= {Metric.CURVE_WIN_RATE: point.win_rate, Metric.CURVE_WIN_RATE_SE: point.win_rate_se}
    metrics |= {f"{MetricPrefix.STATISTICS}{name}": value for name, value in point.statistics.items()}
    return metrics | {f"{method}/{name}": value for name, value in point.diagnostics.items()}


def forecast_metrics(prediction: Prediction) -> dict[str, float]:
    """Metrics `forecast/*`; nan for what cannot be predicted yet (runs leave nan out)."""
    low_kl, high_kl = prediction.peak_kl_interval
    low_gold, high_gold = prediction.peak_gold_interval
    return {
        Metric.FORECAST_PEAK_KL: prediction.peak_kl,
        Metric.FORECAST_PEAK_KL_LOW: low_kl,
        Metric.FORECAST_PEAK_KL_HIGH: high_kl,
        Metric.FORECAST_PEAK_GOLD: prediction.peak_gold,
        Metric.FORECAST_PEAK_GOLD_LOW: low_gold,
        Metric.FORECAST_PEAK_GOLD_HIGH: high_gold,
        Metric.FORECAST_P_PAST_PEAK: prediction.p_past_peak,
        Metric.FORECAST_LOSES_BEYOND_KL: prediction.loses_beyond_kl,
        Metric.FORECAST_P_FIT: prediction.p_fit,
        Metric.FORECAST_GOLD_RESPONSES: prediction.gold_responses,
    }


def logged_prediction(metrics: Mapping[str, float], points: int, has_prior: bool) -> Prediction | None:
    """The last forecast that a run logged; None where it logged none.

    Args:
        metrics: the latest values, by name.
        points: number of its curve points.
        has_prior: whether its forecast started from other reward models' curves.
    """
    if Metric.FORECAST_P_PAST_PEAK not in metrics:
        return None
    return Prediction(
        peak_kl=metrics[Metric.FORECAST_PEAK_KL],
        peak_kl_interval=(metrics[Metric.FORECAST_PEAK_KL_LOW], metrics[Metric.FORECAST_PEAK_KL_HIGH]),
        peak_gold=metrics[Metric.FORECAST_PEAK_GOLD],
        peak_gold_interval=(metrics[Metric.FORECAST_PEAK_GOLD_LOW], metrics[Metric.FORECAST_PEAK_GOLD_HIGH]),
        p_past_peak=metrics[Metric.FORECAST_P_PAST_PEAK],
        loses_beyond_kl=metrics[Metric.FORECAST_LOSES_BEYOND_KL],
        gold_responses=int(metrics[Metric.FORECAST_GOLD_RESPONSES]),
        points=points,
        has_prior=has_prior,
        p_fit=metrics.get(Metric.FORECAST_P_FIT, float("nan")),  # since 0.2
    )


def summaries(curve: Curve, method: str) -> dict[str, float]:
    """Metrics `peak/*`, `drop/*` and `law/*` of a whole curve; without `law/*` where no law can be fitted to it."""
    peak = curve.peak()
    drop, drop_se = curve.drop_after_peak()
    metrics = {
        Metric.PEAK_GOLD: peak.gold,
        Metric.PEAK_GOLD_SE: peak.gold_se,
        Metric.PEAK_KL: peak.kl,
        Metric.PEAK_STEP: peak.step,
        Metric.DROP_GOLD: drop,
        Metric.DROP_GOLD_SE: drop_se,
    }
    if curve.win_S is not None:
        metrics[Metric.PEAK_WIN_RATE] = float(curve.win_S[curve.gold_S.argmax()])
    form = law_for(find_method(method))
    try:
        law = fit_form(form, curve.sqrt_kl_S, curve.gold_S, min_d=MIN_D[form.name])
    except ValueError:  # too few points away from the origin
        return metrics
    return metrics | law_metrics(law) | win_law_metrics(curve, form)


def win_law_metrics(curve: Curve, form: Form) -> dict[str, float]:
    """Metrics `law/win_*`: the same form fitted to the win rate above one half; none for a curve without win rates."""
    if curve.win_S is None:
        return {}
    law = fit_form(form, curve.sqrt_kl_S, curve.win_S - 0.5, min_d=MIN_D[form.name])
    peak_kl, peak = law.peak()
    return {
        Metric.LAW_WIN_ALPHA: law.alpha,
        Metric.LAW_WIN_BETA: law.beta,
        Metric.LAW_WIN_RMSE: law.rmse,
        Metric.LAW_WIN_PEAK_KL: peak_kl,
        Metric.LAW_WIN_PEAK: peak + 0.5,
    }


def law_metrics(law: Fit) -> dict[str, float]:
    """Metrics `law/*` of a fitted law."""
    peak_kl, peak_gold = law.peak()
    return {
        Metric.LAW_ALPHA: law.alpha,
        Metric.LAW_BETA: law.beta,
        Metric.LAW_RMSE: law.rmse,
        Metric.LAW_R2: law.r2,
        Metric.LAW_PEAK_KL: peak_kl,
        Metric.LAW_PEAK_GOLD: peak_gold,
    }
