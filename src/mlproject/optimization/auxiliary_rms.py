"""Witnesses: scorers that watch a policy run without being optimized, and what they say that needs no gold.

Two kinds have a reading of their own. A test RM learned from the other half of the comparisons: where the proxy goes on
rising and the test RM does not, the proxy's gain is its own error (Bai et al. 2022, arXiv 2204.05862, section 4.2).
Members are proxies of other seeds on the same comparisons: where they disagree, they are guessing (Coste et al. 2023,
arXiv 2310.02743).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlproject.curve import Array

TEST_RM = "test_rm."
"""What the name of a test RM begins with; its size follows."""

MEMBER = "member."
"""What the name of a further proxy of another seed begins with; its seed follows."""

GAP = "rm_gap."
"""What the sign `proxy less test RM` begins with; the test RM's size follows."""

DISAGREEMENT = "rm_disagreement"


def witness_signs(proxy: Array, witnesses: Mapping[str, Array]) -> dict[str, Array]:
    """What witnesses add to the signs of responses.

    Args:
        proxy: the optimized proxy's score of each response above the initial policy's mean on its prompt, gold standard
            deviations. Any shape.
        witnesses: likewise for each witness, by name. Each of the same shape.

    Returns:
        by name, each of the same shape: every witness's own gain; `rm_gap.<size>`, proxy less test RM; and where there
        are members `rm_disagreement`, the standard deviation (n - 1) over the proxy and its members.
    """
    signs = dict(witnesses)
    for name, gain in witnesses.items():
        if name.startswith(TEST_RM):
            signs[GAP + name.removeprefix(TEST_RM)] = proxy - gain
    members = [gain for name, gain in witnesses.items() if name.startswith(MEMBER)]
    if members:
        signs[DISAGREEMENT] = np.std([proxy, *members], axis=0, ddof=1)
    return signs
