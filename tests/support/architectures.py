"""A tiny model of each architecture that transformers knows, from its own configuration class.

Sizes are set by the names that configurations give them; few architectures need more than that.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

VOCABULARY = 300
PAD, START, END = 0, 1, 2

_WIDTH = ("hidden_size", "n_embd", "d_model", "dim", "emb_dim", "embedding_size", "lru_width")
_INNER = ("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "d_inner", "hidden_dim", "dff")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", "encoder_attention_heads")
_EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "mamba_n_heads")
_EIGHT = (
    "head_dim", "linear_key_head_dim", "linear_value_head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim",
    "mamba_d_state", "mamba_chunk_size", "state_size", "sliding_window", "rotary_dim", "laurel_rank",
    "hidden_size_per_layer_input",
)  # fmt: skip
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY, "pad_token_id": PAD, "bos_token_id": START,
    "eos_token_id": END, "max_position_embeddings": 256, "n_positions": 256, "num_key_value_heads": 2,
    "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts_per_tok": 2, "n_inner": 64,
    "linear_num_key_heads": 2, "linear_num_value_heads": 2, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_head_dim": 16,
    "mamba_d_head": 16, "mamba_expand": 2, "dropout": 0.0,
    **dict.fromkeys(_WIDTH, 32), **dict.fromkeys(_INNER, 64), **dict.fromkeys(_LAYERS, 2), **dict.fromkeys(_HEADS, 4),
    **dict.fromkeys(_EXPERTS, 4), **dict.fromkeys(_EIGHT, 8),
}  # fmt: skip
_FULL_KEYS = {"num_key_value_heads": 4}
_HYBRID = {"layer_types": ["linear_attention", "full_attention"], "num_hidden_layers": 2}
_ENCODER = {"is_decoder": True}

SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_n_groups": 1, "attn_layer_indices": [1]},
    "deepseek_v2": _FULL_KEYS, "deepseek_v3": _FULL_KEYS, "deepseek_v32": _FULL_KEYS, "glm4_moe_lite": _FULL_KEYS,
    "longcat_flash": _FULL_KEYS, "minicpm3": _FULL_KEYS, "kimi_linear": _FULL_KEYS, "youtu": _FULL_KEYS,
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_groups": 1},
    "funnel": {"block_sizes": [1, 1], "d_head": 8},
    "gemma3n_text": {"num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2,
                     "num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], "mamba_n_groups": 1, "shared_intermediate_size": 32,
                         "num_local_experts": 0},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_period": 2, "expert_layer_offset": 1,
              "mamba_dt_rank": 4, "use_mamba_kernels": False},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "n_groups": 1, "chunk_size": 8},
    "mpt": {"max_seq_len": 256, "expansion_ratio": 2},
    "qwen3_5_text": _HYBRID, "qwen3_next": _HYBRID,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"attn_layers": ["local", "lsh"], "axial_pos_shape": [16, 16], "axial_pos_embds_dim": [16, 16],
                 "is_decoder": True},
    "rwkv": {"attention_hidden_size": 32, "context_length": 256},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2, "num_mem_blocks": 1,
               "n_mamba_heads": 4, "mamba_headdim": 16, "mamba_ngroups": 1, "chunk_size": 8},
}  # fmt: skip


def tiny_config(model_type: str, **options: Any) -> PretrainedConfig:
    """The configuration of a tiny model.

    Args:
        model_type: as transformers names it.
        options: further fields.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[model_type]
    default = config_class()
    names = {*vars(default), *(config_class.attribute_map or {}), *inspect.signature(config_class.__init__).parameters}
    special = {**SPECIAL.get(model_type, {}), **options}
    fields = {name: value for name, value in _SIZES.items() if name in names} | special
    kinds = getattr(default, "layer_types", None)
    is_derived = any(
        isinstance(getattr(config_class, name, None), property) for name in ("layer_types", "layers_block_type")
    )
    if kinds and "layer_types" not in special and not is_derived:  # one layer of each kind
        fields["layer_types"] = (list(dict.fromkeys(kinds)) * 2)[: max(2, len(set(kinds)))]
        fields["num_hidden_layers"] = len(fields["layer_types"])
    if getattr(default, "sliding_window", None) is None:
        fields.pop("sliding_window", None)
    return config_class(**fields)


def tiny_model(auto: Any, model_type: str, seed: int = 0, **options: Any) -> PreTrainedModel:
    """A tiny model in eval mode, with weights that are large enough for predictions to differ.

    Args:
        auto: `AutoModelForCausalLM` or `AutoModelForSequenceClassification`.
        model_type: as transformers names it.
        seed: of the weights.
        options: further fields of the configuration.
    """
    import torch

    config = tiny_config(model_type, **options)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = auto.from_config(config).eval().float()
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.mul_(3) if weight.any() else weight.normal_(std=0.3)
    return model
