"""A language model's output layer on a reward model, which it has while it is trained.

The hidden states that the reward is read from then go on predicting text, which keeps them from fitting the comparisons
alone: GRM (Yang et al. 2024, Regularizing hidden states enables learning generalizable reward model for LLMs,
arXiv:2406.10216). The layer is no part of the trained reward model.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response, V vocabulary, H hidden width.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlproject.errors import UserError
from mlproject.models.log_probs import token_log_probs
from mlproject.models.response_logits import at_responses, reading_of
from mlproject.models.scoring import inputs, is_causal
from mlproject.models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def text_head(model: PreTrainedModel, seed: int, language_model: PreTrainedModel | None = None) -> nn.Linear:
    """An output layer for a reward model.

    Args:
        model: the reward model, a decoder.
        seed: of random weights.
        language_model: what the reward model starts from, whose layer is copied; None: the layer is random too.

    Raises:
        UserError: for an encoder, which predicts no text, and for a language model that does more to its hidden states
            than to apply its output layer.
    """
    if not is_causal(model):
        raise UserError(
            f"rm_text_weight: must be 0 for {type(model).__name__}, an encoder, which cannot predict text. "
            "Remove the option, or start from a decoder."
        )
    if language_model is not None:
        if not reading_of(language_model).plain_head:
            raise UserError(
                f"rm_text_weight: must be 0 for {type(language_model).__name__}, which does more to its hidden states "
                "than to apply its output layer. Remove the option, or start from another model."
            )
        head: nn.Linear = copy.deepcopy(language_model.get_output_embeddings())
        return head
    config = model.config.get_text_config()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        nn.init.normal_(head.weight, std=config.initializer_range)
    return head


def rewards_and_text(
    model: PreTrainedModel, head: nn.Linear, batch: Sequences, written: Tensor
) -> tuple[Tensor, Tensor]:
    """Raw scores of a batch, and what the same hidden states say of some of its responses, with their gradients.

    Args:
        model: a reward model.
        head: output layer on its last hidden states.
        batch: sequences on its device. Length B.
        written: which responses are predicted, by index.

    Returns:
        raw scores, float32, shape (B,); log-probabilities of the responses, nats, in the order of `written`.
    """
    output = model(**inputs(batch, model.config, is_causal=True), output_hidden_states=True)
    texts = batch.select(written)
    hidden_BTH = output.hidden_states[-1][written, : texts.ids_BT.shape[1]]
    logits_BRV = head(at_responses(hidden_BTH, texts)).float()
    log_p_BR = token_log_probs(logits_BRV, texts.response_ids_BR, texts.response_mask_BR)
    return output.logits.squeeze(-1).float(), log_p_BR.sum(1)
