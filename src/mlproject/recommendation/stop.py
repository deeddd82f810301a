"""How far to optimize in one setting: where gold peaks, how surely, and what going on costs.

Axis letters: P prompts, S curve points.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import Array, Curve, mean_and_se
from mlproject.laws.intervals import Interval, t_975
from mlproject.recommendation.doubt import SeedSpread, better_than, interval_of_run
from mlproject.recommendation.setting import Setting

MAX_POINTS = 64
"""Points of a curve that are compared, each with each."""


class Progress(StrEnum):
    """What a curve shows of its peak."""

    PEAKED = "peaked"
    """Gold is lower at the end than at its peak, by more than noise."""
    NOT_REACHED = "peak not reached"
    """Gold has risen, and at the end it cannot be told from its highest value."""
    NO_GAIN = "no gain"
    """The policy has moved, or its proxy score has, and no point has more gold than the initial policy."""
    NOT_MOVED = "hardly moved"
    """Neither gold nor proxy score can be told from the initial policy's anywhere."""


@dataclass(frozen=True)
class Stop:
    """Where to stop in one setting.

    Attributes:
        progress: what the curve shows of its peak.
        step: step of the highest gold (n of best-of-n, update of PPO).
        kl: its KL, nats.
        kl_window: the lowest and highest KL, of neighbouring points, whose gold cannot be told from the highest.
        gold: expected gold of one further run that stops there, standard deviations.
        gold_interval: its 95 % interval over prompts, and over seeds where their spread is known.
        seeds: number of seeds.
        seeds_known: whether the spread between seeds is known.
        end_step, end_kl: of the last point.
        drop, drop_interval: gold lost between the peak and the last point, standard deviations, with the 95 % interval
            over prompts.
        proxy_rise: proxy score gained over the same way, standard deviations.
    """

    progress: Progress
    step: int
    kl: float
    kl_window: Interval
    gold: float
    gold_interval: Interval
    seeds: int
    seeds_known: bool
    end_step: int
    end_kl: float
    drop: float
    drop_interval: Interval
    proxy_rise: float

    @property
    def is_recommended(self) -> bool:
        """Whether there is a point at which a policy is better than the initial one."""
        return self.progress in (Progress.PEAKED, Progress.NOT_REACHED)

    @property
    def advised_step(self) -> int:
        """The step that is recommended: of the highest gold, or the last where the peak was not reached."""
        return self.end_step if self.progress is Progress.NOT_REACHED else self.step

    @property
    def advised_kl(self) -> float:
        """Its KL, nats."""
        return self.end_kl if self.progress is Progress.NOT_REACHED else self.kl


def stop_of(setting: Setting, spread: SeedSpread) -> Stop:
    """Decide where to stop in one setting.

    Args:
        setting: with at least one curve.
        spread: of peak gold between seeds, of settings like this one.
    """
    curve = setting.curve.thinned(MAX_POINTS)
    gold_SP, best = curve.gold_SP, int(curve.gold_S.argmax())
    better_SS = better_than(_with_start(gold_SP))
    first, last = _window(better_SS[:-1, :-1], best)
    gold = interval_of_run(setting.peak_gold_P, setting.seeds, spread, setting.choice_variance)
    drop, drop_interval = _paired(setting, gold_SP.shape[1])
    return Stop(
        progress=_progress(curve, better_SS),
        step=int(curve.steps_S[best]),
        kl=float(curve.kl_S[best]),
        kl_window=(float(curve.kl_S[first]), float(curve.kl_S[last])),
        gold=gold.value,
        gold_interval=(gold.low, gold.high),
        seeds=setting.seeds,
        seeds_known=spread.known,
        end_step=int(curve.steps_S[-1]),
        end_kl=float(curve.kl_S[-1]),
        drop=drop,
        drop_interval=drop_interval,
        proxy_rise=float(curve.proxy_S[-1] - curve.proxy_S[best]),
    )


def _with_start(scores_SP: Array) -> Array:
    """The scores with the initial policy's, which are 0, as a last row."""
    return np.vstack([scores_SP, np.zeros(scores_SP.shape[1])])


def _progress(curve: Curve, better_SS: NDArray[np.bool_]) -> Progress:
    """What a curve shows.

    Args:
        curve: ordered by KL.
        better_SS: which point has more gold than which other; the initial policy last. Shape: (S + 1, S + 1).
    """
    if better_SS[:-1, -1].any():
        return Progress.PEAKED if better_SS[:-1, -2].any() else Progress.NOT_REACHED
    proxy_SS = better_than(_with_start(curve.proxy_SP))
    moved = better_SS[-1].any() or proxy_SS[-1].any() or proxy_SS[:, -1].any()
    return Progress.NO_GAIN if moved else Progress.NOT_MOVED


def _window(better_SS: NDArray[np.bool_], best: int) -> tuple[int, int]:
    """First and last of the neighbouring points around the best that no point is better than."""
    lower = np.flatnonzero(better_SS.any(axis=0))
    return int(max(lower[lower < best], default=-1)) + 1, int(min(lower[lower > best], default=len(better_SS))) - 1


def _paired(setting: Setting, prompts: int) -> tuple[float, Interval]:
    """Gold lost from peak to end, paired over prompts."""
    lost, se = mean_and_se(setting.peak_gold_P - setting.curve.gold_SP[-1])
    half = t_975(prompts - 1) * se if prompts > 1 else float("nan")
    return lost, (lost - half, lost + half)
