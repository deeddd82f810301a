"""Estimators: best-of-n for every n from one pool of samples, and KL divergence from log-probabilities.

Axis letters: P prompts, N samples per prompt, G values of n on a grid, T tokens, V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_BLOCK = 2**21
"""Samples worked on at once, so that memory stays bounded (16 MiB per float64 array)."""

_NEGLIGIBLE_LOG_WEIGHT = -300.0
"""Weights below e^-300 are written as 0: they vanish in a float64 sum, and subnormal numbers are slow."""


def best_of_n_kl_bound(n: ArrayLike) -> Array:
    """Upper bound on the KL divergence of best-of-n from the initial policy: log n - (n - 1)/n.

    Exact where ties are impossible; the true KL is lower where responses repeat (see `beirami_kl`), and
    saturates once n exceeds the number of distinct responses. Stiennon et al. 2020, appendix G.3; that it is
    only a bound: Beirami et al. 2024 (arXiv 2401.01879).

    Args:
        n: responses to choose from, 1 or more. Any shape.

    Returns:
        nats; 0 for n = 1. Shape of `n`.
    """
    n = np.asarray(n, dtype=np.float64)
    return np.log(n) - (n - 1) / n


def n_grid(n_max: int, points: int) -> NDArray[np.int64]:
    """Distinct integers from 1 to `n_max`, about evenly spaced in log n, both ends included.

    Args:
        n_max: the last of them.
        points: how many; fewer come back only where there are no more integers than that.

    Returns:
        increasing integers. Shape: (G,), G = min(points, n_max).

    Raises:
        ValueError: for n_max below 1 or fewer than 2 points.
    """
    if n_max < 1 or points < 2:
        raise ValueError(f"a grid of n needs n_max >= 1 and points >= 2, got n_max={n_max}, points={points}")
    ns = [1]
    for left in range(min(points, n_max) - 1, 0, -1):  # neighbours until the logarithmic spacing exceeds 1
        ns.append(max(ns[-1] + 1, round(ns[-1] * (n_max / ns[-1]) ** (1 / left))))
    return np.array(ns, dtype=np.int64)


def best_of_n_weights(N: int, ns_G: ArrayLike) -> Array:
    """Probability that the i-th smallest of N samples is the best of a random n-subset, C(i-1, n-1)/C(N, n).

    Nakano et al. 2021, appendix I. Built downwards from the largest sample, whose weight is n/N, by the ratio
    of neighbours 1 - (n-1)/(i-1), so that the weights that matter carry the smallest rounding errors.

    Args:
        N: samples in the pool.
        ns_G: sizes n of the subset, integers in 1..N. Shape: (G,).

    Returns:
        weights by ascending rank; each row sums to 1. Shape: (G, N).

    Raises:
        ValueError: for an n outside 1..N.
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
    """Samples per prompt that best-of-n rests on: 1 / sum of squared weights, about 2N/n for n << N.

    Args:
        N: samples in the pool.
        n: size of the subset, in 1..N.

    Returns:
        from 1 (n = N) to N (n = 1).
    """
    return float(1.0 / np.square(best_of_n_weights(N, [n])).sum())


class BestOfN:
    """Expected value, for every n at once, of whatever one likes about the sample with the best proxy score.

    The unbiased estimator of Nakano et al. 2021, appendix I. The proxy scores are sorted once; proxy, gold
    and human are then reordered together because one and the same selector is applied to each. Samples with
    equal proxy scores are chosen with equal probability.

    Args:
        proxy_PN: proxy score of every sample, any monotone unit. Shape: (P, N).
        ns_G: the values of n, integers in 1..N. Shape: (G,).

    Raises:
        ValueError: for an n outside 1..N, or a proxy score that is not a number.
    """

    def __init__(self, proxy_PN: ArrayLike, ns_G: ArrayLike) -> None:
        proxy_PN = np.asarray(proxy_PN)
        if proxy_PN.ndim != 2:
            raise ValueError(f"proxy scores must have shape (prompts, samples), got {proxy_PN.shape}")
        self.shape: tuple[int, int] = proxy_PN.shape
        self._weights_GN = best_of_n_weights(self.shape[1], ns_G)
        self._order_PN = np.empty(self.shape, dtype=np.int32)
        self._starts_tie_PN = np.ones(self.shape, dtype=bool)  # by rank: differs from the rank below
        for rows in self._blocks():
            order_PN = np.argsort(proxy_PN[rows], axis=1)
            sorted_PN = np.take_along_axis(proxy_PN[rows], order_PN, axis=1)
            if np.isnan(sorted_PN[:, -1:]).any():
                raise ValueError("a proxy score is not a number (nan)")
            self._order_PN[rows] = order_PN
            np.not_equal(sorted_PN[:, 1:], sorted_PN[:, :-1], out=self._starts_tie_PN[rows, 1:])

    def __call__(self, values_PN: ArrayLike, only: int | None = None) -> Array:
        """Expected value of the chosen sample.

        Args:
            values_PN: a value per sample (proxy, gold, human, a sign), any unit. Shape: (P, N).
            only: place in `ns_G` of the one n that is wanted; all of them by default.

        Returns:
            expected value of the best of n, per n and prompt, same unit. Shape: (G, P).

        Raises:
            ValueError: where the shape is not that of the proxy scores.
        """
        values_PN = np.asarray(values_PN)
        if values_PN.shape != self.shape:
            raise ValueError(f"values must have the proxy scores' shape {self.shape}, got {values_PN.shape}")
        weights_GN = self._weights_GN if only is None else self._weights_GN[only : only + 1]
        chosen_GP = np.empty((len(weights_GN), self.shape[0]))
        for rows in self._blocks():
            ranked_PN = np.take_along_axis(values_PN[rows], self._order_PN[rows], axis=1).astype(np.float64, copy=False)
            chosen_GP[:, rows] = weights_GN @ _mean_over_ties(ranked_PN, self._starts_tie_PN[rows]).T
        return chosen_GP

    def _blocks(self) -> list[slice]:
        prompts, samples = self.shape
        size = max(1, _BLOCK // max(1, samples))
        return [slice(start, min(start + size, prompts)) for start in range(0, prompts, size)]


def _mean_over_ties(ranked_PN: Array, starts_tie_PN: NDArray[np.bool_]) -> Array:
    """Every value replaced by the mean of its tie, so tied samples share their ranks' weights equally."""
    if starts_tie_PN.all():
        return ranked_PN
    starts = np.flatnonzero(starts_tie_PN)  # the first rank of each prompt starts a tie: none spans two prompts
    sizes = np.diff(starts, append=ranked_PN.size)
    means = np.add.reduceat(ranked_PN.ravel(), starts) / sizes
    return np.repeat(means, sizes).reshape(ranked_PN.shape)


def k1(log_ratio: ArrayLike) -> Array:
    """KL estimate log pi/pi_init: unbiased, noisy, may be negative (Schulman 2020, KL approximation).

    Args:
        log_ratio: log pi - log pi_init of responses drawn from pi, summed over the response's tokens, nats.
            Any shape.

    Returns:
        one estimate of KL(pi || pi_init) per response, nats, to be averaged. Same shape.
    """
    return np.array(log_ratio, dtype=np.float64)


def k2(log_ratio: ArrayLike) -> Array:
    """KL estimate (log pi/pi_init)^2 / 2: never negative, too high for large KL. As `k1` otherwise."""
    return np.square(np.asarray(log_ratio, dtype=np.float64)) / 2


def k3(log_ratio: ArrayLike) -> Array:
    """KL estimate pi_init/pi - 1 - log pi_init/pi: unbiased and never negative. As `k1` otherwise."""
    log_ratio = np.asarray(log_ratio, dtype=np.float64)
    return np.expm1(-log_ratio) + log_ratio


def kl_from_logits(logits_a: ArrayLike, logits_b: ArrayLike) -> Array:
    """Exact KL(a || b) over the whole vocabulary at every position, written the long way.

    Args:
        logits_a, logits_b: unnormalized log-probabilities; -inf excludes a token. Shape: (..., V).

    Returns:
        nats per position; inf where b excludes a token that a allows. Shape: (...).
    """
    log_a, log_b = _log_softmax(logits_a), _log_softmax(logits_b)
    allowed = np.isfinite(log_a)
    with np.errstate(invalid="ignore"):  # -inf minus -inf where both exclude a token
        terms = np.exp(log_a) * (log_a - log_b)
    return np.sum(np.where(allowed, terms, 0.0), axis=-1)


def _log_softmax(logits: ArrayLike) -> Array:
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def beirami_kl(log_eps: ArrayLike, n: ArrayLike) -> Array:
    """Estimate best-of-n's KL from how likely the chosen responses are; never above `best_of_n_kl_bound`.

    Beirami et al. 2024 (arXiv 2401.01879): with eps = pi_init(chosen response) and q = (1 - eps)^n, the
    chance of n draws without that response, q (log n + (n-1) log(1-eps) - (n-1)/n) + (1-q) log((1-q)/eps).

    Args:
        log_eps: log-probability, under the initial policy, of the response that best-of-n chose, nats, at
            most 0. Any shape.
        n: responses it was chosen from; broadcast against `log_eps`.

    Returns:
        nats per response, to be averaged over responses. Broadcast shape.
    """
    log_eps, n = np.broadcast_arrays(np.asarray(log_eps, dtype=np.float64), np.asarray(n, dtype=np.float64))
    certain = log_eps >= 0  # a response of probability 1: the policy cannot move
    log_eps = np.where(certain, -1.0, log_eps)
    log_miss = np.log(-np.expm1(log_eps))  # log(1 - eps), which loses nothing for large eps
    log_miss = np.where(log_eps < -0.7, np.log1p(-np.exp(np.minimum(log_eps, -0.7))), log_miss)
    log_q = n * log_miss
    hit = -np.expm1(log_q)
    # log(hit / eps) tends to log n as eps tends to 0, and is needed only where hit is not 0.
    log_gain = np.where(hit > 0, np.log(np.maximum(hit, np.finfo(np.float64).tiny)) - log_eps, 0.0)
    kl = np.exp(log_q) * (np.log(n) + (n - 1) * log_miss - (n - 1) / n) + hit * log_gain
    return np.where(certain, 0.0, kl)
