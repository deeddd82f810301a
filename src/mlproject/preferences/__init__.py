"""Comparisons and their labels, Bradley-Terry training, calibration and metrics of reward models."""

LABELS = ("hard", "sampled")
"""How a comparison gets its label: by the higher score, or sampled with probability sigmoid(score difference)."""

RANDOM, POLICY = "random", "policy"
"""Where a reward model's training starts: random weights, or the trunk of the initial policy."""

HALF, HALVES = "half", ("train", "test")
"""Name and values of the column that assigns comparisons to the half for proxies or for test RMs."""
