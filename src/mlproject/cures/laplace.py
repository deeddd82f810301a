"""Bayesian last layer by Laplace's approximation: r' = r - k sigma, for one reward model at almost no cost.

Yang et al. 2024 (arXiv 2402.13210); Daxberger et al. 2021 (arXiv 2106.14806). With hidden states h and Bradley-Terry,
P(a is preferred to b) = sigmoid(w (h_a - h_b)): a logistic regression on differences d = h_a - h_b, whose posterior at
the trained w is normal with the covariance S = (sum_i p_i (1 - p_i) d_i d_i' + precision I)^-1. A response's reward
above the initial policy's then has the variance sigma^2 = (h - m)' S (h - m), m the mean of h of the initial policy's
responses. sigma grows where the comparisons had few responses of this kind.

Axis letters: B comparisons or responses, H hidden width.
"""

from __future__ import annotations

from mlproject.cures.cure import MEMBER, Cure

CURE = Cure(
    "laplace",
    "a reward model less the standard deviation of its last layer",
    MEMBER,
    ("laplace_sds", "laplace_precision"),
    of_weights="mlproject.cures.laplace_fit",
)
