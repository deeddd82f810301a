"""A setting: one way to optimize a policy, with the curves that were measured for it.

Axis letters: P prompts, S curve points, W bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mlproject.curve import Array, Curve
from mlproject.recommendation.doubt import SeedSpread

_CHOICES = 200
"""Resamples behind `Setting.choice_variance`."""


@dataclass(frozen=True)
class Setting:
    """A method against the reward models of one size or name.

    Attributes:
        method: name of the method.
        rm: name of the reward model: a size, or a checkpoint's.
        rm_params: its number of parameters; 0 if unknown.
        curves: a curve for each seed; all on the same prompts.
        kl_coef: coefficient of the KL penalty; None for a method without one.
        from_search: whether a search proposed it, rather than the study's plan.
        run_ids: the run of each seed.
        rm_is_given: whether the reward model is one that exists, so that there are no others of it by other seeds.
    """

    method: str
    rm: str
    rm_params: int
    curves: Mapping[int, Curve]
    kl_coef: float | None = None
    from_search: bool = False
    run_ids: Mapping[int, str] = field(default_factory=dict)
    rm_is_given: bool = False

    @cached_property
    def curve(self) -> Curve:
        """The mean over seeds at the steps that all of them have, by KL."""
        return mean_curve(list(self.curves.values()))

    @cached_property
    def peak_gold_P(self) -> Array:
        """Gold per prompt at the peak of each seed's curve, not biased by picking it, mean over seeds. Shape: (P,)."""
        return np.mean([curve.peak_gold_P() for curve in self.curves.values()], axis=0)

    @cached_property
    def choice_variance(self) -> float:
        """Variance of peak gold by the choice of the peak, beyond the noise of the prompts at one point.

        On other prompts another point would have been the highest. The choice is repeated on resampled halves of the
        prompts, as `peak_gold_P` makes it, and the mean gold of the chosen points varies by this much.
        """
        prompts = self.curve.gold_SP.shape[1]
        rng = np.random.default_rng(0)
        counts_WP = rng.multinomial(max(prompts // 2, 1), np.full(prompts, 1 / prompts), _CHOICES)
        chosen = [(curve, (counts_WP @ curve.gold_SP.T).argmax(axis=1)) for curve in self.curves.values()]
        return float(np.mean([curve.gold_S[chosen_W].var() for curve, chosen_W in chosen])) / self.seeds

    @property
    def human(self) -> float | None:
        """Human judgement at the peak of the mean curve, mean over seeds; None in a world without it."""
        step = int(self.curve.steps_S[self.curve.gold_S.argmax()])
        humans = [(curve.human_S, curve.steps_S.tolist().index(step)) for curve in self.curves.values()]
        values = [float(human_S[index]) for human_S, index in humans if human_S is not None]
        return float(np.mean(values)) if len(values) == self.seeds else None

    @property
    def seeds(self) -> int:
        return len(self.curves)


def mean_curve(curves: list[Curve]) -> Curve:
    """The mean of several curves on the same prompts, at the steps that all have, ordered by KL.

    Raises:
        ValueError: if they have no step in common, or different numbers of prompts.
    """
    steps = sorted(set.intersection(*(set(curve.steps_S.tolist()) for curve in curves)))
    if not steps:
        raise ValueError("the curves have no step in common")
    if len({curve.gold_SP.shape[1] for curve in curves}) > 1:
        raise ValueError("the curves were measured on different numbers of prompts")
    rows = [[curve.steps_S.tolist().index(step) for step in steps] for curve in curves]
    kl_S = np.mean([curve.kl_S[row] for curve, row in zip(curves, rows, strict=True)], axis=0)
    order = np.argsort(kl_S, kind="stable")
    return Curve(
        steps_S=np.array(steps)[order],
        kl_S=kl_S[order],
        proxy_SP=np.mean([curve.proxy_SP[row] for curve, row in zip(curves, rows, strict=True)], axis=0)[order],
        gold_SP=np.mean([curve.gold_SP[row] for curve, row in zip(curves, rows, strict=True)], axis=0)[order],
    )


def spread_of(settings: list[Setting]) -> SeedSpread:
    """Spread of peak gold between seeds, pooled over settings."""
    return SeedSpread.pooled([[curve.peak().gold for curve in setting.curves.values()] for setting in settings])
