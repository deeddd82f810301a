"""The logistic function and its logarithm, without overflow."""

from __future__ import annotations

import numpy as np

from mlproject.curve import Array


def log_sigmoid(x: Array) -> Array:
    """log(1 / (1 + exp(-x))). Any shape."""
    return -np.logaddexp(0.0, -x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)). Any shape."""
    return np.exp(log_sigmoid(x))
