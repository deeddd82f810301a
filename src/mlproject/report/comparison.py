"""Reward models of a table of scored samples, compared: pairs, gamma, and accuracy where gold is right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mlproject.curve import Curve, mean_and_se
from mlproject.laws import MIN_D, decompose, law_for
from mlproject.laws.intervals import Z_975, Estimate, wilson_interval
from mlproject.names import Metric
from mlproject.optimization import find_method
from mlproject.recommendation.pairs import Pair, pair_sentence, pairs_of_rms
from mlproject.recommendation.recommend import Evaluated, Recommendation
from mlproject.recommendation.words import interval_text, nats
from mlproject.report.recommended import recommendation_of
from mlproject.report.records import PolicyRunRecord, Report

RESAMPLES = 500
MAX_NAMED = 6
"""Pairs that the console names; the report has all."""


_COIN = 0.5


@dataclass(frozen=True)
class ComparedRM:
    """One reward model of a table.

    Attributes:
        evaluated: its curve, and where to stop.
        wins: win rate against the initial policy there, by gold, with its interval over prompts; None where it was
            not measured.
        gamma: see `mlproject.laws.gamma`; nan where the law cannot be fitted.
        pairs_right: share of pairs of responses that it orders as gold does, with Wilson's interval.
        accuracy: share of prompts whose best response by its score is right, of all responses there are, with Wilson's
            interval; None unless gold is right or wrong.
    """

    evaluated: Evaluated
    wins: Estimate | None
    gamma: Estimate
    pairs_right: Estimate
    accuracy: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """The reward models of a table; empty for a study of another kind.

    Attributes:
        rms: the best first.
        pairs: each with each; those of the best first.
        chance: share of right responses among all, where gold is right or wrong.
    """

    rms: Sequence[ComparedRM] = ()
    pairs: Sequence[Pair] = ()
    chance: float | None = None


@lru_cache(maxsize=1)
def comparison_of(report: Report) -> Comparison:
    """Compare the reward models of a study of a table."""
    if not report.samples:
        return Comparison()
    recommendation, runs = recommendation_of(report), {run.rm_size: run for run in report.policy_runs}
    ordered = sorted(recommendation.evaluated, key=lambda each: -each.stop.gold)
    right_or_wrong = report.samples["gold_is_right_or_wrong"]
    return Comparison(
        [_compared(each, runs[each.setting.rm], report.samples["prompts"]) for each in ordered],
        pairs_of_rms([each.setting for each in ordered]),
        report.samples["gold_mean"] if right_or_wrong else None,
    )


def lines_of_comparison(comparison: Comparison, recommendation: Recommendation) -> list[str]:
    """What the comparison adds to a recommendation, in sentences: pairs with the best, then each reward model."""
    best = recommendation.choice or (comparison.rms[0].evaluated if comparison.rms else None)
    pairs = [pair for pair in comparison.pairs if best and best.setting.rm in (pair.better, pair.worse)]
    lines = [pair_sentence(pair) for pair in pairs[:MAX_NAMED]]
    if len(pairs) > MAX_NAMED:
        lines.append(f"{len(pairs) - MAX_NAMED} further reward models are compared in the report.")
    return [*lines, *(_rm_sentence(each, comparison.chance) for each in comparison.rms)]


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Plain data for `recommendation.json`; gold in standard deviations."""
    return {
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "rms_compared": [
            {
                "rm": each.evaluated.setting.rm,
                "win_rate": None if each.wins is None else list(each.wins),
                "gamma": list(each.gamma),
                "pairs_right": list(each.pairs_right),
                "accuracy": None if each.accuracy is None else list(each.accuracy),
            }
            for each in comparison.rms
        ],
        "chance": comparison.chance,
    }


def _compared(evaluated: Evaluated, run: PolicyRunRecord, prompts: int) -> ComparedRM:
    form = law_for(find_method(run.method))
    try:
        gamma = decompose(form, run.curve, RESAMPLES, np.random.default_rng(0), MIN_D[form.name]).gamma
    except ValueError:  # too few points
        gamma = Estimate(float("nan"), float("nan"), float("nan"))
    right, pairs = run.metrics.get(Metric.RM_VAL_ACCURACY, float("nan")), int(run.metrics[Metric.RM_PAIRS])
    accuracy = run.metrics.get(Metric.BEST_OF_K_ACCURACY)
    return ComparedRM(
        evaluated,
        _wins(run.curve, evaluated.stop.step),
        gamma,
        Estimate(right, *wilson_interval(right, pairs)),
        None if accuracy is None else Estimate(accuracy, *wilson_interval(accuracy, prompts)),
    )


def _wins(curve: Curve, step: int) -> Estimate | None:
    """Win rate at a step."""
    if curve.win_SP is None:  # measured before 0.2
        return None
    wins, se = mean_and_se(curve.win_SP[curve.steps_S.tolist().index(step)])
    return Estimate(wins, wins - Z_975 * se, wins + Z_975 * se)


def _rm_sentence(compared: ComparedRM, chance: float | None) -> str:
    stop, wins = compared.evaluated.stop, compared.wins
    against = f", where it wins {_percent(wins)} against the initial policy" if wins else ""
    text = (
        f"{compared.evaluated.setting.rm}: highest gold {_gold(stop.gold)} {interval_text(stop.gold_interval)} at "
        f"{nats(stop.kl)} nats (n = {stop.step}){against}, {_gold(stop.gold - stop.drop)} at n = {stop.end_step}; "
        f"gamma {compared.gamma}; orders {_percent(compared.pairs_right)} of pairs as gold does"
    )
    if compared.accuracy is not None:
        text += f"; its best response is right for {_percent(compared.accuracy)} of prompts (by chance {chance:.1%})"
    if compared.pairs_right.high < _COIN:
        return text + ", worse than a coin: does a higher score mean a worse response?"
    return text + "."


def _gold(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # without the sign of a negative 0


def _percent(share: Estimate) -> str:
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
