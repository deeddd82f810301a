"""A user's models: any Hugging Face checkpoint of a causal language model or a reward model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlproject.digest import digest_of_files
from mlproject.errors import UserError
from mlproject.models.chat_template import refusal
from mlproject.models.conservative_head import with_saved_head
from mlproject.models.conversation_format import ConversationFormat
from mlproject.models.init import parameter_count
from mlproject.models.libraries import transformers
from mlproject.models.model_loading import (
    MAX_REASON,
    can_classify,
    is_reward_model,
    load_causal_lm,
    load_classifier,
    read_config,
    reason,
)
from mlproject.models.prompt_format import UNBOUNDED, appended_tokens
from mlproject.models.turns import left_out, response_ends, set_ends
from mlproject.models.weights import broken_weights

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class CheckpointInfo:
    """Properties of a checkpoint that are known without its weights.

    Attributes:
        source: folder (absolute) or hub name.
        name: last part of the source.
        is_reward_model: whether it is a sequence classifier; otherwise it is a causal language model.
        parameters: number of parameters without embeddings and heads.
        digest: SHA-256 of a folder's files; commit of a hub name.
        step_version: version of the steps that read it: 2 where 0.1.0 laid out a conversation, ended a response or
            decoded it in another way, 1 for all others.
    """

    source: str
    name: str
    is_reward_model: bool
    parameters: int
    digest: str
    step_version: int


@lru_cache(maxsize=256)
def read_info(source: str, checkpoint: str, option: str, changed: int, is_policy: bool) -> CheckpointInfo:
    """Read and check a checkpoint's configuration, tokenizer, and names and shapes of weights; see `inspection`.

    Args:
        source: folder (absolute) or hub name.
        checkpoint: the same as the user wrote it, for error messages.
        option: name of the option that gives it, for error messages.
        changed: time of the last change of its files; the cache depends on it.
        is_policy: whether it shall be a policy; otherwise it shall be a reward model, or become one.

    Raises:
        UserError: if it cannot serve as that, or a weight is not finite.
    """
    place = f"{option}={checkpoint}"
    config = read_config(source, place)
    tokenizer = _checked_tokenizer(source, place)
    is_reward = is_reward_model(source, config)
    model = _without_weights(source, config, place, is_reward, is_policy)
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:  # CANINE reads characters
        raise UserError(f"{place}: must read token ids, unlike {config.model_type}. Use another model.") from None
    if len(tokenizer) > embeddings.weight.shape[0]:
        raise UserError(
            f"{place}: must have an embedding for each of the tokenizer's {len(tokenizer)} tokens, but has "
            f"{embeddings.weight.shape[0]}. Call model.resize_token_embeddings and save it."
        )
    problem = broken_weights(_folder(source), changed)
    if problem:
        raise UserError(f"{place}: must have finite weights, but {problem}. Save the model again, as it was before.")
    version = 2 if tokenizer.chat_template or appended_tokens(tokenizer) else 1
    if not is_reward:
        ends = response_ends(_generation_config(source, config, place), tokenizer)
        version = 2 if len(ends) > 1 or _cleans_spaces(tokenizer) else version
    parameters = parameter_count(model if is_reward or is_policy else model.base_model)
    return CheckpointInfo(source, Path(source).name, is_reward, parameters, _digest(source), version)


def load_policy_checkpoint(checkpoint: CheckpointInfo, option: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A causal language model in float32 on the CPU, whose configuration names padding and ends, and its tokenizer.

    Raises:
        UserError: if its weights cannot be read.
    """
    model = load_causal_lm(checkpoint.source, f"{option}={checkpoint.source}")
    tokenizer = _load_tokenizer(checkpoint.source)
    set_ends(model, tokenizer)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.eos_token_id = model.config.eos_token_id
        model.generation_config.pad_token_id = model.config.pad_token_id
    return model, tokenizer


def load_reward_checkpoint(checkpoint: CheckpointInfo, option: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A sequence classifier with one label in float32 on the CPU, and its tokenizer.

    Raises:
        UserError: if its weights cannot be read, or its head is missing.
    """
    model = load_classifier(checkpoint.source, f"{option}={checkpoint.source}")
    return with_saved_head(model, Path(checkpoint.source)), _load_tokenizer(checkpoint.source)


def load_with_reward_head(
    checkpoint: CheckpointInfo, option: str, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A reward model with a language model's weights and a new, random head of one label, and its tokenizer.

    Raises:
        UserError: if the weights cannot be read.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = load_classifier(checkpoint.source, f"{option}={checkpoint.source}", new_head=True)
    tokenizer = _load_tokenizer(checkpoint.source)
    model.config.eos_token_id = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    no_padding = tokenizer.pad_token_id is None
    model.config.pad_token_id = model.config.eos_token_id if no_padding else tokenizer.pad_token_id
    return model, tokenizer


def prompt_format_of(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> ConversationFormat:
    """Format of a reward model that reads texts: as many tokens as the model can read."""
    return ConversationFormat(tokenizer, UNBOUNDED, longest_sequence(model))


def longest_sequence(model: PreTrainedModel) -> int | None:
    """Largest number of tokens that a model can read; None if its configuration does not say."""
    longest: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and longest <= 0:  # XLNet's way to say that there is no limit
        return None
    learned = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    offset = getattr(learned, "padding_idx", None)  # RoBERTa's positions start after the index of its padding token
    return longest if longest is None or offset is None else longest - offset - 1


def _checked_tokenizer(source: str, place: str) -> PreTrainedTokenizerFast:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{place}: must have a tokenizer ({reason(error)}). Save it beside the model.") from None
    if not isinstance(tokenizer, transformers.PreTrainedTokenizerFast):
        raise UserError(f"{place}: must have a fast tokenizer. Save its tokenizer.json beside the model.")
    if not tokenizer("Hello, 1 world.", add_special_tokens=False)["input_ids"]:  # a default one, if files are missing
        raise UserError(f"{place}: must have a tokenizer that knows words. Save its tokenizer.json beside the model.")
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise UserError(f"{place}: its tokenizer must have an end-of-sequence token. Set eos_token and save it.")
    if problem := refusal(tokenizer, "Hello"):
        raise UserError(
            f"{place}: its chat template must lay out a user's turn and the assistant's ({problem[:MAX_REASON]}). "
            "Correct it."
        )
    if speaker := left_out(tokenizer):
        raise UserError(
            f"{place}: its chat template must write what the {speaker} says, but leaves a content that is a text out. "
            "Correct it."
        )
    return tokenizer


def _cleans_spaces(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the tokenizer would decode a text with fewer spaces than were written."""
    ids = tokenizer("Well , a 'b ' is n't c .", add_special_tokens=False)["input_ids"]
    cleans = tokenizer.clean_up_tokenization_spaces
    return cleans and tokenizer.decode(ids) != tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def _generation_config(source: str, config: PretrainedConfig, place: str) -> transformers.GenerationConfig:
    """As a loaded model would have it: from its own file, or else from its configuration."""
    try:
        return transformers.GenerationConfig.from_pretrained(source)
    except OSError as error:
        if (Path(source) / "generation_config.json").exists():
            raise UserError(
                f"{place}: must have a readable generation_config.json ({reason(error)}). Correct or remove it."
            ) from None
        return transformers.GenerationConfig.from_model_config(config)


def _without_weights(
    source: str, config: PretrainedConfig, place: str, is_reward: bool, is_policy: bool
) -> PreTrainedModel:
    """The model on the device `meta`; the weights of a folder are compared with it, those of a hub name only later."""
    if is_reward and is_policy:
        raise UserError(f"{place}: must be a causal language model, not a reward model. Use another one.")
    if not is_policy and not can_classify(config):
        raise UserError(
            f"{place}: must be of an architecture of which transformers has a sequence classifier, unlike "
            f"{config.model_type}. Use another model."
        )
    if Path(source).is_dir():
        if is_policy:
            return load_causal_lm(source, place, device="meta")
        return load_classifier(source, place, device="meta", new_head=not is_reward)
    if is_reward and config.num_labels != 1:
        raise UserError(
            f"{place}: a reward model must have one label, but has {config.num_labels}. Train one with num_labels=1."
        )
    auto = transformers.AutoModelForCausalLM if is_policy else transformers.AutoModelForSequenceClassification
    try:
        with torch.device("meta"):
            return auto.from_config(config, trust_remote_code=False)
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"{place}: must be a causal language model or a reward model ({reason(error)}). Use another one."
        ) from None


def _load_tokenizer(source: str) -> PreTrainedTokenizerFast:
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    tokenizer.padding_side = "right"
    return tokenizer


def _digest(source: str) -> str:
    folder = _folder(source)
    return digest_of_files(folder, folder.iterdir()) if Path(source).is_dir() else folder.name


def _folder(source: str) -> Path:
    """The folder itself; of a hub name that in the hub's cache, which has one for each commit."""
    return Path(source) if Path(source).is_dir() else Path(transformers.utils.cached_file(source, "config.json")).parent


def __getattr__(name: str) -> Any:
    """Old names of what has moved to `mlproject.models.inspection`, for one release."""
    moved = {"look_up": "inspect_checkpoint", "look_up_reward_model": "inspect_reward_model"}
    if name not in moved:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    inspection = import_module("mlproject.models.inspection")  # which imports this module
    warnings.warn(f"{__name__}.{name} is now {inspection.__name__}.{moved[name]}", DeprecationWarning, stacklevel=2)
    return getattr(inspection, moved[name])
