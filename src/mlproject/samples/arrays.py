"""Best-of-n of samples that lie in arrays.

Axis letters: P prompts, N samples per prompt in the pool, B responses, G values of n.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mlproject.curve import LARGEST_SCORE, Array, Curve
from mlproject.errors import UserError
from mlproject.estimators import n_grid
from mlproject.samples.curves import GoldUnits, best_of_n_points, pairs_of
from mlproject.samples.pool import MIN_PROMPTS, ScoredPool

POINTS = 40
_RM = "scores"


def best_of_n(
    scores: ArrayLike | Sequence[ArrayLike], gold: ArrayLike | Sequence[ArrayLike], n: Sequence[int] | None = None
) -> Curve:
    """The best-of-n curve of a reward model, by the unbiased estimator (Nakano et al. 2021).

    What `compare` computes of a table, for arrays: gold in standard deviations over all samples, as a gain over each
    prompt's mean; the reward model's scores times the number that makes them read as gold; KL is log n - (n - 1)/n.

    Args:
        scores: of the reward model, in its own units: one row for each prompt, one column for each sample; or a list
            of rows of different lengths. Shape: (P, N).
        gold: of the same samples. Shape: (P, N).
        n: how many samples the best is chosen of, each at most the smallest number of a prompt's samples; by default
            up to 40 values, evenly spaced on a logarithmic scale.

    Returns:
        the curve; `Curve.peak()` says where to stop.

    Raises:
        UserError: for other shapes, numbers that are not finite or too large, a single prompt, or gold that never
            differs.

    Examples:
        >>> import numpy as np
        >>> from mlproject import best_of_n
        >>> rng = np.random.default_rng(0)
        >>> gold = rng.normal(size=(50, 32))
        >>> curve = best_of_n(scores=gold + rng.normal(size=gold.shape), gold=gold, n=[1, 4, 16])
        >>> curve.steps_S.tolist(), curve.kl_S.round(2).tolist(), bool(curve.gold_S[2] > curve.gold_S[1] > 0)
        ([1, 4, 16], [0.0, 0.64, 1.84], True)
    """
    scores_P, gold_P = (_rows(values, name) for values, name in ((scores, "scores"), (gold, "gold")))
    counts, gold_counts = ([len(row) for row in rows] for rows in (scores_P, gold_P))
    if counts != gold_counts:
        raise UserError("best_of_n: scores and gold must have one number each for the same samples of every prompt.")
    if len(counts) < MIN_PROMPTS or min(counts) < 2:
        raise UserError(f"best_of_n: must have at least {MIN_PROMPTS} prompts of at least 2 samples each.")
    rng = np.random.default_rng(0)
    orders = [rng.permutation(count) for count in counts]  # rows may be sorted, and neighbours are paired
    scores_B, gold_B = (
        np.concatenate([row[order] for row, order in zip(rows, orders, strict=True)]) for rows in (scores_P, gold_P)
    )
    if gold_B.std() == 0:
        raise UserError(f"best_of_n: gold must differ between samples, but is {gold_B[0]:g} for all.")
    pool = ScoredPool("long", [""] * len(counts), np.array(counts), gold_B, {_RM: scores_B})
    n_G = n_grid(pool.n_max, POINTS) if n is None else np.unique(np.asarray(n))
    if n_G.dtype.kind != "i" or n_G[0] < 1 or n_G[-1] > pool.n_max:
        raise UserError(f"best_of_n: n must be whole numbers of 1 to {pool.n_max}, the smallest number of samples.")
    units = GoldUnits.of(gold_B)
    return Curve.from_points(best_of_n_points(pool, _RM, n_G, units, pairs_of(pool, scores_B, units).scale))


def _rows(values: ArrayLike | Sequence[ArrayLike], name: str) -> list[Array]:
    """The samples of each prompt."""
    try:
        rows = [np.asarray(row, dtype=np.float64) for row in values]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        rows = []
    if not rows or any(row.ndim != 1 for row in rows):
        raise UserError(f"best_of_n: {name} must be numbers, one row for each prompt and one column for each sample.")
    if not all((np.abs(row) <= LARGEST_SCORE).all() for row in rows):  # nan is not
        raise UserError(
            f"best_of_n: {name} must be finite, and at most {LARGEST_SCORE:g}. Leave such samples out of both."
        )
    return rows
