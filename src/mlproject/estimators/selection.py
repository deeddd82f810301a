"""Best-of-n for every n at once, and other choices by rank, from one pool of samples.

Axis letters: P prompts, N samples per prompt in the pool, G values of n, or rules.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_BLOCK = 2**21
"""Samples processed at once, so that memory stays bounded (16 MiB per float64 array)."""

_NEGLIGIBLE_LOG_WEIGHT = -300.0
"""Weights below e^-300 are set to 0: they vanish in a float64 sum, and subnormal numbers are slow."""


def n_grid(n_max: int, points: int) -> NDArray[np.int64]:
    """Distinct integers from 1 to `n_max`, about evenly spaced in log n, both ends included.

    Args:
        n_max: the largest value.
        points: number of values; fewer are returned only if there are not that many integers.

    Returns:
        increasing integers. Shape: (G,), G = min(points, n_max).

    Raises:
        ValueError: for n_max below 1 or fewer than 2 points.

    Examples:
        >>> from mlproject import n_grid
        >>> n_grid(n_max=64, points=7).tolist()
        [1, 2, 4, 8, 16, 32, 64]
    """
    if n_max < 1 or points < 2:
        raise ValueError(f"a grid of n needs n_max >= 1 and points >= 2, got n_max={n_max}, points={points}")
    ns = [1]
    for left in range(min(points, n_max) - 1, 0, -1):  # neighbours until the logarithmic spacing exceeds 1
        ns.append(max(ns[-1] + 1, round(ns[-1] * (n_max / ns[-1]) ** (1 / left))))
    return np.array(ns, dtype=np.int64)


def best_of_n_weights(N: int, ns_G: ArrayLike) -> Array:
    """Probability that the i-th smallest of N samples is the best of a random subset of n: C(i-1, n-1)/C(N, n).

    Nakano et al. 2021, appendix I. Computed downwards from the largest sample, whose weight is n/N, with the ratio of
    neighbours 1 - (n-1)/(i-1), so that the largest weights have the smallest rounding errors.

    Args:
        N: samples in the pool.
        ns_G: subset sizes n, integers in 1..N. Shape: (G,).

    Returns:
        weights by ascending rank; each row sums to 1. Shape: (G, N).

    Raises:
        ValueError: if an n is outside 1..N.

    Examples:
        >>> from mlproject import best_of_n_weights
        >>> best_of_n_weights(4, [1, 2, 4]).round(3).tolist()
        [[0.25, 0.25, 0.25, 0.25], [0.0, 0.167, 0.333, 0.5], [0.0, 0.0, 0.0, 1.0]]
    """
    ns = np.atleast_1d(np.asarray(ns_G, dtype=np.int64))
    if ns.size and (ns.min() < 1 or ns.max() > N):
        raise ValueError(f"best-of-n from a pool of {N} samples needs n in 1..{N}, got {ns.min()}..{ns.max()}")
    weights_GN = np.zeros((len(ns), N))
    for row_N, n in zip(weights_GN, ns, strict=True):
        ranks = np.arange(N, n, -1)  # rank i, from N down to n + 1
        log_weights = np.log(n / N) + np.concatenate([[0.0], np.cumsum(np.log1p(-(n - 1) / (ranks - 1)))])
        row_N[n - 1 :] = np.where(log_weights > _NEGLIGIBLE_LOG_WEIGHT, np.exp(log_weights), 0.0)[::-1]
    return weights_GN


def effective_sample_size(N: int, n: int) -> float:
    """Effective samples per prompt of a best-of-n estimate: 1 / sum of squared weights, about 2N/n for n << N.

    Args:
        N: samples in the pool.
        n: subset size, in 1..N.

    Returns:
        a number from 1 (n = N) to N (n = 1).

    Examples:
        >>> from mlproject import effective_sample_size
        >>> [round(effective_sample_size(1000, n), 1) for n in (1, 10, 1000)]
        [1000.0, 189.1, 1.0]
    """
    return float(1.0 / np.square(best_of_n_weights(N, [n])).sum())


class RankSelection:
    """Expected value of any quantity of one sample per prompt, chosen with given probabilities by its proxy's rank.

    Samples with equal proxy scores are selected with equal probability.

    Args:
        proxy_PN: proxy score of every sample; only the order matters. Shape: (P, N).
        weights_GN: probability of each rank, the smallest score first, under each of G rules. Shape: (G, N).

    Raises:
        ValueError: if a proxy score is nan, or shapes do not fit.
    """

    def __init__(self, proxy_PN: ArrayLike, weights_GN: Array) -> None:
        proxy_PN = np.asarray(proxy_PN)
        if proxy_PN.ndim != 2 or weights_GN.shape[1] != proxy_PN.shape[1]:
            raise ValueError(
                f"proxy scores must have shape (prompts, samples) and weights (rules, samples), got {proxy_PN.shape} "
                f"and {weights_GN.shape}"
            )
        self.shape: tuple[int, int] = proxy_PN.shape
        self._weights_GN = weights_GN
        self._order_PN = np.empty(self.shape, dtype=np.int32)
        self._starts_tie_PN = np.ones(self.shape, dtype=bool)  # by rank: differs from the rank below
        for rows in self._blocks():
            order_PN = np.argsort(proxy_PN[rows], axis=1)
            sorted_PN = np.take_along_axis(proxy_PN[rows], order_PN, axis=1)
            if np.isnan(sorted_PN[:, -1:]).any():
                raise ValueError("a proxy score is nan")
            self._order_PN[rows] = order_PN
            np.not_equal(sorted_PN[:, 1:], sorted_PN[:, :-1], out=self._starts_tie_PN[rows, 1:])

    def __call__(self, values_PN: ArrayLike, index: int | None = None) -> Array:
        """Expected value of the selected sample.

        Args:
            values_PN: a value per sample (proxy, gold, human, a text statistic), any unit. Shape: (P, N).
            index: a single rule to compute; all by default.

        Returns:
            expected value under each rule, per prompt, same unit. Shape: (G, P); (1, P) with `index`.

        Raises:
            ValueError: if the shape differs from that of the proxy scores.
        """
        values_PN = np.asarray(values_PN)
        if values_PN.shape != self.shape:
            raise ValueError(f"values must have the proxy scores' shape {self.shape}, got {values_PN.shape}")
        weights_GN = self._weights_GN if index is None else self._weights_GN[index : index + 1]
        selected_GP = np.empty((len(weights_GN), self.shape[0]))
        for rows in self._blocks():
            ranked_PN = np.take_along_axis(values_PN[rows], self._order_PN[rows], axis=1).astype(np.float64, copy=False)
            selected_GP[:, rows] = weights_GN @ _mean_over_ties(ranked_PN, self._starts_tie_PN[rows]).T
        return selected_GP

    def draw(self, quantile_P: Array) -> NDArray[np.int64]:
        """One sample per rule and prompt: the rank at a quantile of the rule's distribution over ranks.

        Args:
            quantile_P: each from 0 to 1, 1 excluded; the same for all rules. Shape: (P,).

        Returns:
            indices in 0..N-1. Shape: (G, P).
        """
        cumulative_GN = self._weights_GN.cumsum(axis=1)
        levels = [each * total for each, total in ((quantile_P, row[-1]) for row in cumulative_GN)]
        ranks = [np.searchsorted(row, level, side="right") for row, level in zip(cumulative_GN, levels, strict=True)]
        return np.stack([self._order_PN[np.arange(self.shape[0]), rank] for rank in ranks]).astype(np.int64)

    def _blocks(self) -> list[slice]:
        prompts, samples = self.shape
        size = max(1, _BLOCK // max(1, samples))
        return [slice(start, min(start + size, prompts)) for start in range(0, prompts, size)]


class BestOfN(RankSelection):
    """Expected value of any quantity of the best of n samples by proxy score, for every n at once.

    The unbiased estimator of Nakano et al. 2021, appendix I. The proxy scores are sorted once, and the same selector is
    applied to proxy, gold and human scores. Samples with equal proxy scores are selected with equal probability.

    Args:
        proxy_PN: proxy score of every sample; only the order matters. Shape: (P, N).
        ns_G: the values of n, integers in 1..N. Shape: (G,).

    Raises:
        ValueError: if an n is outside 1..N, or a proxy score is nan.

    Examples:
        >>> import numpy as np
        >>> from mlproject import BestOfN
        >>> proxy_PN = np.array([[0.1, 0.9, 0.5, 0.3]])  # one prompt, four samples
        >>> gold_PN = np.array([[0.0, -1.0, 1.0, 0.0]])  # the sample that the proxy likes best is the worst
        >>> select = BestOfN(proxy_PN, [1, 2, 4])
        >>> select(gold_PN).mean(axis=1).round(3).tolist()
        [0.0, -0.167, -1.0]
    """

    def __init__(self, proxy_PN: ArrayLike, ns_G: ArrayLike) -> None:
        proxy_PN = np.asarray(proxy_PN)
        if proxy_PN.ndim != 2:
            raise ValueError(f"proxy scores must have shape (prompts, samples), got {proxy_PN.shape}")
        super().__init__(proxy_PN, best_of_n_weights(proxy_PN.shape[1], ns_G))


def _mean_over_ties(ranked_PN: Array, starts_tie_PN: NDArray[np.bool_]) -> Array:
    """Replace every value by the mean over its tie, so that tied samples share the weights of their ranks equally."""
    if starts_tie_PN.all():
        return ranked_PN
    starts = np.flatnonzero(starts_tie_PN)  # the first rank of a prompt starts a tie: no tie spans two prompts
    sizes = np.diff(starts, append=ranked_PN.size)
    means = np.add.reduceat(ranked_PN.ravel(), starts) / sizes
    return np.repeat(means, sizes).reshape(ranked_PN.shape)
