"""Curve points for runs of which only summaries were logged: mean gold, its standard error and KL at every step.

Laws and forecasts read gold per prompt. Pseudo-prompts stand in for it: scores whose mean, standard error and
correlation between points are those given. They say nothing else; above all nothing about the proxy, whose score is
the same on all of them, so that `agreement` stays silent.

Axis letters: P pseudo-prompts, S curve points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlproject.curve import CurvePoint

CORRELATION = 0.4
"""Of the errors of two points, which share their prompts: the mean over pairs up to 1.5 times peak KL in 45 PPO curves
of two worlds is .37, from .53 for neighbours to .15 for first and last."""


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
    """The points of a logged run, deterministic; a point is the same whatever points follow it.

    Each point's scores are its mean, plus its error times a direction common to all points and one of its own: the
    cosines cos(pi k (p + 1/2) / P), which are orthogonal and of mean 0 (the discrete cosine transform).

    Args:
        steps: of each point, increasing or not.
        kl_S: nats. Shape: (S,).
        gold_S, gold_se_S: mean gold above the initial policy's and its standard error, in the standard deviation of the
            initial policy's gold scores. Shape: (S,).
        proxy_S: mean proxy score, same unit; 0 where it is not known. Shape: (S,).
        correlation: of the errors of any two points, 0 to 1.
        prompts: pseudo-prompts, at least two more than points; as many as gold was measured on, for a true count of
            gold-scored responses.

    Raises:
        ValueError: for lengths that differ, a negative or missing error, a correlation outside 0 to 1, few prompts.
    """
    columns = [kl_S, gold_S, gold_se_S, np.zeros(len(steps)) if proxy_S is None else proxy_S]
    if any(len(column) != len(steps) for column in columns):
        raise ValueError(f"every step needs its KL, gold and error, got {[len(steps), *map(len, columns)]} of them")
    kl, gold, gold_se, proxy = (np.asarray(column, dtype=np.float64) for column in columns)
    if not (np.isfinite([kl, gold, gold_se, proxy]).all() and (gold_se >= 0).all()):
        raise ValueError("KL, gold and its standard error must be finite, and the error not negative")
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation must lie in 0 to 1, got {correlation}")
    if prompts < len(steps) + 2:
        raise ValueError(f"{len(steps)} points need {len(steps) + 2} or more pseudo-prompts, got {prompts}")
    angle_P = np.pi * (np.arange(prompts) + 0.5) / prompts
    common_P = np.sqrt(correlation) * np.cos(angle_P)
    points = []
    for index, step in enumerate(steps):
        own_P = np.sqrt(1 - correlation) * np.cos((index + 2) * angle_P)
        error_P = gold_se[index] * np.sqrt(2 * (prompts - 1)) * (common_P + own_P)
        proxy_P = np.full(prompts, proxy[index])
        points.append(CurvePoint(int(step), float(kl[index]), proxy_P, gold[index] + error_P))
    return points
