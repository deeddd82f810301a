"""Conversations of a user's rows: messages in the forms that are common, and the text of messages in a cell."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import tokenize
import warnings
from typing import Any

from mlproject.strict_json import strict_json
from mlproject.worlds.chat import CHAT_PREFIX
from mlproject.worlds.files.rows import checked_text, kind_of

ROLES = ("system", "user", "assistant")
_ROLE_OF = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "model"), "assistant"),
    "developer": "system",
}
_TEXT_PARTS = ("text", "input_text", "output_text")
_LARGEST_PYTHON_TEXT = 1_000_000  # characters; Python's parser needs some hundred bytes for each
_START, _END = re.compile(r"\s*\[?\s*\{"), re.compile(r"\}\s*\]\s*$")
_TEXTS_WITHOUT_COMMA = re.compile(r"""["']\s+["']""")
_KEYS = re.compile(r"""(["'])(?:role|from)\1\s*:""")


class EmptyTurnError(ValueError):
    """A message or a prompt without content: of such rows published files have some."""


def checked_messages(field: str, messages: Any) -> list[dict[str, str]]:
    """Messages with role and content only.

    A message is `{role, content}` or `{from, value}`; its content is a text or a list of parts that are texts.

    Raises:
        ValueError: for the first invalid message; says what is wrong with it.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"field {field} must be a list of messages with role and content, and not empty")
    return [_checked_message(field, number, message) for number, message in enumerate(messages, 1)]


def _checked_message(field: str, number: int, message: Any) -> dict[str, str]:
    place = f"field {field}, message {number}"
    if isinstance(message, dict) and "role" not in message and {"from", "value"} <= set(message):
        message = {"role": message["from"], "content": message["value"]}
    if not isinstance(message, dict) or not {"role", "content"} <= set(message):
        raise ValueError(f"{place} must have role and content")
    role = _ROLE_OF.get(message["role"].lower()) if isinstance(message["role"], str) else None
    if role is None:
        raise ValueError(f"{place} must have the role {', '.join(ROLES[:-1])} or {ROLES[-1]}, not {message['role']!r}")
    content = message["content"]
    if isinstance(content, list):
        content = "".join(_text_of_part(place, part) for part in content)
    if not isinstance(content, str):
        raise ValueError(f"{place} must have a text as content, not {kind_of(content)}")
    if not content.strip():
        raise EmptyTurnError(f"{place} must not be empty")
    return {"role": role, "content": checked_text(field, content)}


def _text_of_part(place: str, part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else kind_of(part)
    if kind not in _TEXT_PARTS or not isinstance(part.get("text"), str):
        raise ValueError(f"{place} must have parts of the type text alone, not {kind}, since the models read texts")
    return part["text"]


def messages_of_text(field: str, text: str) -> list[Any] | None:
    """The messages that a text holds: JSON (keys in any order), Python's notation, or that of numpy without commas.

    Returns:
        None where it is a text like any other.

    Raises:
        ValueError: if it looks like messages but cannot be read, or is too long to be read as Python.
    """
    if not _START.match(text) or not _KEYS.search(text):
        return None
    is_list = text.lstrip().startswith("[")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if is_list and not _END.search(text):
            return None
        value = _python_value(text)
    if value is None and is_list:
        raise ValueError(
            f"field {field} looks like messages, but is neither JSON nor Python's notation of a list "
            f"(of at most {_LARGEST_PYTHON_TEXT:,} characters)"
        )
    if isinstance(value, dict):
        value = value.get("messages", [value])
    return value if isinstance(value, list) and _are_messages(value) else None


def _are_messages(items: list[Any]) -> bool:
    """Whether all items have the keys of messages, and one a role that is known; other lists of roles are texts."""
    speakers = []
    for item in items:
        if not isinstance(item, dict) or not ({"role", "content"} <= set(item) or {"from", "value"} <= set(item)):
            return False
        speakers.append(str(item.get("role", item.get("from"))).lower())
    return any(speaker in _ROLE_OF for speaker in speakers)


def list_or_object(text: str) -> Any:
    """The list or object that a cell holds as JSON, in Python's notation, or in numpy's; None if it holds none."""
    if not text.strip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _python_value(text)


def _python_value(text: str) -> Any:
    """The value of a literal of Python or numpy; None if it is neither, or too long."""
    if len(text) > _LARGEST_PYTHON_TEXT:
        return None
    # Python joins two texts without a comma between them, so a list of numpy's needs its commas first
    readings = (_with_commas,) if _TEXTS_WITHOUT_COMMA.search(text) else (str.strip, _with_commas)
    for reading in readings:
        with (
            contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError),
            warnings.catch_warnings(action="ignore"),  # of escapes that Python does not know
        ):
            return ast.literal_eval(reading(text))
    return None


def _with_commas(text: str) -> str:
    """Python's notation of a list from numpy's, which puts no commas between items; Python's own stays as it is."""
    parts: list[tuple[int, str]] = []
    brackets = ""
    for token in tokenize.generate_tokens(io.StringIO(text.strip()).readline):
        if token.type in (tokenize.NL, tokenize.NEWLINE):
            continue
        if brackets.endswith("[") and _is_end(*parts[-1]) and _is_start(token.type, token.string):
            parts.append((tokenize.OP, ","))
        if token.type == tokenize.OP and token.string in "[{()}]":
            brackets = brackets + token.string if token.string in "[{(" else brackets[:-1]
        parts.append((token.type, token.string))
    return tokenize.untokenize(parts)


def _is_end(kind: int, token: str) -> bool:
    return kind in (tokenize.STRING, tokenize.NUMBER) or token in ("}", "]")


def _is_start(kind: int, token: str) -> bool:
    return kind in (tokenize.STRING, tokenize.NUMBER) or token in ("{", "[")


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
    return strict_json(turns, ensure_ascii=False)


def is_prompt(messages: Any, prompt: str) -> bool:
    """Whether messages, and nothing else, are a prompt."""
    with contextlib.suppress(ValueError):
        return chat_prompt("prompt", messages) == prompt
    return False


def prompt_text(field: str, text: str) -> str:
    """A prompt from a text: the text itself, unless it holds messages.

    Raises:
        ValueError: if it is blank, or a conversation that is no prompt.
    """
    if not text.strip():
        raise EmptyTurnError(f"field {field} must not be empty")
    messages = messages_of_text(field, text)
    if messages is None and text.startswith(CHAT_PREFIX):  # what every model would take for messages
        try:
            messages = json.loads(text)
        except RecursionError:
            raise ValueError(f"field {field} must not be nested so deeply") from None
        except ValueError:
            return text
    return text if messages is None else chat_prompt(field, messages)


def prompt_of(field: str, value: Any, system: Any = None) -> str:
    """A prompt from a text or messages, after a system prompt where there is one.

    Raises:
        ValueError: if it is neither, or no prompt.
    """
    if isinstance(value, str):
        value = messages_of_text(field, checked_text(field, value)) or value
    if isinstance(system, str) and system.strip():
        turns = [{"role": "user", "content": value}] if isinstance(value, str) else value
        if isinstance(turns, list) and turns and not (isinstance(turns[0], dict) and turns[0].get("role") == "system"):
            value = [{"role": "system", "content": system}, *turns]
    if isinstance(value, list):
        return chat_prompt(field, value)
    if not isinstance(value, str):
        raise ValueError(f"field {field} must be a text, not {kind_of(value)}")
    return prompt_text(field, value)


def turns_of(field: str, value: Any) -> str | list[dict[str, str]]:
    """A response or a conversation: a text, or checked messages; one may stand without a list, all under `messages`.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(value, str):
        messages = messages_of_text(field, checked_text(field, value))
        return value if messages is None else checked_messages(field, messages)
    if isinstance(value, dict):
        value = value.get("messages", [value])
    if not isinstance(value, list):
        raise ValueError(f"field {field} must be a text or a list of messages, not {kind_of(value)}")
    return checked_messages(field, value)
