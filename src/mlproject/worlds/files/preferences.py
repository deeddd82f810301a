"""A user's comparisons: a prompt, the chosen response and the rejected one, as texts or as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproject.errors import UserError
from mlproject.worlds.files.prompts import chat_prompt, checked_messages, prompt_text
from mlproject.worlds.files.rows import InvalidRows, Row, checked_text, kind_of, read_rows


@dataclass(frozen=True)
class Preference:
    """A prompt with the preferred of two responses and the other one."""

    prompt: str
    chosen: str
    rejected: str


def read_preferences(path: Path, fields: Sequence[str], invalid: InvalidRows) -> list[Preference]:
    """The comparisons of a file, in order.

    Three forms are accepted: three texts; `prompt` as messages with one assistant message in `chosen` and `rejected`;
    no `prompt`, but two whole conversations that differ in the assistant's last turn.

    Args:
        path: path of the file.
        fields: names of the three fields: prompt, chosen, rejected.
        invalid: collects the invalid rows.

    Raises:
        UserError: if a row is invalid (unless such rows are skipped) or no comparison is left.
    """
    preferences = []
    for row in read_rows(path, "preferences", invalid):
        try:
            preferences.append(_preference(row, *fields))
        except ValueError as error:
            invalid.report(row.place, str(error))
    if not preferences:
        raise UserError(f"preferences={path}: must contain a comparison.{invalid.summary()} Add comparisons.")
    return preferences


def _preference(row: Row, prompt: str, chosen: str, rejected: str) -> Preference:
    responses = {name: row.value(name) for name in (chosen, rejected)}
    if prompt not in row.values and all(isinstance(response, list) for response in responses.values()):
        preference = _of_conversations(responses, chosen, rejected)
    else:
        value = row.value(prompt)
        text = chat_prompt(prompt, value) if isinstance(value, list) else prompt_text(prompt, row.text(prompt))
        preference = Preference(text, *(_response(name, response) for name, response in responses.items()))
    if preference.chosen == preference.rejected:
        raise ValueError(f"fields {chosen} and {rejected} must differ")
    return preference


def _response(field: str, value: Any) -> str:
    if isinstance(value, str):
        return checked_text(field, value)
    if not isinstance(value, list):
        raise ValueError(f"field {field} must be a text or a list of messages, not {kind_of(value)}")
    messages = checked_messages(field, value)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise ValueError(f"field {field} must be one message of the assistant when the row has a prompt")
    return messages[0]["content"]


def _of_conversations(conversations: Mapping[str, Any], chosen: str, rejected: str) -> Preference:
    prompts, responses = {}, {}
    for name, value in conversations.items():
        messages = checked_messages(name, value)
        if messages[-1]["role"] != "assistant" or len(messages) < 2:
            raise ValueError(f"field {name} must end with the assistant's turn after the user's")
        prompts[name], responses[name] = messages[:-1], messages[-1]["content"]
    if prompts[chosen] != prompts[rejected]:
        raise ValueError(f"fields {chosen} and {rejected} must be equal before the assistant's last turn")
    return Preference(chat_prompt(chosen, prompts[chosen]), responses[chosen], responses[rejected])
