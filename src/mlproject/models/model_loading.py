"""Loads a user's model: all of its weights, in float32, and by no code but transformers' own.

Where the weights are those of a folder, everything that can be wrong with them is known from their names and shapes
alone, so that they are checked before a study starts (`device="meta"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlproject.errors import UserError, first_line
from mlproject.models.config_file import config_problem
from mlproject.models.libraries import transformers

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

HEAD_NAMES = ("score", "value_head", "v_head", "reward_head", "rm_head", "regression_head", "classifier")
"""Names of the linear map from the last hidden state to the reward, as files have them (OpenRLHF: value_head)."""

_REWARD_ARCHITECTURE = "ForSequenceClassification"
_NOT_CAUSAL = ("cpmant", "flaubert", "prophetnet", "xlm", "xlm-prophetnet", "xlnet")
"""Model types of `AutoModelForCausalLM` whose predictions depend on later tokens, beside encoders."""

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Endings of files in which torch keeps weights as pickles."""

_LAYER = re.compile(r".*?\.(?=\d+\.)")
"""What the names of all layers of a stack begin with."""

MAX_REASON = 200
"""Characters of another library's error message that are quoted."""


def read_config(source: str, place: str) -> PretrainedConfig:
    """Read a configuration.

    Args:
        source: folder or hub name.
        place: what the user calls the model, for messages.

    Raises:
        UserError: if there is none, or no model of this kind can be read here.
    """
    if _has_adapter(source):
        raise UserError(
            f"{place}: must be a whole model, not an adapter (PEFT). Merge it by merge_and_unload and save the result."
        )
    if problem := config_problem(Path(source)):
        raise UserError(f"{place}: must be a Hugging Face model, but {problem}. Save it with save_pretrained.")
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # whatever transformers raises for files that are not its own
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{place}: must be of an architecture that transformers contains, since code in a model's folder is "
                "not executed. Use another model."
            ) from None
        raise UserError(
            f"{place}: must be a Hugging Face model ({reason(error)}). Save it with save_pretrained."
        ) from None
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"{place}: must be a decoder or an encoder, not an encoder-decoder ({config.model_type}). Use another."
        )
    quantization = getattr(config, "quantization_config", None)
    if quantization:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise UserError(
            f"{place}: must not be quantised ({method or 'quantization_config'}), since probabilities and scores are "
            "computed in float32. Save it dequantised."
        )
    return config


def declares_reward_model(config: PretrainedConfig) -> bool:
    """Whether a configuration says that its model is a sequence classifier."""
    return any(name.endswith(_REWARD_ARCHITECTURE) for name in config.architectures or ())


def is_reward_model(source: str, config: PretrainedConfig) -> bool:
    """Whether a checkpoint is a reward model: it says so, or its weights have the head of one and no other."""
    if declares_reward_model(config):
        return True
    if not Path(source).is_dir() or not can_classify(config):
        return False
    try:
        load_classifier(source, "", device="meta")
    except UserError:
        return False
    try:
        load_causal_lm(source, "", device="meta")
    except UserError:
        return True
    return not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in config.architectures or ())


def can_classify(config: PretrainedConfig) -> bool:
    """Whether transformers has a sequence classifier of this architecture."""
    return type(config) in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING


def load_causal_lm(
    source: str, place: str, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> PreTrainedModel:
    """A causal language model, in eval mode.

    Args:
        source: folder or hub name.
        place: what the user calls the model, for messages.
        dtype: precision of its weights.
        device: `meta` reads names and shapes of the weights alone.

    Raises:
        UserError: if it is none, or not all of its weights can be read.
    """
    config = read_config(source, place)
    bidirectional = (
        config.model_type in transformers.models.auto.modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
        and not getattr(config, "is_decoder", True)
    )
    if bidirectional or config.model_type in _NOT_CAUSAL:
        raise UserError(
            f"{place}: must be a causal language model, but {config.model_type} reads later tokens too. "
            "Set is_decoder=true in config.json if it was trained as a decoder, or use another model."
        )
    model, report = _load(transformers.AutoModelForCausalLM, source, place, device, dtype=dtype)
    _check_complete(model, report, place)
    return model


def load_classifier(source: str, place: str, *, device: str = "cpu", new_head: bool = False) -> PreTrainedModel:
    """A reward model: a sequence classifier with one label, in float32 and eval mode.

    A head of one linear map is also found under the other names of `HEAD_NAMES`. Its bias, the same for each response,
    is left out where transformers' class has none.

    Args:
        source: folder or hub name.
        place: what the user calls the model, for messages.
        device: `meta` reads names and shapes of the weights alone.
        new_head: whether a missing head is made, of random numbers (torch's global stream); otherwise it is an error.

    Raises:
        UserError: if it is none, or not all of its weights can be read.
    """
    config = read_config(source, place)
    labels = {} if config.num_labels == 1 else {"num_labels": 1}
    auto = transformers.AutoModelForSequenceClassification
    model, report = _load(auto, source, place, device, **labels)
    renaming = None if new_head else _renaming(report)
    if renaming:
        model, report = _load(auto, source, place, device, key_mapping=renaming, **labels)
    mismatched = [shape for name, shape, _ in report["mismatched_keys"] if not _is_body(name, model)]
    if mismatched and len(mismatched[0]):
        raise UserError(
            f"{place}: a reward model must have one label, but has {mismatched[0][0]}. Train one with num_labels=1."
        )
    if new_head:
        report = {**report, "missing_keys": [n for n in report["missing_keys"] if _is_body(n, model)]}
    _check_complete(model, report, place)
    return model


def reason(error: Exception) -> str:
    """The first line of another library's message, shortened."""
    return first_line(error)[:MAX_REASON]


def _load(auto: Any, source: str, place: str, device: str, **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A model, and which of its weights the files lack or have in other shapes."""
    _refuse_pickles(source, place)
    with _quietly():
        try:
            model, report = auto.from_pretrained(
                source,
                **{"dtype": torch.float32, **options},
                **({"device_map": "meta"} if device == "meta" else {}),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
        except Exception as error:  # whatever transformers and safetensors raise
            if "Unrecognized configuration class" in str(error):
                kind = "a causal language model" if auto is transformers.AutoModelForCausalLM else "a reward model"
                raise UserError(
                    f"{place}: must be {kind}, but transformers has none of this architecture. Use another model."
                ) from None
            raise UserError(f"{place}: must have readable weights ({reason(error)}). Save the model again.") from None
    return model.eval(), report


def _has_adapter(source: str) -> bool:
    """Whether transformers would load an adapter, and with it the model that the adapter names."""
    with suppress(Exception):  # no such model: reading its configuration says so
        return transformers.utils.peft_utils.find_adapter_config_file(source) is not None
    return False


def _refuse_pickles(source: str, place: str) -> None:
    """Weights are read from safetensors alone: reading a pickle may execute what is in it."""
    folder = Path(source)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise UserError(
            f"{place}: must have its weights in safetensors, since a pickle such as {pickles[0]} can execute code when "
            "it is read. If you trust it, load it with transformers' from_pretrained and save it with save_pretrained."
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Inside, transformers draws no progress, and reports no missing weights, which our messages do."""
    verbosity, draws = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if draws:
            transformers.logging.enable_progress_bar()


def _check_complete(model: PreTrainedModel, report: dict[str, Any], place: str) -> None:
    for name, found, expected in sorted(report["mismatched_keys"]):
        raise UserError(
            f"{place}: the weights {name} must have the shape {tuple(expected)}, but have {tuple(found)}. "
            "Save the whole model."
        )
    missing = sorted(report["missing_keys"])
    if not missing:
        if unread := _unread_layers(model, report["unexpected_keys"]):
            raise UserError(
                f"{place}: must be described by its config.json, which has no place for the weights "
                f"{', '.join(unread[:3])}. Correct it (the number of layers, biases), or save the model again."
            )
        return
    heads = [name for name in sorted(report["unexpected_keys"]) if name.startswith(HEAD_NAMES)]
    others = f", and not {', '.join(heads[:3])}" if heads else ""
    raise UserError(f"{place}: must have the weights {', '.join(missing[:3])}{others}. Save the whole model.")


def _unread_layers(model: PreTrainedModel, unexpected: Iterable[str]) -> list[str]:
    """Weights of the layers that a model has, or of further ones, for which it has no place.

    Other weights may be left over: buffers of older versions (`rotary_emb.inv_freq`), heads, towers for images.
    """
    names = list(model.state_dict())
    stacks = {match[0] for name in names if (match := _LAYER.match(name))}
    layers = [name for name in unexpected if (match := _LAYER.match(name)) and match[0] in stacks]
    modules = {name.rpartition(".")[0] for name in names}
    return sorted(
        name
        for name in layers
        if name.endswith(".weight") or (name.endswith(".bias") and name.rpartition(".")[0] in modules)
    )


def _renaming(report: dict[str, Any]) -> dict[str, str] | None:
    """How to rename the only head that a file has to the only one that is missing."""
    missing = list(report["missing_keys"])
    found = [name for name in _modules(report["unexpected_keys"]) if name in HEAD_NAMES]
    if len(missing) != 1 or len(found) != 1 or not missing[0].endswith(".weight"):
        return None
    return {rf"^{found[0]}\.": missing[0].removesuffix("weight")}


def _modules(names: Iterable[str]) -> list[str]:
    return sorted(name.removesuffix(".weight") for name in names if name.endswith(".weight"))


def _is_body(name: str, model: PreTrainedModel) -> bool:
    """Whether weights are those that a language model shares with a classifier made of it."""
    return name.startswith(f"{model.base_model_prefix}.") and ".pooler." not in name
