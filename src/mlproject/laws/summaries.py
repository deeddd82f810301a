"""Curve points for runs that logged only summaries: mean gold, its standard error and KL at every step.

Laws and forecasts need gold per prompt. Pseudo-prompts replace it: scores with the logged mean, standard error and a
typical correlation between points. They carry no other information; in particular, the proxy has the same score on all
of them, so that `agreement` is uninformative.

Axis letters: P pseudo-prompts, S curve points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlproject.curve import CurvePoint

CORRELATION = 0.4
"""Correlation of the errors of two points, which share their prompts. The mean over pairs up to 1.5 times peak KL in
45 PPO curves of two worlds is .37, from .53 for neighbours to .15 for the first and last point."""


def points_from_summaries(
    steps: Sequence[int],
    kl_S: Sequence[float],
    gold_S: Sequence[float],
    gold_se_S: Sequence[float],
    proxy_S: Sequence[float] | None = None,
    *,
    correlation: float = CORRELATION,
    prompts: int = 256,
) -> list[CurvePoint]:
    """Curve points of a logged run; deterministic, and a point does not depend on the points after it.

    A point's scores are its mean plus its error times a direction: a mix of one shared by all points and one of its
    own. The directions are the cosines cos(pi k (p + 1/2) / P), which are orthogonal with mean 0 (the discrete cosine
    transform).

    Args:
        steps: step of each point, in any order. Shape: (S,).
        kl_S: nats. Shape: (S,).
        gold_S: mean gold relative to the initial policy's, in standard deviations of the initial policy's gold scores.
            Shape: (S,).
        gold_se_S: its standard error, same unit. Shape: (S,).
        proxy_S: mean proxy score, same unit; 0 if unknown. Shape: (S,).
        correlation: correlation of the errors of any two points, 0 to 1.
        prompts: number of pseudo-prompts, at least two more than points. Use the number of prompts that gold was
            measured on to get a correct count of gold-scored responses.

    Raises:
        ValueError: if lengths differ, an error is negative or missing, the correlation is outside 0 to 1, or there are
            too few prompts.

    Examples:
        >>> from mlproject import points_from_summaries
        >>> points = points_from_summaries([0, 10], kl_S=[0.0, 2.5], gold_S=[0.0, 0.4], gold_se_S=[0.0, 0.05])
        >>> points[1].kl, round(points[1].gold, 6), round(points[1].gold_se, 6)
        (2.5, 0.4, 0.05)
    """
    columns = [kl_S, gold_S, gold_se_S, np.zeros(len(steps)) if proxy_S is None else proxy_S]
    if any(len(column) != len(steps) for column in columns):
        lengths = [len(steps), *map(len, columns)]
        raise ValueError(f"steps, KL, gold, its error and proxy have lengths {lengths}; they must be equal")
    kl, gold, gold_se, proxy = (np.asarray(column, dtype=np.float64) for column in columns)
    if not (np.isfinite([kl, gold, gold_se, proxy]).all() and (gold_se >= 0).all()):
        raise ValueError("KL, gold, its standard error and proxy must be finite, and the error not negative")
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation={correlation}: must be between 0 and 1")
    if prompts < len(steps) + 2:
        raise ValueError(f"prompts={prompts}: must be at least {len(steps) + 2} for {len(steps)} points")
    angle_P = np.pi * (np.arange(prompts) + 0.5) / prompts
    common_P = np.sqrt(correlation) * np.cos(angle_P)
    points = []
    for index, step in enumerate(steps):
        single_P = np.sqrt(1 - correlation) * np.cos((index + 2) * angle_P)
        error_P = gold_se[index] * np.sqrt(2 * (prompts - 1)) * (common_P + single_P)
        proxy_P = np.full(prompts, proxy[index])
        points.append(CurvePoint(int(step), float(kl[index]), proxy_P, gold[index] + error_P))
    return points
