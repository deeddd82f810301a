"""Auxiliary reward models: they score a policy run without being optimized, which says something that needs no gold.

A test RM learned from the other half of the comparisons: where the proxy goes on rising and the test RM does not, the
proxy's gain is its own error (Bai et al. 2022, arXiv 2204.05862, section 4.2). The members of an ensemble are proxies
of other seeds on the same comparisons: where they disagree, they are guessing (Coste et al. 2023, arXiv 2310.02743).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlproject.curve import Array
from mlproject.names import Statistic, StatisticPrefix


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
