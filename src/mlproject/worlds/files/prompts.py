"""A user's prompts: texts or conversations, without duplicates, in three disjoint splits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.errors import UserError
from mlproject.worlds.chat import CHAT_PREFIX
from mlproject.worlds.files.rows import InvalidRows, Row, checked_text, kind_of, read_rows

ROLES = ("system", "user", "assistant")


def read_prompts(path: Path, field: str, invalid: InvalidRows) -> list[str]:
    """The distinct prompts of a file, in order; a conversation of several turns is a JSON text.

    Args:
        path: path of the file.
        field: name of the field that holds a prompt.
        invalid: collects the invalid rows.

    Raises:
        UserError: if a row is invalid (unless such rows are skipped) or no prompt is left.
    """
    prompts: dict[str, None] = {}
    for row in read_rows(path, "prompts", invalid):
        try:
            prompts.setdefault(_prompt(row, field))
        except ValueError as error:
            invalid.report(row.place, str(error))
    if not prompts:
        raise UserError(f"prompts={path}: must contain a prompt.{invalid.summary()} Add prompts.")
    return list(prompts)


def _prompt(row: Row, field: str) -> str:
    value = row.value(field)
    if isinstance(value, list):
        return chat_prompt(field, value)
    return prompt_text(field, row.text(field))


def prompt_text(field: str, text: str) -> str:
    """A prompt from a text: the text itself, unless it is a conversation written as JSON.

    Raises:
        ValueError: if it is blank, or a conversation that is no prompt.
    """
    if not text.strip():
        raise ValueError(f"field {field} must not be empty")
    if not text.startswith(CHAT_PREFIX):
        return text
    try:
        messages = json.loads(text)
    except ValueError:
        return text
    return chat_prompt(field, messages)


def chat_prompt(field: str, messages: Any) -> str:
    """A prompt from messages that end with the user's turn: the text of a single turn, or JSON.

    Raises:
        ValueError: if they are no such conversation.
    """
    turns = checked_messages(field, messages)
    if turns[-1]["role"] != "user":
        raise ValueError(f"field {field} must end with the user's turn, not with the {turns[-1]['role']}'s")
    if len(turns) == 1 and not turns[0]["content"].startswith(CHAT_PREFIX):
        return turns[0]["content"]
    return json.dumps(turns, ensure_ascii=False)


def checked_messages(field: str, messages: Any) -> list[dict[str, str]]:
    """Messages with role and content only.

    Raises:
        ValueError: for the first invalid message; says what is wrong with it.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"field {field} must be a list of messages with role and content, and not empty")
    turns = []
    for number, message in enumerate(messages, 1):
        place = f"field {field}, message {number}"
        if not isinstance(message, dict) or not {"role", "content"} <= set(message):
            raise ValueError(f"{place} must have role and content")
        if message["role"] not in ROLES:
            raise ValueError(
                f"{place} must have the role {', '.join(ROLES[:-1])} or {ROLES[-1]}, not {message['role']!r}"
            )
        if not isinstance(message["content"], str):
            raise ValueError(f"{place} must have a text as content, not {kind_of(message['content'])}")
        if not message["content"].strip():
            raise ValueError(f"{place} must not be empty")
        turns.append({"role": message["role"], "content": checked_text(field, message["content"])})
    return turns


def split_prompts(prompts: Sequence[str], seed: int, held_out: Mapping[str, int]) -> dict[str, list[str]]:
    """Shuffle prompts and split them.

    Args:
        prompts: distinct texts.
        seed: seed of the shuffle.
        held_out: number of prompts of each held-out split; `train` gets the others.

    Raises:
        UserError: if no prompt would be left for `train`.
    """
    if len(prompts) <= sum(held_out.values()):
        options = " and ".join(f"{name}_prompts={count}" for name, count in held_out.items())
        raise UserError(
            f"prompts: must have more than {sum(held_out.values())} distinct prompts with {options}, but there are "
            f"{len(prompts)}. Add prompts or hold out fewer."
        )
    order = np.random.default_rng(seed).permutation(len(prompts))
    splits, start = {}, 0
    for name, count in held_out.items():
        splits[name] = [prompts[i] for i in order[start : start + count]]
        start += count
    return {"train": [prompts[i] for i in order[start:]], **splits}


def too_long(option: str, prompt: str, limit: int) -> UserError:
    """The error for a long prompt when `long_prompts=stop`."""
    return UserError(
        f"{option}: each prompt must have at most max_prompt_tokens={limit} tokens, but {prompt[:40]!r}... has more. "
        "Raise max_prompt_tokens or use long_prompts=cut or skip."
    )


def fit_prompts(
    prompts: Sequence[str], limit: int, rule: str, cut: Callable[[str, int], str | None]
) -> tuple[list[str], int]:
    """Apply `long_prompts` to prompts that are too long for the policy.

    Args:
        prompts: texts.
        limit: largest number of tokens of a prompt.
        rule: value of `long_prompts`: `cut` (its end stays), `skip` or `stop`.
        cut: (prompt, limit) -> the shortened text, or None if it is short enough.

    Returns:
        the distinct prompts, and the number of prompts that were too long.

    Raises:
        UserError: for a long prompt if the rule is `stop`, or if no prompt is left.
    """
    fitting: dict[str, None] = {}
    long = 0
    for prompt in prompts:
        shortened = cut(prompt, limit)
        if shortened is None:
            fitting.setdefault(prompt)
            continue
        long += 1
        if rule == "stop":
            raise too_long("prompts", prompt, limit)
        if rule == "cut" and shortened.strip():
            fitting.setdefault(shortened)
    if not fitting:
        raise UserError(
            f"prompts: one must have at most max_prompt_tokens={limit} tokens, but all {long} have more. "
            "Raise max_prompt_tokens."
        )
    return list(fitting), long
