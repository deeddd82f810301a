"""Where gold is forecast to peak in a run, as options of its method may ask for it: as KL, and as proxy score.

Axis letters: S curve points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.curve import CurvePoint
from mlproject.laws import Prediction


@dataclass
class PeakForecast:
    """The forecast after the last curve point; nan as long as nothing is known.

    It depends on the points so far and on nothing else, so that a run that is resumed finds it again.

    Attributes:
        kl: median of the KL at which gold peaks, nats.
        proxy: proxy score above the initial policy's at that KL, between two points of the curve; nan while the curve
            has not come so far. Gold standard deviations.
    """

    kl: float = math.nan
    proxy: float = math.nan

    def update(self, points: Sequence[CurvePoint], prediction: Prediction) -> None:
        """Take in the forecast after the last of the points of a run."""
        self.kl = prediction.peak_kl
        self.proxy = proxy_at(points, self.kl)


def proxy_at(points: Sequence[CurvePoint], kl: float) -> float:
    """Proxy score of a curve at a KL (nats), linear in sqrt(KL) between points; nan beyond the farthest of them."""
    order = sorted(points, key=lambda point: point.kl)
    if not order or not order[0].kl <= kl <= order[-1].kl:
        return math.nan
    d_S = np.array([point.sqrt_kl for point in order])
    return float(np.interp(math.sqrt(max(kl, 0.0)), d_S, [point.proxy for point in order]))
