"""Whether a model's chat template takes a conversation: some refuse a system's turn, or two user turns in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import TemplateError

from mlproject.errors import UserError, describe
from mlproject.models.template_limits import rendered
from mlproject.models.turns import left_out
from mlproject.worlds.chat import messages_of
from mlproject.worlds.files.messages import prompt_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PromptLike: TypeAlias = "str | Sequence[Mapping[str, Any]]"
"""A text, or messages with role and content."""

_ANSWER = {"role": "assistant", "content": "Yes."}


def refusal(tokenizer: PreTrainedTokenizerFast, prompt: str) -> str:
    """Why a chat template refuses a prompt, alone or with a response after it.

    Args:
        tokenizer: has the template; one without takes every prompt.
        prompt: a text, or a conversation as JSON (see `mlproject.worlds.chat`).

    Returns:
        the reason in one line; empty where the template takes the prompt.
    """
    if not tokenizer.chat_template:
        return ""
    messages = messages_of(prompt)
    try:
        rendered(tokenizer, [messages], is_open=True)
        rendered(tokenizer, [[*messages, _ANSWER]])
    except Exception as error:  # a template is a program of somebody else's
        on_purpose = type(error) is TemplateError and str(error).strip()
        return " ".join(str(error).split()) if on_purpose else describe(error)
    return ""


def as_prompts(prompts: Sequence[PromptLike]) -> list[str]:
    """Prompts that were given as a list: texts, or conversations as lists of messages or as JSON.

    Returns:
        texts; a conversation of several turns as JSON (see `mlproject.worlds.chat`).

    Raises:
        UserError: for one text in place of a list, and for the first that is neither a text nor a conversation.
    """
    if isinstance(prompts, str):
        raise UserError("prompts: must be a list of prompts, not one text. Put it into a list.")
    texts = []
    for number, prompt in enumerate(prompts, 1):
        try:
            texts.append(prompt if isinstance(prompt, str) and not prompt.strip() else prompt_of("prompt", prompt))
        except ValueError as error:
            raise UserError(f"prompts: number {number}: {error}. Give a text or a list of messages.") from None
    return texts


def check_prompts(prompts: Sequence[str], tokenizers: Mapping[str, PreTrainedTokenizerFast]) -> None:
    """Check that models can read prompts that were given as a list.

    Args:
        prompts: texts, or conversations as JSON.
        tokenizers: of the models that read them, by what each model plays.

    Raises:
        UserError: for the first prompt that a chat template refuses, and a template that leaves out what is said.
    """
    for number, prompt in enumerate(prompts, 1):
        for role, tokenizer in tokenizers.items():
            if reason := refusal(tokenizer, prompt):
                raise UserError(
                    f"prompts: number {number} must be a conversation that the chat template of the {role} takes, but "
                    f"it does not ({reason}). Leave the prompt out."
                )
    for role, tokenizer in tokenizers.items():
        if speaker := left_out(tokenizer):
            raise UserError(
                f"prompts: the chat template of the {role} must write what the {speaker} says, but leaves a content "
                "that is a text out. Correct it."
            )
