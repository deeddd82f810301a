"""Evaluating a policy while a trainer trains it, without a trace.

Trainers wrap a model: TRL and accelerate replace its `forward` by closures over the original one (a deep copy of such a
model still calls the model that it was copied from), which also apply mixed precision. Here the wrappers are removed
during an evaluation, so that a live policy gives the same results as its saved checkpoint.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlproject.errors import UserError
from mlproject.models.libraries import accelerate
from mlproject.models.turns import set_ends

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_PATCHES = ("forward", "_original_forward")


def unwrapped(model: Any) -> PreTrainedModel:
    """The model inside the wrappers of distributed training and compilation.

    Raises:
        UserError: if its parameters are sharded over processes (FSDP, DeepSpeed ZeRO-3).
    """
    inner = accelerate.utils.extract_model_from_parallel(model, keep_fp32_wrapper=True, keep_torch_compile=False)
    for name, parameter in inner.named_parameters():
        if hasattr(parameter, "ds_id") or type(parameter).__name__ in ("DTensor", "FlatParameter"):
            raise UserError(
                f"parameter {name}: must not be sharded over processes (FSDP or ZeRO-3) in a live evaluation. "
                "Train with DDP or ZeRO-2, or evaluate saved checkpoints."
            )
    return inner


@contextmanager
def measurable(
    policy: PreTrainedModel | WithoutAdapter, tokenizer: PreTrainedTokenizerFast
) -> Iterator[PreTrainedModel]:
    """The policy in eval mode, without a trainer's patches; its configuration names padding and the ends of a response.

    Afterwards everything is as before: modes of all modules, patches, configuration, and the random states of torch,
    numpy and Python.
    """
    modes = [(module, module.training) for module in policy.modules()]
    patches = [
        (module, {name: module.__dict__.pop(name) for name in _PATCHES if name in module.__dict__})
        for module in _patched(policy)
        if "_hf_hook" not in module.__dict__  # the forward of a device_map moves inputs between devices
    ]
    config = policy.config
    ids = getattr(config, "eos_token_id", None), getattr(config, "pad_token_id", None)
    try:
        policy.eval()
        with _preserved_random_state(policy.device):
            set_ends(policy, tokenizer)
            yield policy
    finally:
        config.eos_token_id, config.pad_token_id = ids
        for module, patch in patches:
            module.__dict__.update(patch)
        for module, training in modes:
            module.training = training


def as_reference(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel | WithoutAdapter:
    """The policy as it is now, to measure KL from: a copy without gradients, or, if a fresh adapter (PEFT) is trained,
    the policy without it, which costs no memory.

    Raises:
        UserError: for a model that `device_map` spreads over devices, since its copy would call the original.

    Examples:
        >>> from transformers import AutoModelForCausalLM, AutoTokenizer
        >>> from mlproject import as_reference
        >>> policy, tokenizer = AutoModelForCausalLM.from_pretrained("policy"), AutoTokenizer.from_pretrained("policy")
        >>> initial_policy = as_reference(policy, tokenizer)
        >>> _ = policy.get_output_embeddings().weight.data.zero_()  # training moves the policy, not the reference
        >>> bool(initial_policy.get_output_embeddings().weight.any())
        True
    """
    if any("_hf_hook" in module.__dict__ for module in _patched(policy)):
        raise UserError("policy: must be on one device to be copied, without a device_map. Give initial_policy=FOLDER.")
    with measurable(policy, tokenizer):
        if hasattr(policy, "disable_adapter") and _adapter_is_fresh(policy):
            return WithoutAdapter(policy, tokenizer)
        reference = copy.deepcopy(policy).requires_grad_(False)
    reference.zero_grad(set_to_none=True)
    return ending_like(reference, tokenizer)


def ending_like(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The policy in eval mode; its configuration names padding and the ends of a response."""
    set_ends(policy, tokenizer)
    return policy.eval()


class WithoutAdapter:
    """A policy whose adapter is disabled in every call.

    Args:
        adapted: a `PeftModel`, which provides all other attributes.
        tokenizer: of the policy.
    """

    def __init__(self, adapted: Any, tokenizer: PreTrainedTokenizerFast) -> None:
        self.adapted = adapted
        self.config = copy.deepcopy(adapted.config)
        set_ends(self, tokenizer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.adapted, name)

    def __call__(self, **inputs: Any) -> Any:
        with self.adapted.disable_adapter():
            return self.adapted(**inputs)


def _adapter_is_fresh(policy: Any) -> bool:
    """Whether the adapter changes nothing yet, judged by the logits of a few arbitrary tokens."""
    ids_1T = torch.arange(min(16, policy.config.get_text_config().vocab_size), device=policy.device)[None]
    with torch.no_grad():
        with_adapter = policy(input_ids=ids_1T, use_cache=False).logits
        with policy.disable_adapter():
            without = policy(input_ids=ids_1T, use_cache=False).logits
    return torch.equal(with_adapter, without)


def _patched(policy: Any) -> list[Any]:
    """The modules that trainers patch: the model, and the model inside an adapter."""
    policy = policy.adapted if isinstance(policy, WithoutAdapter) else policy
    return [policy, *([policy.get_base_model()] if hasattr(policy, "disable_adapter") else [])]


@contextmanager
def _preserved_random_state(device: torch.device) -> Iterator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
