"""Estimators: best-of-n for every n from one pool of samples, and KL divergence from log-probabilities."""

from mlproject.estimators.divergence import beirami_kl, best_of_n_kl_bound, k1, k2, k3, kl_from_logits
from mlproject.estimators.hedging import hedged_n
from mlproject.estimators.selection import BestOfN, RankSelection, best_of_n_weights, effective_sample_size, n_grid

__all__ = [
    "BestOfN",
    "RankSelection",
    "beirami_kl",
    "best_of_n_kl_bound",
    "best_of_n_weights",
    "effective_sample_size",
    "hedged_n",
    "k1",
    "k2",
    "k3",
    "kl_from_logits",
    "n_grid",
]
