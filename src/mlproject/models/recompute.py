"""Gradient checkpointing: layers are computed a second time on the way back instead of being kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def recomputed_layers(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, the layers of every Hugging Face model in `model` are recomputed; the gradients stay the same.

    Only the layers' own switch is thrown: whatever is in eval mode inside them (dropout) stays so. Sampling belongs
    outside, since such layers keep no cache.

    Args:
        model: a Hugging Face model, or a module that holds some.
        wanted: False changes nothing.
    """
    if not wanted:
        yield
        return
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    modes = [layer.training for layer in layers]
    holders = [
        module
        for module in model.modules()
        if isinstance(module, PreTrainedModel) and module.supports_gradient_checkpointing
    ]
    for holder in holders:
        holder.gradient_checkpointing_enable({"use_reentrant": False})
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for holder in holders:
            holder.gradient_checkpointing_disable()
        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode
