"""Somebody's own models: any Hugging Face checkpoint, looked at before it is used and read with its units unknown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlproject.digest import digest_of_files
from mlproject.errors import UserError, first_line
from mlproject.models.sizes import SIZES, is_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from mlproject.models.prompt_format import PromptFormat

_HEAD = "ForSequenceClassification"


@dataclass(frozen=True)
class CheckpointInfo:
    """What is known of a checkpoint without reading its weights.

    Attributes:
        source: folder (absolute) or hub name.
        name: for people: the last part of the source.
        is_reward_model: it has a head for sequences; else it is a language model.
        parameters: without embeddings and heads.
        digest: SHA-256 of a folder's files; of a hub name the commit that it stands for.
    """

    source: str
    name: str
    is_reward_model: bool
    parameters: int
    digest: str


def inspect_checkpoint(given: str, option: str) -> CheckpointInfo:
    """Look at a checkpoint's configuration and tokenizer.

    Args:
        given: folder or hub name.
        option: that named it, for messages.

    Raises:
        UserError: where there is none, or it can be neither policy nor reward model.
    """
    folder = Path(given).expanduser()
    is_folder = folder.is_dir()
    if not is_folder and (given.startswith((".", "/", "~")) or folder.exists()):
        raise UserError(f"{option}={given}: is no folder; give a Hugging Face folder, or OWNER/NAME on the hub")
    source = str(folder.resolve()) if is_folder else given
    newest = max((f.stat().st_mtime_ns for f in folder.iterdir() if f.is_file()), default=0) if is_folder else 0
    return _inspect(source, given, option, newest)


def inspect_reward_model(given: str, option: str) -> CheckpointInfo:
    """Look at a checkpoint that must be a finished reward model.

    Raises:
        UserError: where there is none, or it is a language model.
    """
    found = inspect_checkpoint(given, option)
    if not found.is_reward_model:
        raise UserError(f"{option}={given}: is a language model; give a reward model (a one-label sequence classifier)")
    return found


def rm_parameters(name: str) -> int:
    """Parameters of a reward model, without embeddings: of the ladder, or a checkpoint."""
    return (
        inspect_checkpoint(name, "rm_sizes").parameters if is_checkpoint(name) else SIZES[name].reward_model_parameters
    )


@lru_cache(maxsize=256)
def _inspect(source: str, given: str, option: str, newest: int) -> CheckpointInfo:
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        PreTrainedTokenizerFast,
    )

    from mlproject.models.init import parameter_count

    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise UserError(f"{option}={given}: no model there ({first_line(error)[:200]})") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{option}={given}: no tokenizer there ({first_line(error)[:200]})") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"{option}={given}: its tokenizer has no fast version; save its tokenizer.json too")
    if not tokenizer("Hello, 1 world.", add_special_tokens=False)["input_ids"]:  # made up where its files are missing
        raise UserError(f"{option}={given}: no tokenizer there (it knows no word); save its tokenizer.json too")
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise UserError(f"{option}={given}: its tokenizer has no end-of-sequence token; set eos_token and save it")
    is_reward_model = any(name.endswith(_HEAD) for name in config.architectures or ())
    if is_reward_model and config.num_labels != 1:
        raise UserError(f"{option}={given}: has {config.num_labels} labels; a reward model has 1 (num_labels=1)")
    auto = AutoModelForSequenceClassification if is_reward_model else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            model = auto.from_config(config)
    except (ValueError, AttributeError) as error:
        raise UserError(f"{option}={given}: neither language nor reward model ({first_line(error)[:200]})") from None
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > embeddings.weight.shape[0]:
        raise UserError(
            f"{option}={given}: its tokenizer has {len(tokenizer)} tokens, its model {embeddings.weight.shape[0]}; "
            "resize the embeddings (model.resize_token_embeddings) and save it"
        )
    name = Path(source).name
    return CheckpointInfo(source, name, is_reward_model, parameter_count(model), _digest(source))


def load_policy_checkpoint(checkpoint: CheckpointInfo, option: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A causal language model in float32, on the CPU, that knows its padding and its end, and its tokenizer.

    Raises:
        UserError: where it is a reward model, or its weights cannot be read.
    """
    from transformers import AutoModelForCausalLM

    if checkpoint.is_reward_model:
        raise UserError(f"{option}={checkpoint.source}: is a reward model; a policy is a causal language model")
    model = _load(AutoModelForCausalLM, checkpoint.source, option)
    tokenizer = _load_tokenizer(checkpoint.source)
    _name_special_tokens(model, tokenizer)
    return model, tokenizer


def load_reward_checkpoint(checkpoint: CheckpointInfo, option: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A one-label sequence classifier in float32, on the CPU, and its tokenizer.

    Raises:
        UserError: where it has no trained head, or its weights cannot be read.
    """
    from transformers import AutoModelForSequenceClassification

    if not checkpoint.is_reward_model:
        raise UserError(f"{option}={checkpoint.source}: is no reward model (no {_HEAD} architecture with one label)")
    return _load(AutoModelForSequenceClassification, checkpoint.source, option), _load_tokenizer(checkpoint.source)


def load_with_reward_head(
    checkpoint: CheckpointInfo, option: str, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A reward model that starts from a language model's weights: a new head of one label, random by the seed.

    Raises:
        UserError: where the weights cannot be read.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _load(AutoModelForSequenceClassification, checkpoint.source, option, is_new=True)
    tokenizer = _load_tokenizer(checkpoint.source)
    _name_special_tokens(model, tokenizer)
    return model, tokenizer


def prompt_format_of(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> PromptFormat:
    """How a reward model with a tokenizer of its own reads texts: as much as it can."""
    from mlproject.models.prompt_format import UNBOUNDED, PromptFormat

    return PromptFormat(tokenizer, UNBOUNDED, longest_sequence(model))


def longest_sequence(model: PreTrainedModel) -> int | None:
    """Tokens that a model can read at once; None where its configuration does not say."""
    longest: int | None = getattr(model.config, "max_position_embeddings", None)
    learned = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    before = getattr(learned, "padding_idx", None)  # RoBERTa counts positions from behind its padding token
    return longest if longest is None or before is None else longest - before - 1


def _load(auto: type, source: str, option: str, is_new: bool = False) -> PreTrainedModel:
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from transformers.utils import logging

    told = logging.get_verbosity()
    logging.set_verbosity_error()  # it reports weights that a new head lacks
    try:
        extra = {"num_labels": 1} if is_new else {}
        model, report = auto.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **extra)  # type: ignore[attr-defined]
    except (OSError, ValueError, RuntimeError, KeyError, EOFError, SafetensorError, UnpicklingError) as error:
        raise UserError(f"{option}={source}: its weights cannot be read ({first_line(error)[:200]})") from None
    finally:
        logging.set_verbosity(told)
    missing = sorted(report["missing_keys"])
    if missing and not is_new:
        raise UserError(f"{option}={source}: its weights lack {', '.join(missing[:3])}; save the whole model")
    return model.eval()


def _load_tokenizer(source: str) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.padding_side = "right"
    return tokenizer


def _name_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    model.config.eos_token_id = end
    model.config.pad_token_id = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.eos_token_id = model.config.eos_token_id
        model.generation_config.pad_token_id = model.config.pad_token_id


def _digest(source: str) -> str:
    from transformers.utils import cached_file

    folder = Path(source)
    if not folder.is_dir():
        return Path(cached_file(source, "config.json")).parent.name  # the hub's cache: a folder for each commit
    return digest_of_files(folder, folder.iterdir())
