"""Prompts that are conversations: several turns as one text, which every model lays out in its own way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

Message = Mapping[str, str]

CHAT_PREFIX = '[{"role":'
"""How a prompt begins that is a conversation of several turns, as JSON."""


def messages_of(prompt: str) -> list[Message]:
    """A prompt as messages: a text is one user turn; a JSON list of messages is a conversation of several."""
    if prompt.startswith(CHAT_PREFIX):
        with contextlib.suppress(json.JSONDecodeError):  # a text that happens to begin so
            return json.loads(prompt)
    return [{"role": "user", "content": prompt}]


def plain_text(prompt: str) -> str:
    """A prompt for a tokenizer without chat template: what was said, a line a turn."""
    return "\n".join(message["content"] for message in messages_of(prompt))
