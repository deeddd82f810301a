"""Measure, predict and prevent reward-model over-optimization, tracked from end to end."""

__version__ = "0.1.0"
