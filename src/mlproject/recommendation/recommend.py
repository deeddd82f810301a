"""The recommendation: which setting, which others cannot be told from it, and how far to go.

Axis letters: C curves or policy runs, P prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.curve import Array
from mlproject.recommendation.doubt import SeedSpread, better_than
from mlproject.recommendation.setting import Setting, spread_of
from mlproject.recommendation.stop import Stop, stop_of
from mlproject.recommendation.trend import SizeTrend, size_trend


@dataclass(frozen=True)
class Evaluated:
    """A setting and where to stop in it."""

    setting: Setting
    stop: Stop


@dataclass(frozen=True)
class Recommendation:
    """What to do.

    Attributes:
        choice: the recommended setting; None where no setting gains anything over the initial policy.
        ties: settings of the same comparison that cannot be told from the choice, highest measured peak first.
        rms: names of the reward models of choice and ties, for the choice's method, smallest first.
        evaluated: every setting, in the order given.
        trends: peak gold over size, by method.
        spreads: between seeds, by method.
    """

    choice: Evaluated | None
    ties: Sequence[Evaluated]
    evaluated: Sequence[Evaluated]
    trends: Sequence[SizeTrend]
    spreads: dict[str, SeedSpread]

    @property
    def rms(self) -> list[str]:
        if self.choice is None:
            return []
        method = self.choice.setting.method
        equal = {e.setting.rm: e.setting.rm_params for e in [self.choice, *self.ties] if e.setting.method == method}
        return sorted(equal, key=lambda name: (equal[name], name))


def recommend(settings: Sequence[Setting], preferred: str = "") -> Recommendation:
    """Choose a setting.

    A setting is as good as another unless its peak gold is lower by more than noise: paired over prompts, corrected for
    the number of settings. Of those that are as good as any, a planned one goes before one that a search proposed (more
    seeds, no choice of the coefficient), then the preferred reward model, then the highest measured peak.

    Args:
        settings: all on the same prompts.
        preferred: name of a reward model that something else speaks for, such as a promotion by gates on other prompts.
    """
    methods = list(dict.fromkeys(setting.method for setting in settings))
    spreads = {method: spread_of([s for s in settings if s.method == method]) for method in methods}
    evaluated = [Evaluated(setting, stop_of(setting, spreads[setting.method])) for setting in settings]
    trends = [size_trend([s for s in settings if s.method == m and not s.from_search], spreads[m]) for m in methods]
    best = [each for each in evaluated if each.stop.is_recommended]
    best = [best[i] for i in undominated([each.setting for each in best], spreads)]
    best.sort(key=lambda each: (each.setting.from_search, each.setting.rm != preferred, -each.stop.gold))
    return Recommendation(
        choice=best[0] if best else None,
        ties=sorted(best[1:], key=lambda each: -each.stop.gold),
        evaluated=evaluated,
        trends=[trend for trend in trends if trend is not None],
        spreads=spreads,
    )


def undominated(settings: Sequence[Setting], spreads: dict[str, SeedSpread]) -> list[int]:
    """Indices of the settings that no other one is better than."""
    if not settings:
        return []
    scores_CP: Array = np.stack([setting.peak_gold_P for setting in settings])
    variance_C = np.array([spreads[s.method].sd ** 2 / s.seeds + s.choice_variance for s in settings])
    dofs = [spreads[setting.method].dof for setting in settings if spreads[setting.method].known]
    better_CC = better_than(scores_CP, variance_C, min(dofs, default=0))
    return [i for i in range(len(settings)) if not better_CC[:, i].any()]
