"""Whether the weights of a checkpoint are finite numbers, read from its files one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

_OUTPUT_BIASES = ("lm_head.bias", "embed_out.bias", "final_logits_bias")
"""Biases of logits: -inf there excludes a token of the vocabulary."""


@lru_cache(maxsize=256)
def broken_weights(folder: Path, changed: int) -> str:
    """What is wrong with the first tensor of a folder's weights that holds nan, infinity, or integers.

    Args:
        folder: a Hugging Face folder; weights that are not there, or cannot be read, are passed over.
        changed: time of the last change of its files; the cache depends on it.

    Returns:
        one clause; empty where all weights are finite.
    """
    try:
        for name, tensor in _tensors(folder):
            if name.endswith(".weight") and not tensor.is_floating_point():  # masks that models keep have other names
                return f"{name} holds integers, as quantised weights are"
            problem = _problem(tensor, may_exclude=name.endswith(_OUTPUT_BIASES))
            if problem:
                return f"{name} holds {problem}"
    except (OSError, ValueError, RuntimeError, SafetensorError):
        return ""  # loading the model says what it is
    return ""


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and values of all weights."""
    for path in sorted(path for path in folder.glob("*.safetensors") if path.is_file()):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                yield name, file.get_tensor(name)


def _problem(tensor: Tensor, may_exclude: bool) -> str:
    if not tensor.is_floating_point() or not tensor.numel():
        return ""
    if tensor.element_size() == 1:  # eight-bit numbers have no arithmetic of their own
        tensor = tensor.float()
    low, high = (float(bound) for bound in tensor.aminmax())  # nan if one value is
    if low != low:
        return f"nan in {int(tensor.isnan().sum())} of {tensor.numel()} values"
    infinite = high == float("inf") or (low == -float("inf") and not may_exclude)
    return f"infinity in {int(tensor.isinf().sum())} of {tensor.numel()} values" if infinite else ""
