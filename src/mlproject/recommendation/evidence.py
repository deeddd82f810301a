"""What speaks for the recommendation, figure by figure, and why the figures differ where they do.

The measured peak comes first. Law, forecast, search and audit are other ways to look at the same question; each is said
with its doubt, and where its interval does not meet the measured one, the reason is said too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlproject.laws.forecast import Prediction, forecast_of
from mlproject.laws.forms import law_for
from mlproject.laws.intervals import Estimate, Interval
from mlproject.laws.weighted import LawPeak, quoted_peak
from mlproject.optimization import find_method
from mlproject.recommendation.recommend import Evaluated, Recommendation
from mlproject.recommendation.sentences import setting_text, window_text
from mlproject.recommendation.stop import Progress, Stop
from mlproject.recommendation.words import distance, forecast_text, interval_text, kl_estimate

_COUNTS = "the measured peak counts"

WIDER = "it allows for a misfit about a wider family than the law, which these points do fit (p = {:.2f})"
"""Why a forecast may be quoted beside a law that does not fit."""


@dataclass(frozen=True)
class Figure:
    """One figure that speaks for or against the recommendation.

    Attributes:
        name: `measured peak`, `law`, `forecast`, `search` or `audit`.
        text: the figure with its interval, as it is said.
        agrees: whether it says the same as the measured peak, within its doubt; None where it says nothing.
        reason: why it differs, or says nothing; empty where it agrees.
        values: the numbers, by name.
    """

    name: str
    text: str
    agrees: bool | None
    reason: str = ""
    values: Mapping[str, object] | None = None

    def sentence(self) -> str:
        """The figure and, where there is one, the reason, as a line of text."""
        name = self.name[0].upper() + self.name[1:]
        return f"{name}: {self.text}{f'; {self.reason}' if self.reason else ''}."


def evidence_of(recommendation: Recommendation, audits: Mapping[str, Estimate] | None = None) -> list[Figure]:
    """The evidence on a recommendation; empty where nothing is recommended.

    Args:
        recommendation: what it speaks for.
        audits: gold on the audit prompts at the peak, by policy run.
    """
    if recommendation.choice is None:
        return []
    return [*evidence_on(recommendation.choice, audits), *_search(recommendation)]


def evidence_on(
    evaluated: Evaluated,
    audits: Mapping[str, Estimate] | None = None,
    forecasts: Mapping[int, Prediction] | None = None,
) -> list[Figure]:
    """The evidence on one setting: measured peak, law, forecast after the last point of every seed, and audits.

    Args:
        evaluated: the setting and its stop.
        audits: gold on the audit prompts at the peak, by policy run.
        forecasts: by seed, as the runs logged them; by default from the points and a weak prior.
    """
    setting, stop, audits = evaluated.setting, evaluated.stop, audits or {}
    law = quoted_peak(law_for(find_method(setting.method)), setting.curve)
    forecasts = forecasts or {
        seed: forecast_of(find_method(setting.method), list(curve)) for seed, curve in setting.curves.items()
    }
    figures = [_measured(setting.method, stop), _law(setting.method, stop, law)]
    figures += [_forecast(setting.method, stop, law, forecasts[seed], seed) for seed in forecasts]
    figures += [_audit(stop, audits[run_id], seed) for seed, run_id in setting.run_ids.items() if run_id in audits]
    return figures


def _measured(method: str, stop: Stop) -> Figure:
    window, seeds = window_text(method, stop), f"{stop.seeds} seed{'s' if stop.seeds > 1 else ''}"
    as_good = f", {window} are as good" if window else ""
    return Figure(
        "measured peak",
        f"gold {stop.gold:.2f} {interval_text(stop.gold_interval)} at {distance(method, stop.kl, stop.step)}{as_good} "
        f"({stop.progress}; {seeds})",
        True,
        values={"gold": stop.gold, "gold_interval": stop.gold_interval, "kl": stop.kl, "kl_window": stop.kl_window},
    )


def _law(method: str, stop: Stop, law: LawPeak) -> Figure:
    values = {"kl": law.kl, "gold": law.gold, "withheld": law.withheld, "lack_of_fit_p": law.p_fit}
    if law.withheld:
        return Figure("law", "its peak is withheld", None, law.withheld, values)
    agrees = _meet(law.kl[1:], stop.kl_window)
    text = f"gold {law.gold.value:.2f} {interval_text(law.gold[1:])} at {kl_estimate(method, law.kl.value, law.kl[1:])}"
    reason = "" if agrees else f"the law goes through all points and may miss the peak for the rest; {_COUNTS}"
    return Figure("law", text, agrees, reason, values)


def _forecast(method: str, stop: Stop, law: LawPeak, prediction: Prediction, seed: int) -> Figure:
    name = f"forecast, seed {seed}" if stop.seeds > 1 else "forecast"
    values = {
        "peak_kl": prediction.peak_kl, "peak_kl_interval": prediction.peak_kl_interval,
        "peak_gold": prediction.peak_gold, "peak_gold_interval": prediction.peak_gold_interval,
        "p_past_peak": prediction.p_past_peak, "loses_beyond_kl": prediction.loses_beyond_kl,
        "prior": prediction.prior, "points": prediction.points, "lack_of_fit_p": prediction.p_fit,
    }  # fmt: skip
    text = forecast_text(method, prediction)
    if not prediction.is_known:
        return Figure(name, text, None, "it needs more points", values)
    if not stop.is_recommended:
        return Figure(name, "withheld", None, "gold rises nowhere above the start by more than noise", values)
    if prediction.withheld:
        return Figure(name, text, None, _COUNTS, values)
    if stop.progress is Progress.NOT_REACHED:
        agrees = prediction.peak_kl_interval[1] > stop.kl_window[0]
        reason = f"it expects the peak where gold was measured to rise still; {_COUNTS}"
    else:
        agrees = _meet(prediction.peak_kl_interval, stop.kl_window)
        reason = f"it follows the points of one run, and takes them for a law with a misfit; {_COUNTS}"
    if agrees:
        reason = "" if law.fits else WIDER.format(prediction.p_fit)
        if stop.progress is Progress.NOT_REACHED and prediction.loses_beyond_kl < stop.end_kl:
            reason = f"where it stops gold is as high as at the end, as far as can be told; {_COUNTS}"
    return Figure(name, text, agrees, reason, values)


def _audit(stop: Stop, audit: Estimate, seed: int) -> Figure:
    agrees = _meet(audit[1:], stop.gold_interval)
    reason = "" if agrees else "these are other prompts, by which nothing was chosen: expect what the audit says"
    text = f"gold {audit.value:.2f} {interval_text(audit[1:])} on the audit prompts at the peak of seed {seed}"
    return Figure("audit", text, agrees, reason, {"gold": audit.value, "gold_interval": audit[1:], "seed": seed})


def _search(recommendation: Recommendation) -> list[Figure]:
    """The highest whole trial that only the search tried."""
    searched = [each for each in recommendation.evaluated if each.setting.from_search]
    choice = recommendation.choice
    if not searched or choice is None:
        return []
    best = max(searched, key=lambda each: each.stop.gold)
    text = (
        f"of {len(searched)} further settings that a search measured whole, the highest is "
        f"{setting_text(best.setting)}, gold {best.stop.gold:.2f} {interval_text(best.stop.gold_interval)}"
    )
    values = {"settings": len(searched), "rm": best.setting.rm, "kl_coef": best.setting.kl_coef, "gold": best.stop.gold}
    if best is choice:
        return [Figure("search", text, True, "", values)]
    if best in recommendation.ties:
        chance = "the highest of several noisy peaks is too high by chance, so a planned setting goes first"
        return [Figure("search", f"{text}, which cannot be told from the recommended one", True, chance, values)]
    return [Figure("search", f"{text}, lower than the recommended one by more than noise", True, "", values)]


def _meet(one: Interval, other: Interval) -> bool:
    """Whether two intervals have a point in common."""
    return one[0] <= other[1] and other[0] <= one[1]
