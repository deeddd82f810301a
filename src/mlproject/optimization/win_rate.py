"""Win rate: the probability that a response beats one of the initial policy to the same prompt, by gold; a tie is half.

The initial policy's responses are the samples of the pool, whose gold scores exist: a win rate costs no further score.

Axis letters: P prompts, N samples per prompt in the pool, M samples per prompt drawn at a curve point.
"""

from __future__ import annotations

import numpy as np

from mlproject.curve import Array


def win_rate_P(gold_PM: Array, pool_gold_PN: Array) -> Array:
    """Win rate of a policy on each prompt: over all pairs of one of its samples and one of the pool. Shape: (P,).

    Args:
        gold_PM: gold scores of the policy's samples. Shape: (P, M).
        pool_gold_PN: those of the initial policy's samples, in any order. Shape: (P, N).
    """
    rows = zip(_comparable(gold_PM), np.sort(_comparable(pool_gold_PN), axis=1), strict=True)
    return np.array([_below(gold_M, pool_N).mean() for gold_M, pool_N in rows]) / pool_gold_PN.shape[1]


def win_rate_PN(pool_gold_PN: Array) -> Array:
    """Win rate of each sample of a pool against the other samples of its prompt, itself left out. Shape: (P, N).

    The mean of a rule that selects from the pool over these values estimates its win rate. For best-of-n the n - 1
    samples that lost to the selected one are among its opponents, as they should not be; that biases the estimate by
    less than 1 / (N - n).

    Args:
        pool_gold_PN: gold scores. Shape: (P, N), N at least 2.
    """
    gold_PN = _comparable(pool_gold_PN)
    below_PN = np.stack([_below(row_N, np.sort(row_N)) for row_N in gold_PN])
    return (below_PN - 0.5) / (gold_PN.shape[1] - 1)  # a sample ties with itself


def _below(gold: Array, sorted_N: Array) -> Array:
    """How many of the sorted scores lie below each score; equal ones count half."""
    return (np.searchsorted(sorted_N, gold, "left") + np.searchsorted(sorted_N, gold, "right")) / 2


def _comparable(gold: Array) -> Array:
    """Scores as a pool stores them: in single precision, so that equal responses tie."""
    return gold.astype(np.float32).astype(np.float64)
