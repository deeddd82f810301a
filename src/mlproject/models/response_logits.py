"""What a causal language model predicts for the tokens of responses, and the hidden states that it predicts from.

The output layer is the widest of a language model. Where it is known to be applied to the last hidden states as they
are, it is applied to those of the responses alone: a prompt needs no predictions.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response, V vocabulary, H hidden width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mlproject.models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_known: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def at_responses(values_BTH: Tensor, sequences: Sequences) -> Tensor:
    """The outputs of a causal model (logits or hidden states) that predict response tokens. Shape: (B, R, H)."""
    index_BR = sequences.response_positions_BR - 1
    return values_BTH.gather(1, index_BR[..., None].expand(-1, -1, values_BTH.shape[-1]))


def read_responses(policy: PreTrainedModel, sequences: Sequences) -> tuple[Tensor, Tensor]:
    """The last hidden states and the logits that predict each response token. Shapes: (B, R, H), (B, R, V).

    Args:
        policy: in eval mode.
        sequences: prompts with responses, on the policy's device.
    """
    inputs = {"input_ids": sequences.ids_BT, "use_cache": False, "output_hidden_states": True}
    if not has_plain_head(policy):
        output = policy(**inputs)
        return at_responses(output.hidden_states[-1], sequences), at_responses(output.logits, sequences)
    hidden_BRH = at_responses(policy(**inputs, logits_to_keep=1).hidden_states[-1], sequences)
    return hidden_BRH, policy.get_output_embeddings()(hidden_BRH)


def has_plain_head(policy: PreTrainedModel) -> bool:
    """Whether the logits are the output layer of the last hidden states and nothing else; tried once for each model.

    It is not so in models that scale or bound their logits, and not known in those without `logits_to_keep` and in what
    is no module but stands for one (a policy without its adapter).
    """
    if not isinstance(policy, nn.Module):
        return False
    if policy not in _known:
        _known[policy] = _is_plain(policy)
    return _known[policy]


@torch.no_grad()
def _is_plain(policy: PreTrainedModel) -> bool:
    head, ids_BT = policy.get_output_embeddings(), torch.arange(4, device=policy.device)[None]
    if head is None:
        return False
    try:
        whole = policy(input_ids=ids_BT, use_cache=False, output_hidden_states=True)
        last = policy(input_ids=ids_BT, use_cache=False, logits_to_keep=1).logits
    except Exception:  # whatever a model raises that does not know the argument
        return False
    return last.shape[1] == 1 and torch.equal(whole.logits, head(whole.hidden_states[-1]))
