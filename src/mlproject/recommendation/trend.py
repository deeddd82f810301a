"""Whether peak gold rises with the size of the reward model, and whether that can be said at all.

Axis letters: C curves or policy runs, P prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mlproject.laws.intervals import Interval
from mlproject.recommendation.doubt import SeedSpread, estimate
from mlproject.recommendation.setting import Setting

MIN_SIZES = 3


class Direction(StrEnum):
    RISES = "rises"
    FALLS = "falls"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class SizeTrend:
    """Peak gold against log10 of the reward model's parameters.

    Attributes:
        method: whose peaks these are.
        slope: gold per tenfold parameters, standard deviations.
        interval: its 95 % interval over prompts, and over seeds where their spread is known.
        sizes: number of sizes.
    """

    method: str
    slope: float
    interval: Interval
    sizes: int

    @property
    def direction(self) -> Direction:
        """Where the whole interval lies; unclear where it contains 0."""
        if self.interval[0] > 0:
            return Direction.RISES
        return Direction.FALLS if self.interval[1] < 0 else Direction.UNCLEAR


def size_trend(settings: Sequence[Setting], spread: SeedSpread) -> SizeTrend | None:
    """Slope of peak gold over log10 of size, by least squares over the settings of one method.

    The slope is a weighted sum of the settings' peaks, so that its error over prompts is that of the same sum prompt by
    prompt: what the sizes share cancels.

    Args:
        settings: of one method, one for each size.
        spread: of peak gold between seeds.

    Returns:
        None with fewer than three known sizes, or fewer than two prompts.
    """
    settings = [setting for setting in settings if setting.rm_params > 0]
    sizes = {setting.rm_params for setting in settings}
    if len(sizes) < MIN_SIZES or len(settings[0].peak_gold_P) < 2:
        return None
    x_C = np.log10([setting.rm_params for setting in settings])
    weight_C = (x_C - x_C.mean()) / np.square(x_C - x_C.mean()).sum()
    slope_P = weight_C @ np.stack([setting.peak_gold_P for setting in settings])
    prompts = len(slope_P)
    prompt_variance = float(slope_P.var(ddof=1)) / prompts
    pairs = list(zip(weight_C, settings, strict=True))
    seed_variance = float(sum(w**2 * spread.sd**2 / s.seeds for w, s in pairs))
    choice_variance = float(sum(w**2 * s.choice_variance for w, s in pairs))
    slope = estimate(float(slope_P.mean()), prompt_variance, prompts, seed_variance, spread, choice_variance)
    return SizeTrend(settings[0].method, slope.value, (slope.low, slope.high), len(sizes))
