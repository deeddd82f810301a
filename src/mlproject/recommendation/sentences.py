"""The recommendation in words: the same sentences on the console, in the report, on cards and on the search page."""

from __future__ import annotations

from mlproject.estimators import best_of_n_kl_bound
from mlproject.optimization import find_method
from mlproject.recommendation.recommend import Evaluated, Recommendation
from mlproject.recommendation.setting import Setting
from mlproject.recommendation.stop import Progress, Stop
from mlproject.recommendation.trend import Direction, SizeTrend
from mlproject.recommendation.words import distance, interval_text, nats

FURTHER_N = 4
"""Where gold of best-of-n still rises at the largest n, the next run goes to this multiple of it."""

MAX_NAMED = 6
"""Ties that a sentence names; the rest is counted."""


def lines_of(recommendation: Recommendation) -> list[str]:
    """All sentences, the answer first."""
    return [*answer(recommendation), *rest(recommendation)]


def rest(recommendation: Recommendation) -> list[str]:
    """What is said below the answer: trends over size, and settings in which nothing is gained."""
    trends = [trend_sentence(trend, tied_sizes(recommendation, trend.method) > 1) for trend in recommendation.trends]
    return [*trends, *exceptions(recommendation)]


def tied_sizes(recommendation: Recommendation, method: str) -> int:
    """Number of sizes, by one method, among the choice and what cannot be told from it."""
    equal = [recommendation.choice, *recommendation.ties] if recommendation.choice else []
    return len({each.setting.rm_params for each in equal if each and each.setting.method == method})


def answer(recommendation: Recommendation) -> list[str]:
    """Which reward model, by which method, how far; what cannot be told from it; what going on costs."""
    choice = recommendation.choice
    if choice is None:
        return ["No recommendation: in no setting does gold rise above the initial policy's by more than noise."]
    return [
        f"Use {setting_text(choice.setting)}, and {stop_text(choice)}.",
        gold_sentence(choice),
        *ties_sentence(recommendation),
        further(choice),
        look_again(choice),
    ]


def setting_text(setting: Setting) -> str:
    """`the 25k reward model with PPO, KL coefficient 0.02`; `DPO, beta 0.1` for a method without a reward model."""
    method = find_method(setting.method)
    coefficient = f", {method.coefficient_label} {setting.kl_coef:g}" if setting.kl_coef else ""
    if not method.needs_proxy:
        _, comma, others = setting.rm.partition(",")
        return f"{method.label}{comma}{others}{coefficient}"
    return f"the {setting.rm} reward model with {method.label}{coefficient}"


def stop_text(evaluated: Evaluated) -> str:
    """`stop at 8.1 nats (n = 64)`, with the window of KL that is as good; how far at least, without a peak."""
    method, stop = evaluated.setting.method, evaluated.stop
    if stop.progress is Progress.NOT_REACHED:
        return f"do not stop before {distance(method, stop.advised_kl, stop.advised_step)}, where the run ended"
    window = window_text(method, stop)
    return f"stop at {distance(method, stop.advised_kl, stop.advised_step)}" + (
        f"; {window} are as good, within noise" if window else ""
    )


def window_text(method: str, stop: Stop) -> str:
    """`5.2 to 12 nats`, with n for best-of-n: the KL range whose gold cannot be told from the highest; empty for one
    point."""
    low, high = stop.kl_window
    if high <= low:
        return ""
    step_of_kl = find_method(method).step_of_kl
    steps = f" (n = {step_of_kl(low)} to {step_of_kl(high)})" if step_of_kl else ""
    return f"{nats(low)} to {nats(high)} nats{steps}"


def gold_sentence(evaluated: Evaluated) -> str:
    """What gold to expect, and over what the interval is."""
    stop, noise = evaluated.stop, "prompts only, since no setting has two seeds"
    if stop.seeds_known or evaluated.setting.rm_is_given:
        noise = "prompts and seeds" if stop.seeds_known else "prompts"
    return (
        f"Expected gold of a run that stops there: {stop.gold:.2f} {interval_text(stop.gold_interval)} standard "
        f"deviations above the initial policy (95 %, over {noise})."
    )


def ties_sentence(recommendation: Recommendation) -> list[str]:
    """Which settings cannot be told from the choice, and how much lower they are; empty where there is none."""
    choice = recommendation.choice
    if choice is None or not recommendation.ties:
        return []
    named = [f"{setting_text(tie.setting)} ({tie.stop.gold:.2f})" for tie in recommendation.ties[:MAX_NAMED]]
    more = len(recommendation.ties) - len(named)
    listed = ", ".join(named) + (f" and {more} more" if more else "")
    smallest = min([choice, *recommendation.ties], key=lambda each: each.setting.rm_params).setting
    is_cheaper = smallest.rm_params < choice.setting.rm_params and find_method(smallest.method).needs_proxy
    cheaper = f" The smallest of them is {smallest.rm}." if is_cheaper else ""
    gap = max(choice.stop.gold - tie.stop.gold for tie in recommendation.ties)
    lower = f"; measured up to {gap:.2f} lower, which is within the noise" if gap >= 0.005 else ""
    return [f"The same peak gold, as far as can be told, is reached by {listed}{lower}.{cheaper}"]


def further(evaluated: Evaluated) -> str:
    """What going on costs; or that the peak is still ahead."""
    method, stop = evaluated.setting.method, evaluated.stop
    end = distance(method, stop.end_kl, stop.end_step)
    if stop.progress is Progress.NOT_REACHED:
        return f"The peak was not reached: at {end}, where the run ended, gold cannot be told from its highest value."
    return (
        f"Going on to {end} costs {stop.drop:.2f} {interval_text(stop.drop_interval)} of gold, while the proxy score "
        f"changes by {stop.proxy_rise:+.2f}."
    )


def look_again(evaluated: Evaluated) -> str:
    """When to measure gold again."""
    method, stop = evaluated.setting.method, evaluated.stop
    if stop.progress is Progress.NOT_REACHED:
        farther = further_distance(method, stop)
        if evaluated.setting.rm_is_given:  # the samples that somebody has drawn hold no more
            return f"Draw more responses to each prompt, up to about {farther}, and compare again before you decide."
        return f"Optimize further, to about {farther}, and measure gold again before you decide."
    return "Measure gold again when reward model, policy or prompts change, and at the stop of every new run."


def further_distance(method: str, stop: Stop) -> str:
    """How far the next run should go: twice the KL, or four times the n of best-of-n."""
    if find_method(method).step_of_kl:
        n = FURTHER_N * stop.end_step
        return f"n = {n} ({nats(float(best_of_n_kl_bound(n)))} nats)"
    return distance(method, 2 * stop.end_kl)


def trend_sentence(trend: SizeTrend, with_ties: bool = False) -> str:
    """Whether a larger reward model helps.

    Args:
        trend: over all sizes.
        with_ties: whether some sizes cannot be told apart, which is no contradiction and said so.
    """
    title, slope = find_method(trend.method).title, f"{trend.slope:+.2f} {interval_text(trend.interval)}"
    if trend.direction is Direction.UNCLEAR:
        return f"{title}: whether peak gold changes with reward-model size is unclear ({slope} per tenfold parameters)."
    all_sizes = " over all sizes together, which says more than any pair of them" if with_ties else ""
    return f"{title}: peak gold {trend.direction} with reward-model size, by {slope} per tenfold parameters{all_sizes}."


def exceptions(recommendation: Recommendation) -> list[str]:
    """Settings in which nothing is gained, and those that have hardly moved: a line for each kind and method."""
    lines = []
    for progress, words in (
        (Progress.NO_GAIN, "gold rises nowhere by more than noise, so nothing speaks for optimizing against"),
        (Progress.NOT_MOVED, "the policy has hardly moved, so nothing can be said of"),
    ):
        for method in dict.fromkeys(each.setting.method for each in recommendation.evaluated):
            of_kind = [
                e for e in recommendation.evaluated if e.setting.method == method and e.stop.progress is progress
            ]
            if of_kind:
                names = ", ".join(dict.fromkeys(each.setting.rm for each in of_kind))
                farthest = max((each.stop for each in of_kind), key=lambda stop: stop.end_kl)
                end = distance(method, farthest.end_kl, farthest.end_step)
                lines.append(f"{find_method(method).title}: {words} {names} (measured up to {end}).")
    return lines
