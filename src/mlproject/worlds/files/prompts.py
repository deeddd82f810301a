"""Prompts of a user's own: texts or conversations, each once, in three disjoint splits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.errors import UserError
from mlproject.worlds.chat import CHAT_PREFIX
from mlproject.worlds.files.rows import BadLines, Row, checked_text, read_rows

SPLITS = ("train", "curve", "audit")
ROLES = ("system", "user", "assistant")


def read_prompts(path: Path, field: str, bad: BadLines) -> list[str]:
    """Every prompt of a file once, in order; a conversation of several turns as a JSON text.

    Raises:
        UserError: where a row is wrong (unless such rows are skipped), or none is left.
    """
    prompts: dict[str, None] = {}
    for row in read_rows(path, "prompts", bad):
        try:
            prompts.setdefault(_prompt(row, field))
        except ValueError as error:
            bad.tell(row.place, str(error))
    if not prompts:
        skipped = f"; {len(bad.found)} bad rows were skipped, the first: {bad.found[0]}" if bad.found else ""
        raise UserError(f"prompts={path}: holds no prompt{skipped}")
    return list(prompts)


def _prompt(row: Row, field: str) -> str:
    value = row.value(field)
    if isinstance(value, list):
        return chat_prompt(field, value)
    return prompt_text(field, row.text(field))


def prompt_text(field: str, text: str) -> str:
    """A prompt from a text: itself, unless it is a conversation that was written as JSON.

    Raises:
        ValueError: where it is blank, or no such conversation.
    """
    if not text.strip():
        raise ValueError(f"field {field}: is empty")
    if not text.startswith(CHAT_PREFIX):
        return text
    try:
        messages = json.loads(text)
    except ValueError:
        return text
    return chat_prompt(field, messages)


def chat_prompt(field: str, messages: Any) -> str:
    """A prompt from messages that end with the user's turn: its text where that is all, else JSON.

    Raises:
        ValueError: where they are no such conversation.
    """
    said = checked_messages(field, messages)
    if said[-1]["role"] != "user":
        raise ValueError(f"field {field}: ends with the {said[-1]['role']}'s turn; a prompt ends with the user's")
    if len(said) == 1 and not said[0]["content"].startswith(CHAT_PREFIX):
        return said[0]["content"]
    return json.dumps(said, ensure_ascii=False)


def checked_messages(field: str, messages: Any) -> list[dict[str, str]]:
    """Messages with role and content, and nothing else.

    Raises:
        ValueError: saying which message is wrong, and how.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"field {field}: holds no message; allowed is a list of role and content")
    said = []
    for number, message in enumerate(messages, 1):
        where = f"field {field}, message {number}"
        if not isinstance(message, dict) or not {"role", "content"} <= set(message):
            raise ValueError(f"{where}: needs role and content")
        if message["role"] not in ROLES:
            raise ValueError(f"{where}: has the role {message['role']!r}; allowed are {', '.join(ROLES)}")
        if not isinstance(message["content"], str) or not message["content"].strip():
            raise ValueError(f"{where}: has no text as its content")
        said.append({"role": message["role"], "content": checked_text(field, message["content"])})
    return said


def split_prompts(prompts: Sequence[str], seed: int, held_out: Mapping[str, int]) -> dict[str, list[str]]:
    """Shuffle prompts and deal them out.

    Args:
        prompts: distinct texts.
        seed: of the order.
        held_out: how many `curve` and `audit` take; `train` has the rest.

    Raises:
        UserError: where none would be left for `train`.
    """
    taken = sum(held_out.values())
    if len(prompts) <= taken:
        asked = " and ".join(f"{name}_prompts={count}" for name, count in held_out.items())
        raise UserError(
            f"prompts: {len(prompts)} distinct ones, and {asked} leave none to train on; give more, or less"
        )
    order = np.random.default_rng(seed).permutation(len(prompts))
    splits, start = {}, 0
    for name, count in held_out.items():
        splits[name] = [prompts[i] for i in order[start : start + count]]
        start += count
    return {"train": [prompts[i] for i in order[start:]], **splits}


def too_long(given: str, prompt: str, most: int) -> UserError:
    """What a user is told of a long prompt where `long_prompts=stop`."""
    return UserError(
        f"{given}: one prompt has more than max_prompt_tokens={most} tokens: {prompt[:40]!r}...; "
        "raise max_prompt_tokens, or give long_prompts=cut or skip"
    )


def fit_prompts(
    prompts: Sequence[str], most: int, rule: str, cut: Callable[[str, int], str | None]
) -> tuple[list[str], int]:
    """Deal with prompts that are too long for the policy.

    Args:
        prompts: texts.
        most: tokens that a prompt may have.
        rule: `cut` (its end is kept), `skip` or `stop`.
        cut: (prompt, most) -> the shortened text, or None where it is short enough.

    Returns:
        the prompts, each once, and how many were too long.

    Raises:
        UserError: for a long prompt where the rule is `stop`, or where no prompt is left.
    """
    kept: dict[str, None] = {}
    long = 0
    for prompt in prompts:
        shorter = cut(prompt, most)
        if shorter is None:
            kept.setdefault(prompt)
            continue
        long += 1
        if rule == "stop":
            raise too_long("prompts", prompt, most)
        if rule == "cut" and shorter.strip():
            kept.setdefault(shorter)
    if not kept:
        raise UserError(f"prompts: all {long} are longer than max_prompt_tokens={most}; raise it")
    return list(kept), long
