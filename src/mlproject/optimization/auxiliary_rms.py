"""Auxiliary reward models: they score a policy run without being optimized, which says something that needs no gold.

A test RM learned from the other half of the comparisons: where the proxy goes on rising and the test RM does not, the
proxy's gain is its own error (Bai et al. 2022, arXiv 2204.05862, section 4.2). The members of an ensemble are proxies
of other seeds on the same comparisons: where they disagree, they are guessing (Coste et al. 2023, arXiv 2310.02743).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from mlproject.curve import Array
from mlproject.models.scorers import Scorer, rated
from mlproject.names import Statistic, StatisticPrefix
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.resume.resumption import Resumption


def pool_gains(samples: PoolSamples, auxiliary_rms: Mapping[str, Scorer], resumption: Resumption) -> dict[str, Array]:
    """Scores of a pool's samples above the mean of their prompt, for each auxiliary RM, by role. Each (P, N)."""
    gains_PN = {}
    for role, rm in auxiliary_rms.items():
        scores_PN = samples.rate(partial(rated, rm, role=role), resumption.row(role))
        gains_PN[role] = scores_PN - scores_PN.mean(axis=1, keepdims=True)
    return gains_PN


def auxiliary_statistics(proxy: Array, auxiliary: Mapping[str, Array]) -> dict[str, Array]:
    """Statistics of responses that auxiliary reward models add.

    Args:
        proxy: the optimized proxy's score of each response above the initial policy's mean on its prompt, gold standard
            deviations. Any shape.
        auxiliary: the same quantity for each auxiliary RM, by role. Each of the same shape.

    Returns:
        by name, each of the same shape: the gain of every auxiliary RM; `rm_gap.<size>`, proxy less test RM; and where
        there are members `rm_disagreement`, the standard deviation (n - 1) over the proxy and its members.
    """
    statistics = dict(auxiliary)
    for role, gain in auxiliary.items():
        if role.startswith(StatisticPrefix.TEST_RM):
            statistics[StatisticPrefix.RM_GAP + role.removeprefix(StatisticPrefix.TEST_RM)] = proxy - gain
    members = [gain for role, gain in auxiliary.items() if role.startswith(StatisticPrefix.MEMBER)]
    if members:
        statistics[Statistic.RM_DISAGREEMENT] = np.std([proxy, *members], axis=0, ddof=1)
    return statistics
