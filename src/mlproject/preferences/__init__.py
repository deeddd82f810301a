"""Comparisons, labels and noise, Bradley-Terry training, calibration and metrics of reward models."""

LABELS = ("hard", "sampled")
"""How a comparison gets its label: by the higher score, or by a coin with probability sigmoid(difference)."""

HALF, HALVES = "half", ("train", "test")
"""Column of a table of comparisons that says which half each belongs to, and its values."""
