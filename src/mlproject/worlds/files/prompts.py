"""A user's prompts: texts or conversations, without duplicates, in three disjoint splits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.errors import UserError
from mlproject.worlds.chat import CHAT_PREFIX
from mlproject.worlds.files.messages import EmptyTurnError, is_prompt, prompt_of
from mlproject.worlds.files.reading import EMPTY_ROWS, Reading
from mlproject.worlds.files.rows import InvalidRows, Row
from mlproject.worlds.files.schemas import recognised
from mlproject.worlds.files.schemas.schema import Dropped, conversation_prompt, instruction_prompt
from mlproject.worlds.files.sources import read_rows


def read_prompts(path: Path, field: str, invalid: InvalidRows) -> list[str]:
    """The distinct prompts of a file, in order; a conversation of several turns is a JSON text.

    Args:
        path: path of the file.
        field: name of the field that holds a prompt; where it is `prompt`, the known kinds of files are recognised.
        invalid: collects the invalid rows.

    Raises:
        UserError: if a row is invalid (unless such rows are skipped) or no prompt is left.
    """
    return read_prompts_with_counts(path, field, invalid)[0]


def read_prompts_with_counts(path: Path, field: str, invalid: InvalidRows) -> tuple[list[str], Reading]:
    """The same, with how the file was read and what was left out of it."""
    skipped_before = len(invalid.skipped)
    rows = read_rows(path, "prompts")
    title, prompt_of_row, is_published = _kind([row for row in rows if not row.problem], field)
    reading = Reading("prompts", path, title, "", unit="distinct prompts")
    prompts: dict[str, None] = {}
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            prompt = prompt_of_row(row)
            invalid.check_prompt(field, prompt)
        except Dropped as reason:
            reading.dropped[f"rows {reason}"] += 1
        except ValueError as error:
            if isinstance(error, EmptyTurnError) and is_published:
                reading.dropped[EMPTY_ROWS] += 1
            else:
                invalid.report(row.place, str(error))
        else:
            prompts.setdefault(prompt)
            reading.is_as_before &= _is_as_before(row.values.get(field), prompt)
    reading.count, reading.skipped = len(prompts), len(invalid.skipped) - skipped_before
    if not prompts:
        raise UserError(f"prompts={path}: must contain a prompt.{invalid.summary()} Add prompts.")
    return list(prompts), reading


def _kind(rows: Sequence[Row], field: str) -> tuple[str, Callable[[Row], str], bool]:
    """Kind of a file of prompts, what reads the prompt of a row, and whether such files are published."""
    columns = set(rows[0].values) if rows else set()
    if field == "prompt":
        schema = recognised(rows)
        if schema is not None:
            return schema.title, schema.prompt, True
        if field not in columns:
            names = ("messages", "conversations", "conversation", "chosen")
            name = next((name for name in names if name in columns), "")
            if name:
                return name, lambda row: conversation_prompt(name, row.value(name), row.system), False
            if "instruction" in columns:
                return "instruction and input", _instruction, False
    return f"column {field}", lambda row: prompt_of(field, row.value(field), row.system), False


def _instruction(row: Row) -> str:
    return prompt_of("instruction", instruction_prompt(row), row.system)


def _is_as_before(value: Any, prompt: str) -> bool:
    """Whether version 0.1 read this prompt from the value of its field."""
    if isinstance(value, str):
        return value == prompt or value.startswith(CHAT_PREFIX)
    return is_prompt(value, prompt)


def split_prompts(
    prompts: Sequence[str], seed: int, held_out: Mapping[str, int], sampled: Collection[str] | None = None
) -> dict[str, list[str]]:
    """Shuffle prompts and split them.

    Args:
        prompts: distinct texts.
        seed: seed of the shuffle.
        held_out: number of prompts of each held-out split; `train` gets the others.
        sampled: prompts to which a user has responses; the first held-out split is drawn from them. None: from all.

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
    if sampled is not None:
        is_sampled = np.array([prompts[i] in sampled for i in order])
        first, count = next(iter(held_out.items()))
        if is_sampled.sum() < count:
            raise UserError(
                f"pool: must hold responses to at least {first}_prompts={count} of the prompts, but does so for "
                f"{is_sampled.sum()} of {len(prompts)} (the same texts must stand in both files). Lower "
                f"{first}_prompts, or give prompts=POOL."
            )
        order = np.concatenate([order[is_sampled], order[~is_sampled]])
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
