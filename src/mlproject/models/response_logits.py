"""What a causal language model predicts for the tokens of responses, and the hidden states that it predicts from.

A prompt needs no predictions. The output layer is the widest of a language model: where it is known to be applied to
the last hidden states as they are, it is applied to those of the responses alone, and so is most of the last layer
where that is known to change nothing.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response, V vocabulary, H hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mlproject.models.last_layer import hidden_at, trunk_of
from mlproject.models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import GPTNeoXModel, PreTrainedModel


@dataclass(frozen=True)
class Reading:
    """What may be left out when a policy is read.

    Attributes:
        plain_head: whether the logits are the output layer of the last hidden states and nothing else. It is not so in
            models that scale or bound their logits, and not known in those without `logits_to_keep` and in what is no
            module but stands for one (a policy without its adapter).
        skips_unread: whether the last layer can be left out at the tokens of a prompt.
    """

    plain_head: bool
    skips_unread: bool


_known: WeakKeyDictionary[nn.Module, Reading] = WeakKeyDictionary()


def at_responses(values_BTH: Tensor, sequences: Sequences) -> Tensor:
    """The outputs of a causal model (logits or hidden states) that predict response tokens. Shape: (B, R, H)."""
    index_BR = sequences.response_positions_BR - 1
    return values_BTH.gather(1, index_BR[..., None].expand(-1, -1, values_BTH.shape[-1]))


def read_responses(policy: PreTrainedModel, sequences: Sequences) -> tuple[Tensor, Tensor]:
    """The last hidden states and the logits that predict each response token. Shapes: (B, R, H), (B, R, V).

    Args:
        policy: the first time that it is read in eval mode.
        sequences: prompts with responses, on the policy's device.
    """
    how = reading_of(policy)
    if not how.plain_head:
        output = policy(input_ids=sequences.ids_BT, use_cache=False, output_hidden_states=True)
        return at_responses(output.hidden_states[-1], sequences), at_responses(output.logits, sequences)
    trunk = trunk_of(policy) if how.skips_unread else None  # none once it has adapters
    hidden_BRH = _hidden(policy, sequences) if trunk is None else _hidden_apart(trunk, sequences)
    return hidden_BRH, policy.get_output_embeddings()(hidden_BRH)


def reading_of(policy: PreTrainedModel) -> Reading:
    """What may be left out when a policy is read, found by trying it on a few tokens once for each model."""
    if not isinstance(policy, nn.Module):
        return Reading(False, False)
    if policy not in _known:
        plain = _is_plain(policy)
        _known[policy] = Reading(plain, plain and _skips_unread(policy))
    return _known[policy]


def _hidden(policy: PreTrainedModel, sequences: Sequences) -> Tensor:
    inputs = {"input_ids": sequences.ids_BT, "use_cache": False, "output_hidden_states": True}
    return at_responses(policy(**inputs, logits_to_keep=1).hidden_states[-1], sequences)


def _hidden_apart(trunk: GPTNeoXModel, sequences: Sequences) -> Tensor:
    return hidden_at(trunk, sequences.ids_BT, sequences.response_positions_BR - 1)


@torch.no_grad()
def _skips_unread(policy: PreTrainedModel) -> bool:
    trunk, ids_BT = trunk_of(policy), torch.arange(8, device=policy.device).repeat(2, 1) % 4
    if trunk is None:
        return False
    starts_B, ends_B = torch.tensor([[3, 2], [8, 6]], device=policy.device)
    sequences = Sequences(ids_BT, starts_B, ends_B)
    try:
        apart, whole = _hidden_apart(trunk, sequences), _hidden(policy, sequences)
    except Exception:  # another version of transformers
        return False
    is_read = sequences.response_mask_BR
    return torch.allclose(apart[is_read], whole[is_read], rtol=1e-3, atol=1e-3 * float(whole.abs().max()))


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
