"""Which prompts of a user's files the chat templates of the user's models refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mlproject.config.schema import Config
from mlproject.models.chat_template import refusal
from mlproject.models.inspection import inspect_checkpoint, inspect_policy
from mlproject.models.libraries import transformers
from mlproject.models.sizes import is_checkpoint
from mlproject.pipeline.preflight import RM_OPTIONS
from mlproject.worlds.files.rows import Refuses
from mlproject.worlds.files.snapshot import path_and_digest, read_file
from mlproject.worlds.files.spec import ReadOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def readers_of(config: Config, proxy: str = "") -> dict[str, str]:
    """The user's models that read the prompts: the option that names each first, as `option=checkpoint`, by source.

    Args:
        config: the configuration.
        proxy: value of the entry point's parameter `proxy`, if it has one.
    """
    named = [("policy", config.policy_checkpoint), ("proxy", proxy)]
    for option in RM_OPTIONS:
        value = getattr(config, option)
        named += [(option, name) for name in (value if isinstance(value, tuple) else (value,))]
    named += [("gold", config.gold)] if config.gold_source.is_checkpoint else []
    readers: dict[str, str] = {}
    for option, name in named:
        if is_checkpoint(name) and not name.startswith("models:/"):
            inspect = inspect_policy if option == "policy" else inspect_checkpoint
            readers.setdefault(inspect(name, option).source, f"{option}={name}")
    return readers


def refused_by(readers: Mapping[str, str]) -> Refuses:
    """Why one of several models refuses a prompt.

    Args:
        readers: what messages call each model, by its folder or hub name.
    """

    def refuses(prompt: str) -> str:
        reasons = ((name, refusal(_tokenizer(source), prompt)) for source, name in readers.items())
        return next((f"that of {name} does not ({reason})" for name, reason in reasons if reason), "")

    return refuses


def refusing_models(config: Config, options: ReadOptions, option: str) -> dict[str, Any]:
    """Parameters of a step that reads a file: the models, beside the policy, for whose sake it leaves rows out.

    Args:
        config: the configuration.
        options: how the file is read.
        option: `prompts` or `preferences`.

    Returns:
        none where the models take all prompts, so that the step's fingerprint is what it was.
    """
    if not options.skips_invalid_rows:  # a row that a model refuses is reported before anything starts
        return {}
    path = getattr(config, option)
    sources = tuple(list(readers_of(config))[1:])
    refusing = _refusing(options, option, path, path_and_digest(path)["sha256"], sources)
    if not refusing:
        return {}
    digests = [inspect_checkpoint(source, option).digest for source in refusing]
    return {"refused_by": list(refusing), "refused_by_sha256": digests}


def readers_of_step(policy: str, params: Mapping[str, Any]) -> dict[str, str]:
    """The models for whose sake a step leaves rows out, by source: the policy, and those that its parameters name."""
    sources: Sequence[str] = [policy, *params.get("refused_by", ())]
    return {source: source for source in sources}


@lru_cache(maxsize=16)
def _refusing(options: ReadOptions, option: str, path: str, digest: str, sources: Sequence[str]) -> tuple[str, ...]:
    """Those of several models that refuse a prompt of a file; cached while its digest does not change."""
    found: set[str] = set()

    def note(prompt: str) -> str:
        found.update(source for source in sources if source not in found and refusal(_tokenizer(source), prompt))
        return ""

    read_file(options, option, path, note)
    return tuple(source for source in sources if source in found)


@lru_cache(maxsize=64)
def _tokenizer(source: str) -> PreTrainedTokenizerFast:
    return transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
