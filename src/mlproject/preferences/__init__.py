"""Comparisons, labels and noise, Bradley-Terry training, calibration and metrics of reward models."""

LABELS = ("hard", "sampled")
"""How a comparison gets its label: by the higher score, or by a coin with probability sigmoid(difference)."""
