"""The last hidden states of a decoder at the tokens that somebody reads, and at no others.

A reward is read at the last token of a sequence, predictions of a policy at its response. The last layer's queries,
feed-forward part and norms are computed there alone; the other tokens matter to it by their keys and values only. Of
the two layers of the ladder's models that is up to 40 % of the work, of its one-layer reward models two thirds.

Only for GPT-NeoX as transformers implements it (the ladder, Pythia). Whether a model is read right in this way is
tried by those who read it, against the model's own forward pass.

Axis letters: B sequences, T tokens of a sequence, R tokens of a response, H hidden width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlproject.models.libraries import transformers

if TYPE_CHECKING:
    from transformers import Cache, GPTNeoXModel
    from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXLayer


def trunk_of(model: nn.Module) -> GPTNeoXModel | None:
    """The part of a model that `hidden_at` reads; None for models that it does not know, adapted ones included."""
    trunk: Any = getattr(model, "gpt_neox", None)
    known = transformers.models.gpt_neox.modeling_gpt_neox
    if type(trunk) is not known.GPTNeoXModel or trunk.config._attn_implementation != "sdpa":
        return None
    layer = trunk.layers[-1]
    is_plain = type(layer) is known.GPTNeoXLayer and type(layer.attention) is known.GPTNeoXAttention
    return trunk if is_plain and type(layer.attention.query_key_value) is nn.Linear else None


def hidden_at(trunk: GPTNeoXModel, ids_BT: Tensor, positions_BR: Tensor, cache: Cache | None = None) -> Tensor:
    """The last hidden states of some tokens of each sequence, as the output layer reads them.

    Args:
        trunk: what `trunk_of` gave.
        ids_BT: token ids; tokens after the last one that is read may be anything. Shape: (B, T).
        positions_BR: columns of `ids_BT` that are read: the tokens of a response, or any others. Shape: (B, R).
        cache: keys and values of the tokens before them, the same number in each sequence; extended.

    Returns:
        hidden states after the last norm. Shape: (B, R, H).
    """
    past = 0 if cache is None else cache.get_seq_length()
    position_1T = torch.arange(past, past + ids_BT.shape[1], device=ids_BT.device)[None]
    sees_TT = None if cache is None else _sees(position_1T[0], past + ids_BT.shape[1])
    hidden_BTH = trunk.emb_dropout(trunk.embed_in(ids_BT))
    rotary = trunk.rotary_emb(hidden_BTH, position_ids=position_1T)
    for layer in trunk.layers[:-1]:
        hidden_BTH = layer(
            hidden_BTH,
            attention_mask=sees_TT,
            position_ids=position_1T,
            layer_past=cache,
            use_cache=cache is not None,
            position_embeddings=rotary,
        )
    return trunk.final_layer_norm(_last_layer(trunk.layers[-1], hidden_BTH, rotary, positions_BR, past, cache))


def _last_layer(
    layer: GPTNeoXLayer,
    hidden_BTH: Tensor,
    rotary: tuple[Tensor, Tensor],
    positions_BR: Tensor,
    past: int,
    cache: Cache | None,
) -> Tensor:
    attention, (tokens, width) = layer.attention, hidden_BTH.shape[1:]
    heads, size = width // attention.head_size, attention.head_size
    weight = attention.query_key_value.weight.view(heads, 3, size, width)
    bias = attention.query_key_value.bias
    bias = None if bias is None else bias.view(heads, 3, size)

    def projected(values: Tensor, part: slice) -> Tensor:
        """Queries, or keys and values, by head."""
        own = None if bias is None else bias[:, part].flatten()
        return F.linear(values, weight[:, part].reshape(-1, width), own).unflatten(-1, (heads, -1)).transpose(1, 2)

    rows_B1 = torch.arange(len(hidden_BTH), device=hidden_BTH.device)[:, None]
    normed_BTH, read_BRH = layer.input_layernorm(hidden_BTH), hidden_BTH[rows_B1, positions_BR]
    cos, sin = (each.expand(len(hidden_BTH), -1, -1) for each in rotary)
    keys, values = projected(normed_BTH, slice(1, 3)).chunk(2, dim=-1)
    keys = _rotated(keys, cos, sin)
    queries = _rotated(
        projected(normed_BTH[rows_B1, positions_BR], slice(0, 1)),
        cos[rows_B1, positions_BR],
        sin[rows_B1, positions_BR],
    )
    if cache is not None:
        keys, values = cache.update(keys, values, attention.layer_idx)
    attended = F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=_sees(past + positions_BR, past + tokens)[:, None],
        dropout_p=attention.attention_dropout if attention.training else 0.0,
        scale=attention.scaling,
    )
    attended = layer.post_attention_dropout(attention.dense(attended.transpose(1, 2).flatten(2)))
    if layer.use_parallel_residual:
        mlp = layer.mlp(layer.post_attention_layernorm(read_BRH))
        return layer.post_mlp_dropout(mlp) + attended + read_BRH
    read_BRH = attended + read_BRH
    return layer.post_mlp_dropout(layer.mlp(layer.post_attention_layernorm(read_BRH))) + read_BRH


def _sees(positions: Tensor, keys: int) -> Tensor:
    """Whether tokens at these positions see the tokens before `keys`: all up to themselves. Shape: (..., keys)."""
    return torch.arange(keys, device=positions.device) <= positions[..., None]


def _rotated(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of the first components of each head.

    Args:
        values: queries or keys. Shape: (B, heads, R, size).
        cos, sin: of the angle of each position and component. Shape: (B, R, components).
    """
    turned, rest = values[..., : cos.shape[-1]], values[..., cos.shape[-1] :]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos[:, None] + torch.cat((-second, first), dim=-1) * sin[:, None]
    return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned
