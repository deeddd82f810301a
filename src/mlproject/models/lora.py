"""Low-rank adapters (Hu et al. 2021) on a policy, through `peft`, and its weights as if it never had any.

The adapters are put into the model itself, which stays the Hugging Face model that it was: sampling, the value head and
the meter see no difference, and what is saved is an ordinary folder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from mlproject.errors import UserError


def add_adapters(policy: PreTrainedModel, rank: int) -> None:
    """Freeze a policy and give all its linear layers but the output adapters that can be trained, in place.

    An adapter adds (alpha / rank) B A to a weight, with alpha = 2 rank, A random and B zero: the policy is the same
    until it is trained. Randomness is torch's global stream, as in all initialisation.

    Args:
        policy: any causal model with linear layers.
        rank: of every adapter.

    Raises:
        UserError: where `peft` is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError(f"lora_rank={rank}: needs peft; pip install -e '.[lora]' (or pip install peft)") from None
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"), policy)


@torch.no_grad()
def merged_weights(policy: PreTrainedModel) -> Mapping[str, Tensor]:
    """State of a policy with its adapters added to the weights; of one without adapters simply its state.

    Returns:
        tensors by the names that the policy had before it got adapters; copies where something was added.
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
