"""A reward function as TRL's trainers call it, turned into a scorer: a function of (prompts, responses)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlproject.errors import UserError
from mlproject.rewards.functions import ScoreFunction, takes
from mlproject.strict_json import strict_json
from mlproject.worlds.chat import messages_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


_CONTENT = '["user", "'
"""What stands before the text of a user's turn in a key."""


def trl_reward(
    function: Callable[..., Sequence[float | None]],
    *,
    chat: bool = True,
    rows: Iterable[Mapping[str, Any]] = (),
    tokenizer: PreTrainedTokenizerFast | None = None,
    not_applicable: float = 0.0,
) -> ScoreFunction:
    """A scorer made of a reward function of TRL's, or of your own in TRL's form.

    Args:
        function: takes `prompts`, `completions` and further columns by name, those that it names or (`**others`) all,
            and returns a number or None for each; may be a coroutine function.
        chat: whether the training's dataset holds messages. The function then gets prompts as lists of messages and
            completions as lists of one message, otherwise texts, as a trainer would give them.
        rows: rows of the dataset for the held-out prompts: `prompt`, a text or messages, and the columns that the
            function takes (`solution`, ...).
        tokenizer: gives the function `completion_ids`, the ids of each response without its end.
        not_applicable: the score where the function returns None, which TRL leaves out of the sum of its rewards.

    Raises:
        UserError: for rows of which one has no prompt, or lacks a column that another has.

    Examples:
        >>> from mlproject import trl_reward
        >>> def is_right(completions, solution, **others):
        ...     return [float(c[0]["content"] == s) if s else None for c, s in zip(completions, solution)]
        >>> rows = [{"prompt": "1 + 1", "solution": "2"}, {"prompt": "Why?", "solution": None}]
        >>> trl_reward(is_right, rows=rows)(["1 + 1", "1 + 1", "Why?"], ["2", "3", "So."])
        [1.0, 0.0, 0.0]
    """
    columns_of: dict[str, dict[str, Any]] = {}
    names: list[str] | None = None
    for number, row in enumerate(rows, 1):
        names = sorted(set(row) - {"prompt"}) if names is None else names
        if "prompt" not in row or sorted(set(row) - {"prompt"}) != names:
            raise UserError(
                f"rows: number {number} must have a prompt and the columns of the first row ({', '.join(names)}), but "
                f"has {', '.join(row)}. Correct it."
            )
        columns_of[_key(row["prompt"])] = {name: row[name] for name in names}

    def score(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        further: dict[str, list[Any]] = {}
        if names:
            found = [_columns(columns_of, prompt) for prompt in prompts]
            further = {name: [columns[name] for columns in found] for name in names}
        if tokenizer is not None:
            further["completion_ids"] = tokenizer(list(responses), add_special_tokens=False)["input_ids"]
        given = {
            "prompts": [messages_of(prompt) for prompt in prompts] if chat else list(prompts),
            "completions": [[{"role": "assistant", "content": t}] for t in responses] if chat else list(responses),
            **further,
        }
        values = function(**{name: value for name, value in given.items() if takes(function, name)})
        if inspect.isawaitable(values):
            values = asyncio.run(_result(values))
        return [not_applicable if value is None else float(value) for value in values]

    score.__qualname__ = getattr(function, "__qualname__", type(function).__name__)
    return score


async def _result(values: Any) -> Any:
    return await values


def _key(prompt: Any) -> str:
    """A prompt as a text that is the same whether it was given as a text, as messages, or as JSON."""
    messages = messages_of(prompt) if isinstance(prompt, str) else prompt
    return strict_json([[message["role"], message["content"]] for message in messages])


def _columns(columns_of: Mapping[str, dict[str, Any]], prompt: str) -> dict[str, Any]:
    key = _key(prompt)
    if key in columns_of:
        return columns_of[key]
    if len(messages_of(prompt)) == 1:  # a long prompt has lost its beginning
        end = key.partition(_CONTENT)[2]
        ends = [columns for whole, columns in columns_of.items() if whole.endswith(end)]
        if len(ends) == 1:
            return ends[0]
    raise UserError(f"rows: must hold each held-out prompt, but lack {prompt[:60]!r}. Give its row.")
