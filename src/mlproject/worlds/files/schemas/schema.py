"""What a schema is: the columns by which a kind of file is known, and how a row becomes pairs and a prompt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.worlds.files.messages import (
    chat_prompt,
    checked_messages,
    list_or_object,
    messages_of_text,
    prompt_of,
    turns_of,
)
from mlproject.worlds.files.rows import Row
from mlproject.worlds.files.winner import FIRST, SECOND, TIE, Side


@dataclass(frozen=True)
class Pair:
    """Two responses to a prompt.

    Attributes:
        prompt: text, or JSON of messages.
        first: a response.
        second: another one.
        winner: 0: the first won, 1: the second, None: neither.
    """

    prompt: str
    first: str
    second: str
    winner: Side


class Dropped(Exception):  # noqa: N818  it is no error: such rows are part of the published file
    """A valid row of which no pair can be made; its text is the reason, for a count."""


@dataclass(frozen=True)
class Schema:
    """A kind of file.

    Attributes:
        name: value of `preference_format`.
        title: its name for people.
        says: what is read as chosen.
        columns: columns that it must have.
        pairs: pairs of a row; raises ValueError if the row is invalid, `Dropped` if it holds no pair.
        prompt: prompt of a row, likewise.
        fits: whether the values of one of the first rows are of this kind, too.
        grouped: joins rows that belong together.
        winners: columns that may say which side won, where the schema has several; `pairs` reads the first.
        with_winner: the same schema, reading another of `winners`.
    """

    name: str
    title: str
    says: str
    columns: frozenset[str]
    pairs: Callable[[Row], Iterable[Pair]]
    prompt: Callable[[Row], str]
    fits: Callable[[Mapping[str, Any]], bool] = lambda values: True
    grouped: Callable[[Iterable[Row]], Iterator[Row]] = iter
    winners: Sequence[str] = ()
    with_winner: Callable[[str], Schema] | None = None

    def matches(self, rows: Sequence[Row]) -> bool:
        """Whether the first rows of a file are of this kind."""
        return any(self.columns <= set(row.values) and self._fits(row) for row in rows[:10])

    def _fits(self, row: Row) -> bool:
        with contextlib.suppress(ValueError):  # of a row that will be reported
            return self.fits(row.values)
        return False


def pair_of(row: Row, prompt: str, first: str, second: str, winner: Side, has_system: bool = False) -> Pair:
    """The pair of two columns.

    Three forms are accepted: texts; `prompt` as messages with one assistant message in each of the other two; two whole
    conversations that differ in the assistant's last turn, beside which a prompt counts for nothing.

    Args:
        row: the row.
        prompt: column of the prompt.
        first: column of the first response.
        second: column of the second response.
        winner: the side that won.
        has_system: whether a system prompt in a column of its own is read.

    Raises:
        ValueError: if the row is invalid.
    """
    turns = {name: turns_of(name, row.value(name)) for name in (first, second)}
    system_text = row.system if has_system else ""
    conversations = {name: value for name, value in turns.items() if isinstance(value, list)}
    has_prompt = prompt in row.values and not all(len(value) > 1 for value in conversations.values())
    if len(conversations) == 2 and not has_prompt:
        before, responses = {}, {}
        for name, messages in conversations.items():
            if len(messages) < 2 or messages[-1]["role"] != "assistant":
                raise ValueError(f"field {name} must end with the assistant's turn after the user's")
            before[name], responses[name] = messages[:-1], messages[-1]["content"]
        if before[first] != before[second]:
            raise ValueError(f"fields {first} and {second} must be equal before the assistant's last turn")
        return Pair(prompt_of(first, before[first], system_text), responses[first], responses[second], winner)
    text = prompt_of(prompt, row.value(prompt), system_text)
    return Pair(text, response_of(first, turns[first]), response_of(second, turns[second]), winner)


def response_of(field: str, turns: str | list[dict[str, str]]) -> str:
    """The text of a response that stands beside a prompt.

    Raises:
        ValueError: if it is not one message of the assistant.
    """
    if isinstance(turns, str):
        return turns
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise ValueError(f"field {field} must be one message of the assistant when the row has a prompt")
    return turns[0]["content"]


def conversation_prompt(field: str, value: Any, system: Any = None) -> str:
    """The prompt of a conversation: what stands before the assistant's last turn."""
    messages = checked_messages(field, list_of(field, value))
    if messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    return prompt_of(field, messages, system) if system else chat_prompt(field, messages)


def list_of(field: str, value: Any) -> list[Any]:
    """A list of messages, or the one that a text holds.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(value, str):
        value = messages_of_text(field, value)
    if not isinstance(value, list):
        raise ValueError(f"field {field} must be a list of messages with role and content, and not empty")
    return value


def nested(row: Row, field: str) -> Any:
    """The value of a field that is a list or an object, or holds one as text."""
    value = row.value(field)
    found = list_or_object(value) if isinstance(value, str) else None
    return value if found is None else found


def instruction_prompt(row: Row) -> str:
    """An instruction and, after a blank line, its input or context where there is one; after the turns of `history`."""
    given = row.values.get("input", row.values.get("context"))
    text = row.text("instruction")
    prompt = f"{text}\n\n{given}" if isinstance(given, str) and given.strip() else text
    history = nested(row, "history") if row.values.get("history") else []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise ValueError("field history must be a list of pairs: what the user said, and the answer")
    if not history:
        return prompt_of("instruction", prompt)
    roles = ("user", "assistant")
    turns = [{"role": role, "content": text} for pair in history for role, text in zip(roles, pair, strict=True)]
    return prompt_of("history", [*turns, {"role": "user", "content": prompt}])


def code(row: Row, field: str, sides: Mapping[Any, Side]) -> Side:
    """The side that a value of a known set stands for; numbers may be texts.

    Raises:
        ValueError: for any other value.
    """
    value = row.value(field)
    text = str(int(value) if isinstance(value, float) and value == int(value) else value).strip().lower()
    if text not in sides:
        raise ValueError(f"field {field} must be one of {', '.join(map(str, sides))}, not {str(value)[:40]!r}")
    return sides[text]


INDEX: Mapping[str, Side] = {"0": FIRST, "1": SECOND}


def sign(value: float) -> Side:
    """Side of a signed strength: below 0 the first won, above 0 the second (as in HelpSteer)."""
    return FIRST if value < 0 else SECOND if value > 0 else TIE
