"""KL divergence: from n, from the probabilities of responses, from log-ratios, and from logits.

Axis letters: V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def best_of_n_kl_bound(n: ArrayLike) -> Array:
    """Upper bound on the KL divergence of best-of-n from the initial policy: log n - (n - 1)/n.

    Exact if no two samples tie; the true KL is lower where responses repeat (see `beirami_kl`), and saturates once n
    exceeds the number of distinct responses. Stiennon et al. 2020, appendix G.3; Beirami et al. 2024 (arXiv 2401.01879)
    show that it is only a bound.

    Args:
        n: responses to choose from, 1 or more. Any shape.

    Returns:
        nats; 0 for n = 1. Shape of `n`.

    Examples:
        >>> from mlproject import best_of_n_kl_bound
        >>> best_of_n_kl_bound([1, 4, 16]).round(2).tolist()
        [0.0, 0.64, 1.84]
    """
    n = np.asarray(n, dtype=np.float64)
    return np.log(n) - (n - 1) / n


def beirami_kl(log_eps: ArrayLike, n: ArrayLike) -> Array:
    """Estimate of the KL of best-of-n from the probabilities of the selected responses; at most `best_of_n_kl_bound`.

    Beirami et al. 2024 (arXiv 2401.01879): with eps = pi_init(selected response) and q = (1 - eps)^n, the probability
    that n draws do not contain it, q (log n + (n-1) log(1-eps) - (n-1)/n) + (1-q) log((1-q)/eps).

    Args:
        log_eps: log-probability of the selected response under the initial policy, nats, at most 0. Any shape.
        n: number of responses it was selected from; broadcast against `log_eps`.

    Returns:
        nats per response, to be averaged over responses. Broadcast shape.

    Examples:
        >>> import numpy as np
        >>> from mlproject import beirami_kl
        >>> beirami_kl(np.log([0.5, 1e-6]), n=4).round(2).tolist()  # the second is near the bound
        [0.5, 0.64]
    """
    log_eps, n = np.broadcast_arrays(np.asarray(log_eps, dtype=np.float64), np.asarray(n, dtype=np.float64))
    certain = log_eps >= 0  # a response of probability 1: the policy cannot move
    log_eps = np.where(certain, -1.0, log_eps)
    log_miss = np.log(-np.expm1(log_eps))  # log(1 - eps), accurate for large eps
    log_miss = np.where(log_eps < -0.7, np.log1p(-np.exp(np.minimum(log_eps, -0.7))), log_miss)
    log_q = n * log_miss
    hit = -np.expm1(log_q)
    # log(hit / eps) tends to log n as eps tends to 0; where hit is 0 its factor is 0.
    log_gain = np.where(hit > 0, np.log(np.maximum(hit, np.finfo(np.float64).tiny)) - log_eps, 0.0)
    kl = np.exp(log_q) * (np.log(n) + (n - 1) * log_miss - (n - 1) / n) + hit * log_gain
    return np.where(certain, 0.0, kl)


def k1(log_ratio: ArrayLike) -> Array:
    """KL estimate log pi/pi_init: unbiased, high variance, may be negative (Schulman 2020).

    Args:
        log_ratio: log pi - log pi_init of responses drawn from pi, summed over the response's tokens, nats.
            Any shape.

    Returns:
        one estimate of KL(pi || pi_init) per response, nats, to be averaged. Shape of `log_ratio`.

    Examples:
        >>> from mlproject import k1
        >>> k1([0.3, -0.1]).tolist()
        [0.3, -0.1]
    """
    return np.array(log_ratio, dtype=np.float64)


def k2(log_ratio: ArrayLike) -> Array:
    """KL estimate (log pi/pi_init)^2 / 2: never negative, biased upwards for large KL. Arguments as for `k1`.

    Examples:
        >>> from mlproject import k2
        >>> k2([0.2, -0.2]).round(3).tolist()
        [0.02, 0.02]
    """
    return np.square(np.asarray(log_ratio, dtype=np.float64)) / 2


def k3(log_ratio: ArrayLike) -> Array:
    """KL estimate pi_init/pi - 1 - log pi_init/pi: unbiased and never negative. Arguments as for `k1`.

    Examples:
        >>> from mlproject import k3
        >>> k3([0.2, -0.2]).round(4).tolist()
        [0.0187, 0.0214]
    """
    log_ratio = np.asarray(log_ratio, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity, where e^x has long outgrown x
        estimate = np.expm1(-log_ratio) + log_ratio
    return np.where(log_ratio == -np.inf, np.inf, estimate)


def kl_from_logits(logits_a: ArrayLike, logits_b: ArrayLike) -> Array:
    """Exact KL(a || b) over the vocabulary at every position: a reference implementation in float64.

    Args:
        logits_a: logits of a; -inf excludes a token. Shape: (..., V).
        logits_b: logits of b, likewise. Shape: (..., V).

    Returns:
        nats per position; inf if b excludes a token that a allows. Shape: (...).

    Examples:
        >>> import numpy as np
        >>> from mlproject import kl_from_logits
        >>> float(kl_from_logits(np.log([0.5, 0.5]), np.log([0.25, 0.75])).round(4))
        0.1438
    """
    log_a, log_b = _log_softmax(logits_a), _log_softmax(logits_b)
    with np.errstate(invalid="ignore"):  # -inf minus -inf where both exclude a token
        terms = np.exp(log_a) * (log_a - log_b)
    terms = np.where(np.isneginf(log_b), np.inf, terms)
    return np.sum(np.where(np.isneginf(log_a), 0.0, terms), axis=-1)


def _log_softmax(logits: ArrayLike) -> Array:
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
