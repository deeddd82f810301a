"""The ladder: named model sizes. Free of torch, so that the command line can list them at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Shape of a GPT-NeoX model.

    Attributes:
        layers: number of layers.
        width: hidden width; that of the feed-forward layers is four times as large.
        heads: attention heads per layer.
    """

    layers: int
    width: int
    heads: int

    def learning_rate(self, at_width_64: float) -> float:
        """Learning rate of Adam for this width, in inverse proportion to it."""
        return at_width_64 * 64 / self.width

    @property
    def reward_model_parameters(self) -> int:
        """Number of parameters of a reward model without embeddings: `rm_params`."""
        per_layer = 12 * self.width**2 + 13 * self.width  # attention, feed-forward, biases, two layer norms
        return self.layers * per_layer + 3 * self.width  # the last layer norm and the head


SIZES: dict[str, Size] = {
    "1k": Size(layers=1, width=8, heads=2),
    "3k": Size(layers=1, width=16, heads=2),
    "13k": Size(layers=1, width=32, heads=2),
    "25k": Size(layers=2, width=32, heads=2),
    "50k": Size(layers=1, width=64, heads=4),
    "100k": Size(layers=2, width=64, heads=4),
    "200k": Size(layers=4, width=64, heads=4),
    "400k": Size(layers=2, width=128, heads=4),
    "1m": Size(layers=3, width=168, heads=4),
    "3m": Size(layers=4, width=256, heads=8),
    "7m": Size(layers=4, width=384, heads=6),
    "19m": Size(layers=6, width=512, heads=8),  # layers, width and heads of Pythia-70m, whose name counts embeddings
    "85m": Size(layers=12, width=768, heads=12),  # of Pythia-160m
    "302m": Size(layers=24, width=1024, heads=16),  # of Pythia-410m
    "806m": Size(layers=16, width=2048, heads=8),  # of Pythia-1b
}
"""Sizes of reward models. Names give the number of parameters without embeddings."""

POLICY_SIZES: tuple[str, ...] = ("25k", "100k", "400k", "1m", "3m", "7m", "19m", "85m", "302m", "806m")
"""Sizes of policies: smaller ones do not learn readable English."""


def is_checkpoint(name: str) -> bool:
    """Whether a name is a checkpoint (a path, or OWNER/NAME on the hub), and not a size of the ladder or an address."""
    return ("/" in name or "\\" in name) and "://" not in name
