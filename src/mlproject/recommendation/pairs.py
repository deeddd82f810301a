"""Reward models against each other, on the same prompts: which is better, by how much, and how many prompts would tell.

Axis letters: C curves or policy runs, P prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.laws.intervals import Interval
from mlproject.recommendation.doubt import differences
from mlproject.recommendation.setting import Setting

_Z_80 = 0.8416212336
"""The 80 % quantile of the normal distribution: the power that `prompts_needed` is for."""

MOST_PROMPTS = 10**6
"""Beyond so many prompts, a number of them is not given."""


@dataclass(frozen=True)
class Pair:
    """Two reward models, each optimized as far as is best for it.

    Attributes:
        better, worse: their names, by measured peak gold.
        difference: peak gold of the first less that of the second, standard deviations, paired over prompts.
        interval: its 95 % interval; those of all pairs hold together.
        is_told: whether the difference is more than noise.
        prompts: number of prompts that it was measured on.
        prompts_needed: number of prompts on which a difference of the measured size would be told in 80 % of cases;
            None where it is 0, or more than a million are needed.
        smallest_told: the smallest difference that would be told in 80 % of cases on the prompts there are.
    """

    better: str
    worse: str
    difference: float
    interval: Interval
    is_told: bool
    prompts: int
    prompts_needed: int | None
    smallest_told: float


def pairs_of_rms(settings: Sequence[Setting]) -> list[Pair]:
    """Compare the reward models of several settings, each with each.

    Args:
        settings: one for each reward model, all on the same prompts, two at least.

    Returns:
        pairs by measured peak gold: the best against all others, then the second, ...
    """
    if len(settings) < 2:
        return []
    ordered = sorted(settings, key=lambda setting: -float(setting.peak_gold_P.mean()))
    scores_CP = np.stack([setting.peak_gold_P for setting in ordered])
    prompts = scores_CP.shape[1]
    all_pairs = differences(scores_CP, np.array([setting.choice_variance for setting in ordered]))
    pairs = []
    for i, better in enumerate(ordered):
        for j, worse in enumerate(ordered[i + 1 :], i + 1):
            value, margin = float(all_pairs.difference_CC[i, j]), float(all_pairs.margin_CC[i, j])
            told = margin + _Z_80 * float(all_pairs.se_CC[i, j])
            pairs.append(
                Pair(
                    better.rm,
                    worse.rm,
                    value,
                    (value - margin, value + margin),
                    bool(all_pairs.better_CC[i, j]),
                    prompts,
                    _needed(prompts, told, value),
                    told,
                )
            )
    return pairs


def pair_sentence(pair: Pair) -> str:
    """What can be said of two reward models."""
    low, high = pair.interval
    measured = f"{pair.difference:.2f} [{low:.2f}, {high:.2f}]"
    if pair.is_told:
        return f"{pair.better} is better than {pair.worse}: its peak gold is higher by {measured}."
    if pair.smallest_told == 0:
        return f"{pair.better} and {pair.worse} choose responses of the same gold."
    needed = f"about {pair.prompts_needed:,} prompts" if pair.prompts_needed else f"more than {MOST_PROMPTS:,} prompts"
    return (
        f"{pair.better} and {pair.worse} cannot be told apart on {pair.prompts:,} prompts: their peak gold differs by "
        f"{measured}. To tell a difference of that size one would need {needed}; these tell {pair.smallest_told:.2g} "
        "(in 80 % of cases)."
    )


def _needed(prompts: int, told: float, difference: float) -> int | None:
    """Prompts on which a difference would be told; the standard error falls with the root of their number."""
    if difference <= 0:
        return None
    needed = prompts * (told / difference) ** 2
    return math.ceil(needed) if needed <= MOST_PROMPTS else None
