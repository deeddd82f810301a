"""Comparisons of a user's own: a prompt, the chosen response and the rejected one, as texts or as messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproject.errors import UserError
from mlproject.worlds.files.prompts import chat_prompt, checked_messages, prompt_text
from mlproject.worlds.files.rows import BadLines, Row, checked_text, read_rows, shown_kind


@dataclass(frozen=True)
class Preference:
    """Somebody preferred one response to another."""

    prompt: str
    chosen: str
    rejected: str


def read_preferences(path: Path, fields: Sequence[str], bad: BadLines) -> list[Preference]:
    """Every comparison of a file, in order.

    Three forms are understood: three texts; `prompt` as messages with one assistant message in `chosen` and `rejected`;
    and no `prompt`, but two whole conversations that differ in the assistant's last turn.

    Args:
        path: of the file.
        fields: names of the three fields: prompt, chosen, rejected.
        bad: told of rows that are wrong.

    Raises:
        UserError: where a row is wrong (unless such rows are skipped), or none is left.
    """
    found = []
    for row in read_rows(path, "preferences", bad):
        try:
            found.append(_preference(row, *fields))
        except ValueError as error:
            bad.tell(row.place, str(error))
    if not found:
        skipped = f"; {len(bad.found)} bad rows were skipped, the first: {bad.found[0]}" if bad.found else ""
        raise UserError(f"preferences={path}: holds no comparison{skipped}")
    return found


def _preference(row: Row, prompt: str, chosen: str, rejected: str) -> Preference:
    sides = {name: row.value(name) for name in (chosen, rejected)}
    if prompt not in row.values and all(isinstance(said, list) for said in sides.values()):
        made = _of_conversations(sides, chosen, rejected)
    else:
        asked = row.value(prompt)
        text = chat_prompt(prompt, asked) if isinstance(asked, list) else prompt_text(prompt, row.text(prompt))
        made = Preference(text, *(_response(name, said) for name, said in sides.items()))
    if made.chosen == made.rejected:
        raise ValueError(f"fields {chosen} and {rejected}: are equal; a tie teaches nothing")
    return made


def _response(field: str, said: Any) -> str:
    if isinstance(said, str):
        return checked_text(field, said)
    if not isinstance(said, list):
        raise ValueError(f"field {field}: holds {shown_kind(said)}; allowed is a text or a list of messages")
    messages = checked_messages(field, said)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise ValueError(f"field {field}: beside a prompt it must hold one message of the assistant's")
    return messages[0]["content"]


def _of_conversations(sides: dict[str, Any], chosen: str, rejected: str) -> Preference:
    ends, begun = {}, {}
    for name, said in sides.items():
        messages = checked_messages(name, said)
        if messages[-1]["role"] != "assistant" or len(messages) < 2:
            raise ValueError(f"field {name}: must end with the assistant's turn after the user's")
        ends[name], begun[name] = messages[-1]["content"], messages[:-1]
    if begun[chosen] != begun[rejected]:
        raise ValueError(f"fields {chosen} and {rejected}: differ before the assistant's last turn; they answer unlike")
    return Preference(chat_prompt(chosen, begun[chosen]), ends[chosen], ends[rejected])
