"""Schemas whose columns say themselves what was chosen: UltraFeedback, RewardBench, orca, OpenAI's, ShareGPT's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlproject.worlds.files.messages import checked_messages, list_or_object, messages_of_text, prompt_of, turns_of
from mlproject.worlds.files.rows import Row
from mlproject.worlds.files.schemas.schema import (
    Pair,
    Schema,
    conversation_prompt,
    instruction_prompt,
    list_of,
    pair_of,
)
from mlproject.worlds.files.winner import FIRST, SECOND, higher

_SCORES = (
    ("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), ("chosen-rating", "rejected-rating"),
    ("chosen_rating", "rejected_rating"),
)  # fmt: skip


def by_scores(row: Row) -> int | None:
    """The side of the higher score where a row has scores of both sides, otherwise the first.

    Raises:
        ValueError: if the rejected response has the higher score.
    """
    for scores in _SCORES:
        if all(row.values.get(name) not in (None, "") for name in scores):
            side = higher(row, *scores)
            if side == SECOND:
                raise ValueError(f"field {scores[0]} must not be below {scores[1]}: is the pair the wrong way round?")
            return side
    return FIRST


def is_plain_text(value: Any) -> bool:
    """Whether a value is a text that holds no messages."""
    return isinstance(value, str) and messages_of_text("chosen", value) is None


def _chosen_rejected(prompt: str) -> Callable[[Row], list[Pair]]:
    return lambda row: [pair_of(row, prompt, "chosen", "rejected", by_scores(row), has_system=True)]


def _prompt(field: str) -> Callable[[Row], str]:
    return lambda row: pair_of(row, field, "chosen", "rejected", FIRST, has_system=True).prompt


ULTRAFEEDBACK = tuple(
    Schema(
        "ultrafeedback", "UltraFeedback-binarized", f"chosen = chosen, ties by {scores[0]}",
        frozenset({"chosen", "rejected", *scores}), _chosen_rejected("prompt"), _prompt("prompt"),
        lambda values: "prompt" in values or not is_plain_text(values["chosen"]),
    )
    for scores in _SCORES
)  # fmt: skip

REWARDBENCH = Schema(
    "rewardbench", "RewardBench", "chosen = chosen",
    frozenset({"prompt", "chosen", "rejected", "chosen_model", "rejected_model"}), _chosen_rejected("prompt"),
    _prompt("prompt"),
)  # fmt: skip

ORCA = tuple(
    Schema(
        "orca", "orca DPO pairs", "chosen = chosen, system kept", frozenset({question, "chosen", "rejected"}),
        _chosen_rejected(question), _prompt(question),
        lambda values: is_plain_text(values["chosen"]) and not {"prompt", "instruction"} & set(values),
    )
    for question in ("question", "input")
)  # fmt: skip


def _instruction_pairs(row: Row) -> list[Pair]:
    return _chosen_rejected("instruction")(Row(row.place, {**row.values, "instruction": instruction_prompt(row)}))


INSTRUCTION = Schema(
    "alpaca", "instructions with two outputs", "chosen = chosen", frozenset({"instruction", "chosen", "rejected"}),
    _instruction_pairs, lambda row: prompt_of("instruction", instruction_prompt(row), row.system),
    lambda values: is_plain_text(values["chosen"]) and "prompt" not in values,
)  # fmt: skip


def _openai_messages(row: Row) -> Any:
    given = row.value("input")
    if isinstance(given, str):
        given = list_or_object(given)
    return given.get("messages") if isinstance(given, dict) else given


def _openai(row: Row) -> list[Pair]:
    values = {"input": _openai_messages(row), **{name: row.value(name) for name in _OUTPUTS}}
    return [pair_of(Row(row.place, values), "input", *_OUTPUTS, FIRST)]


_OUTPUTS = ("preferred_output", "non_preferred_output")
OPENAI = Schema(
    "openai", "OpenAI fine-tuning preferences", "chosen = preferred_output", frozenset({"input", *_OUTPUTS}), _openai,
    lambda row: conversation_prompt("input", _openai_messages(row)),
)  # fmt: skip


def _after_messages(field: str) -> Schema:
    def pairs(row: Row) -> list[Pair]:
        values = {**row.values, field: list_of(field, row.value(field))}
        return [pair_of(Row(row.place, values), field, "chosen", "rejected", by_scores(row), has_system=True)]

    def is_one_turn(values: Mapping[str, Any]) -> bool:
        chosen = values["chosen"]
        if "prompt" in values:
            return False
        return is_plain_text(chosen) or isinstance(chosen, dict) or len(turns_of("chosen", chosen)) == 1

    return Schema(
        "sharegpt", "conversations with two answers", "chosen = chosen", frozenset({field, "chosen", "rejected"}),
        pairs,
        lambda row: conversation_prompt(field, row.value(field), row.system), is_one_turn,
    )  # fmt: skip


SHAREGPT = tuple(_after_messages(field) for field in ("conversations", "messages"))


def _swift(row: Row) -> list[Pair]:
    messages = checked_messages("messages", list_of("messages", row.value("messages")))
    rejected = [*messages[:-1], {"role": "assistant", "content": row.text("rejected_response")}]
    values = {"messages": messages, "rejected_response": rejected}
    return [pair_of(Row(row.place, values), "", "messages", "rejected_response", FIRST)]


SWIFT = Schema(
    "ms-swift", "ms-swift preferences", "chosen = the last of messages", frozenset({"messages", "rejected_response"}),
    _swift, lambda row: conversation_prompt("messages", row.value("messages")),
)  # fmt: skip

STACK_EXCHANGE = Schema(
    "stack-exchange-paired", "stack-exchange-paired", "chosen = response_j",
    frozenset({"question", "response_j", "response_k"}),
    lambda row: [pair_of(row, "question", "response_j", "response_k", FIRST)],
    lambda row: prompt_of("question", row.value("question")),
)  # fmt: skip
