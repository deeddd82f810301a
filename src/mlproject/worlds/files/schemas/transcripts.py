"""Anthropic HH: conversations as one text, whose turns begin with `Human:` and `Assistant:` after a blank line."""

from __future__ import annotations

import re
from typing import Any

from mlproject.worlds.files.messages import chat_prompt
from mlproject.worlds.files.rows import Row
from mlproject.worlds.files.schemas.schema import Dropped, Pair, Schema
from mlproject.worlds.files.winner import FIRST, common_prefix

_TURN = re.compile(r"(?:\n\n|\A\s*)(Human|Assistant):")
_LAST = "\n\nAssistant:"
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: Any) -> bool:
    """Whether a text begins with the turn of a human."""
    return isinstance(value, str) and re.match(r"\s*Human:", value) is not None


def transcript_prompt(field: str, text: str) -> str:
    """The prompt of a transcript that ends with the assistant's turn, empty or not, which is left out.

    Raises:
        Dropped: if a turn before it is empty.
        ValueError: if it does not end so.
    """
    before, last, _ = text.rpartition(_LAST)
    if not last:
        raise ValueError(f"field {field} must be turns of Human: and Assistant:, the last one the assistant's")
    preamble, *parts = _TURN.split(before)
    if preamble.strip():
        raise ValueError(f"field {field} must begin with Human:")
    turns = [
        {"role": _ROLES[speaker], "content": content.strip()}
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    return chat_prompt(field, turns)


def _pairs(row: Row) -> list[Pair]:
    texts = [row.text("chosen"), row.text("rejected")]
    if is_transcript(row.values.get("prompt")) and not is_transcript(texts[0]):  # which ends with "Assistant:"
        prompt = row.text("prompt").rstrip()
        return [Pair(transcript_prompt("prompt", prompt), texts[0].strip(), texts[1].strip(), FIRST)]
    shared, last, _ = common_prefix(*texts).rpartition(_LAST)
    if not last:
        raise ValueError("fields chosen and rejected must be equal up to a turn of the assistant")
    responses = [text[len(shared) + len(last) :] for text in texts]
    if any(_TURN.search(response) for response in responses):
        raise Dropped("that part before the last turn")
    return [Pair(transcript_prompt("chosen", shared + last), responses[0].strip(), responses[1].strip(), FIRST)]


HH = Schema(
    "hh", "Anthropic HH", "the transcripts' last turns", frozenset({"chosen", "rejected"}), _pairs,
    lambda row: transcript_prompt("chosen", row.text("chosen")), lambda values: is_transcript(values["chosen"]),
)  # fmt: skip
