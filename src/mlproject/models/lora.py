"""Low-rank adapters (Hu et al. 2021) for a policy, by `peft`, and the policy's weights with them merged.

The adapters are injected into the model, which stays the same Hugging Face model for sampling, value head and
evaluation; merged, it is saved as an ordinary folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlproject.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def add_adapters(policy: PreTrainedModel, rank: int) -> None:
    """Freeze a policy and add trainable adapters to all its linear layers except the output, in place.

    An adapter adds (alpha / rank) B A to a weight, with alpha = 2 rank, A random and B zero, so the policy does not
    change until it is trained. Randomness is torch's global stream, as in all initialisation.

    Args:
        policy: any causal model with linear layers.
        rank: rank of every adapter.

    Raises:
        UserError: if `peft` is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError(f"lora_rank={rank}: must have peft installed. Run pip install 'mlproject[lora]'.") from None
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"), policy)


@torch.no_grad()
def merged_weights(policy: PreTrainedModel) -> Mapping[str, Tensor]:
    """Weights of a policy with its adapters merged; its weights alone if it has no adapters.

    Returns:
        tensors by their names in the policy without adapters; merged weights are copies.
    """
    adapted = {name: module for name, module in policy.named_modules() if hasattr(module, "get_delta_weight")}
    if not adapted:
        return policy.state_dict()
    state = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in policy.state_dict().items()
        if ".lora_" not in name
    }
    for name, module in adapted.items():
        [adapter] = module.active_adapters
        state[f"{name}.weight"] = state[f"{name}.weight"] + module.get_delta_weight(adapter)
    return state
