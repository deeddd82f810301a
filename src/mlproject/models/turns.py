"""Turns of a conversation: how a chat template lays them out, and which tokens end a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlproject.errors import UserError, describe
from mlproject.models.template_limits import rendered
from mlproject.worlds.chat import Message

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerFast

_PROBES = ("0", "-")
"""Contents of a turn without a common beginning or end: what two layouts share is the template's."""


def conversation_ids(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Sequence[Message]], is_open: bool = False
) -> list[list[int]]:
    """Token ids of whole conversations, as the tokenizer's chat template lays them out.

    Args:
        tokenizer: has a chat template, which writes a beginning of sequence itself where there is one.
        conversations: messages of each.
        is_open: whether the beginning of the assistant's next turn follows.
    """
    return tokenizer(_texts(tokenizer, conversations, is_open), add_special_tokens=False)["input_ids"]


def answered(messages: Sequence[Message], response: str) -> list[Message]:
    """A conversation with the assistant's response."""
    return [*messages, {"role": "assistant", "content": response}]


def head_ids(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]) -> list[int]:
    """Token ids of what the layouts of all responses to a conversation begin with."""
    first, second = _texts(tokenizer, [answered(messages, probe) for probe in _PROBES])
    return tokenizer(first[: shared_beginning(first, second)], add_special_tokens=False)["input_ids"]


def template_end(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The token with which the chat template ends an assistant's turn; None without a template, or if it has none.

    It is the first added token behind the text of the turn, such as `<|im_end|>`, `<end_of_turn>` or `<|eot_id|>`.
    """
    if not tokenizer.chat_template:
        return None
    question = [{"role": "user", "content": "?"}]
    first, second = _texts(tokenizer, [answered(question, probe) for probe in _PROBES])
    behind = first[len(first) - shared_beginning(first[::-1], second[::-1]) :]
    added = _added_tokens(tokenizer) - {tokenizer.unk_token_id}
    return next((token for token in tokenizer(behind, add_special_tokens=False)["input_ids"] if token in added), None)


def left_out(tokenizer: PreTrainedTokenizerFast) -> str:
    """Whose words a chat template leaves out, `user` or `assistant`; empty where it writes both.

    Templates of models that see images may read a content only as a list of parts, and write nothing of a text.
    """
    if not tokenizer.chat_template:
        return ""
    asked = [[{"role": "user", "content": probe}] for probe in _PROBES]
    first, second = _texts(tokenizer, asked, is_open=True)
    if first == second:
        return "user"
    first, second = _texts(tokenizer, [answered(asked[0], probe) for probe in _PROBES])
    return "assistant" if first == second else ""


def shared_beginning(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Number of elements that two sequences begin with alike."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    return next(i for i, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)


def response_ends(generation_config: GenerationConfig | None, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens each of which ends a response: the tokenizer's, the chat template's, and those that the model states.

    Args:
        generation_config: the model's. A number that it took over from the model's configuration counts only if it is
            an added token, since many configurations hold the default of their architecture.
        tokenizer: the policy's.

    Raises:
        UserError: if there is none, or the model states something else than numbers.
    """
    stated: Any = getattr(generation_config, "eos_token_id", None)
    stated = [] if stated is None else stated if isinstance(stated, list) else [stated]
    if not all(type(token) is int for token in stated):
        raise UserError(
            f"generation_config.json: eos_token_id must be a token's number or a list of them, not {stated}."
        )
    if getattr(generation_config, "_from_model_config", True):
        stated = [token for token in stated if token in _added_tokens(tokenizer)]
    own = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    ends = [token for token in (own, template_end(tokenizer), *stated) if token is not None and token >= 0]
    if not ends:
        raise UserError("tokenizer: must have an end-of-sequence token. Set tokenizer.eos_token.")
    return list(dict.fromkeys(map(int, ends)))


def set_ends(policy: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Name in a policy's configuration what ends a response (one token, or a list of them) and what pads it.

    Raises:
        UserError: as `response_ends`.
    """
    ends = response_ends(getattr(policy, "generation_config", None), tokenizer)
    policy.config.eos_token_id = ends if len(ends) > 1 else ends[0]
    policy.config.pad_token_id = ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _texts(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Sequence[Message]], is_open: bool = False
) -> list[str]:
    try:
        return rendered(tokenizer, conversations, is_open)
    except Exception as error:  # a template is a program of somebody else's
        raise UserError(
            f"chat template: must lay out each conversation, but fails ({describe(error)}). Leave out the prompts that "
            "it refuses, or correct it."
        ) from None


def _added_tokens(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    return {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
