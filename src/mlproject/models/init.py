"""New models of the ladder with random weights: ordinary Hugging Face models and configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mlproject.models.libraries import transformers
from mlproject.models.sizes import SIZES

if TYPE_CHECKING:
    from transformers import (
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        GPTNeoXForSequenceClassification,
        PreTrainedModel,
        PreTrainedTokenizerFast,
    )

MAX_TOKENS = 64
"""Longest sequence of the embedded world's models, prompt and response."""


def new_policy(size: str, tokenizer: PreTrainedTokenizerFast, seed: int) -> GPTNeoXForCausalLM:
    """A causal language model with random weights.

    Args:
        size: name of a size of the ladder.
        tokenizer: determines vocabulary size and special tokens.
        seed: seed of the weights.
    """
    return _seeded(transformers.GPTNeoXForCausalLM, _config(size, tokenizer), seed)


def new_reward_model(size: str, tokenizer: PreTrainedTokenizerFast, seed: int) -> GPTNeoXForSequenceClassification:
    """A sequence classifier with one label, whose only logit is the reward; see `new_policy`."""
    config = _config(size, tokenizer)
    config.num_labels = 1
    config.classifier_dropout = 0.0
    return _seeded(transformers.GPTNeoXForSequenceClassification, config, seed)


def parameter_count(model: PreTrainedModel) -> int:
    """Parameters without embeddings (input and output), as the scaling laws count them."""
    embeddings = {
        id(p) for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m for p in m.parameters()
    }
    return sum(p.numel() for p in model.parameters() if id(p) not in embeddings)


def _config(size: str, tokenizer: PreTrainedTokenizerFast) -> GPTNeoXConfig:
    shape = SIZES[size]
    return transformers.GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=MAX_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
        initializer_range=0.4 / shape.width**0.5,
        hidden_act="relu",
        attention_dropout=0.0,
        hidden_dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        use_cache=True,
    )


def _seeded(model_class: type[nn.Module], config: GPTNeoXConfig, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config)
