"""A policy that somebody is training: measured as its weights are, and left as if nobody had looked.

Trainers put things around a model: TRL and accelerate replace its `forward` by closures over the original one (a deep
copy of such a model still calls the model that it was copied from), and mixed precision hides behind them. Here all of
it is taken off while the policy is looked at, so a live policy gives what its saved checkpoint gives.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from mlproject.errors import UserError

_PATCHES = ("forward", "_original_forward")


def unwrapped(model: Any) -> PreTrainedModel:
    """The model inside what distributed training and compilation put around it.

    Raises:
        UserError: where its parameters are spread over processes (FSDP, DeepSpeed ZeRO-3): no process could measure it.
    """
    found = extract_model_from_parallel(model, keep_fp32_wrapper=True, keep_torch_compile=False)
    for name, parameter in found.named_parameters():
        if hasattr(parameter, "ds_id") or type(parameter).__name__ in ("DTensor", "FlatParameter"):
            raise UserError(
                f"parameter {name} is spread over processes (FSDP or ZeRO-3), which the monitor cannot measure; "
                "train with DDP or ZeRO-2, or measure saved checkpoints"
            )
    return found


@contextmanager
def measurable(
    policy: PreTrainedModel | WithoutAdapter, tokenizer: PreTrainedTokenizerFast
) -> Iterator[PreTrainedModel]:
    """The policy in eval mode, without a trainer's patches, ending its responses as its tokenizer does.

    Afterwards everything is as before: modes of all modules, patches, configuration, and the random states of torch,
    numpy and Python, whatever the scorers used.
    """
    modes = [(module, module.training) for module in policy.modules()]
    patches = [
        (module, {name: module.__dict__.pop(name) for name in _PATCHES if name in module.__dict__})
        for module in _patched(policy)
        if "_hf_hook" not in module.__dict__  # a device_map's own forward moves inputs to where the weights are
    ]
    config = policy.config
    ids = config.eos_token_id, config.pad_token_id
    try:
        policy.eval()
        with _randomness_kept(policy.device):
            config.eos_token_id, config.pad_token_id = _ending(tokenizer)
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
        UserError: for a model that `device_map` spreads over devices: its copy would run through the original.

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
        raise UserError("the policy is spread by a device_map and cannot be copied; give initial_policy=FOLDER")
    with measurable(policy, tokenizer):
        if hasattr(policy, "disable_adapter") and _adapter_is_fresh(policy):
            return WithoutAdapter(policy, tokenizer)
        kept = copy.deepcopy(policy).requires_grad_(False)
    kept.zero_grad(set_to_none=True)
    return ending_like(kept, tokenizer)


def ending_like(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A policy of one's own, in eval mode, set to end its responses as the tokenizer does."""
    policy.config.eos_token_id, policy.config.pad_token_id = _ending(tokenizer)
    return policy.eval()


class WithoutAdapter:
    """A policy whose adapter is switched off whenever it is called.

    Args:
        adapted: a `PeftModel`; whatever is asked of this one is asked of it.
        tokenizer: says how responses end.
    """

    def __init__(self, adapted: Any, tokenizer: PreTrainedTokenizerFast) -> None:
        self.adapted = adapted
        self.config = copy.deepcopy(adapted.config)
        self.config.eos_token_id, self.config.pad_token_id = _ending(tokenizer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.adapted, name)

    def __call__(self, **inputs: Any) -> Any:
        with self.adapted.disable_adapter():
            return self.adapted(**inputs)


def _adapter_is_fresh(policy: Any) -> bool:
    """Whether the adapter changes nothing yet, told by the logits of a short text of arbitrary tokens."""
    ids_1T = torch.arange(min(16, policy.config.vocab_size), device=policy.device)[None]
    with torch.no_grad():
        with_it = policy(input_ids=ids_1T, use_cache=False).logits
        with policy.disable_adapter():
            without = policy(input_ids=ids_1T, use_cache=False).logits
    return torch.equal(with_it, without)


def _patched(policy: Any) -> list[Any]:
    """Whatever trainers patch: the model, and the one inside an adapter."""
    policy = policy.adapted if isinstance(policy, WithoutAdapter) else policy
    return [policy, *([policy.get_base_model()] if hasattr(policy, "disable_adapter") else [])]


def _ending(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int]:
    """Ids of end-of-sequence and padding."""
    eos = tokenizer.eos_token_id
    if eos is None:
        raise UserError("the tokenizer has no end-of-sequence token; set tokenizer.eos_token")
    return eos, eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id


@contextmanager
def _randomness_kept(device: torch.device) -> Iterator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
