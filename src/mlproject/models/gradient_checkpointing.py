"""Gradient checkpointing: layers are recomputed in the backward pass, so that their activations need no memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from mlproject.models.libraries import transformers


@contextmanager
def checkpointed_layers(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Inside, the layers of every Hugging Face model in `model` are recomputed; the gradients stay the same.

    Only the mode of the layers themselves changes: modules inside them in eval mode (dropout) stay in it. Sampling does
    not work inside, since such layers have no cache.

    Args:
        model: a Hugging Face model, or a module that contains some.
        enabled: False changes nothing.
    """
    if not enabled:
        yield
        return
    layers = [
        layer for layer in model.modules() if isinstance(layer, transformers.modeling_layers.GradientCheckpointingLayer)
    ]
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        layer.gradient_checkpointing = layer.training = True
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.gradient_checkpointing, layer.training = False, mode
