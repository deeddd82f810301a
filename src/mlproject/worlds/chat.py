"""Prompts that are conversations: several turns as one text, which every model formats with its own chat template."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

Message = Mapping[str, str]

CHAT_PREFIX = '[{"role":'
"""First characters of a prompt that is a conversation of several turns, written as JSON."""


def messages_of(prompt: str) -> list[Message]:
    """A prompt as messages: a text is one user turn; a JSON list of messages is a conversation of several turns."""
    if prompt.startswith(CHAT_PREFIX):
        with contextlib.suppress(json.JSONDecodeError):  # a text that only starts like a conversation
            return json.loads(prompt)
    return [{"role": "user", "content": prompt}]


def plain_text(prompt: str) -> str:
    """A prompt for a tokenizer without a chat template: the contents of its messages, one line per turn."""
    return "\n".join(message["content"] for message in messages_of(prompt))
