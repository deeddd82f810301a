"""Schemas of two responses in two columns, and a column that says which one won."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mlproject.worlds.files.messages import EmptyTurnError, prompt_of, turns_of
from mlproject.worlds.files.rows import Row, kind_of, number_of
from mlproject.worlds.files.schemas.schema import (
    INDEX,
    Dropped,
    Pair,
    Schema,
    code,
    conversation_prompt,
    instruction_prompt,
    nested,
    pair_of,
    response_of,
    sign,
)
from mlproject.worlds.files.winner import FIRST, SECOND, TIE, Side, higher


def _two_sides(
    name: str,
    title: str,
    says: str,
    prompt: Callable[[Row], str],
    responses: tuple[str, str],
    winner: Callable[[Row], Side],
    columns: tuple[str, ...],
) -> Schema:
    """A schema whose responses stand in two columns.

    Args:
        name: see `Schema`.
        title: see `Schema`.
        says: see `Schema`.
        prompt: prompt of a row.
        responses: columns of the two responses.
        winner: side of a row.
        columns: columns by which it is known, beside those of the responses.
    """

    def pairs(row: Row) -> list[Pair]:
        first, second = (response_of(field, turns_of(field, row.value(field))) for field in responses)
        return [Pair(prompt(row), first, second, winner(row))]

    return Schema(name, title, says, frozenset({*columns, *responses}), pairs, prompt)


def _field(field: str) -> Callable[[Row], str]:
    return lambda row: prompt_of(field, row.value(field))


def _pku(winner: str) -> Schema:
    schema = _two_sides(
        "pku-saferlhf", "PKU-SafeRLHF", f"chosen = {winner}", _field("prompt"), ("response_0", "response_1"),
        lambda row: code(row, winner, INDEX), ("prompt", winner),
    )  # fmt: skip
    return replace(schema, winners=("better_response_id", "safer_response_id"), with_winner=_pku)


PKU = _pku("better_response_id")


def _shp_winner(row: Row) -> Side:
    side = code(row, "labels", {"1": FIRST, "0": SECOND})
    if {"score_A", "score_B"} <= set(row.values):
        by_score = higher(row, "score_A", "score_B")
        if by_score is not TIE and by_score != side:
            raise ValueError("field labels must agree with score_A and score_B: 1 where A has the higher score")
        return by_score
    return side


SHP = _two_sides(
    "shp", "SHP", "chosen = labels: 1 human_ref_A, 0 human_ref_B", _field("history"), ("human_ref_A", "human_ref_B"),
    _shp_winner, ("history", "labels"),
)  # fmt: skip


def helpsteer_prompt(row: Row) -> str:
    """A prompt of HelpSteer2, which marks the turns of a conversation by `<extra_id_1>`."""
    text = row.value("prompt")
    first, *later = text.split("<extra_id_1>") if isinstance(text, str) else [""]
    if not later:
        return prompt_of("prompt", text)
    turns = [{"role": "user", "content": first.strip()}]
    for turn in later:
        speaker, _, content = turn.partition("\n")
        if content.strip() or speaker.strip() != "Assistant":
            turns.append({"role": speaker.strip().lower(), "content": content.strip()})
    return prompt_of("prompt", turns)


HELPSTEER_PREFERENCE = _two_sides(
    "helpsteer2-preference", "HelpSteer2 preferences",
    "chosen = preference_strength: below 0 response_1, above 0 response_2", helpsteer_prompt,
    ("response_1", "response_2"), lambda row: sign(number_of(row, "preference_strength")),
    ("prompt", "preference_strength"),
)  # fmt: skip

HELPSTEER3 = _two_sides(
    "helpsteer3", "HelpSteer3 preferences", "chosen = overall_preference: below 0 response1, above 0 response2",
    _field("context"), ("response1", "response2"), lambda row: sign(number_of(row, "overall_preference")),
    ("context", "overall_preference"),
)  # fmt: skip


def _alpaca_winner(row: Row) -> Side:
    value = number_of(row, "preference")
    if not 1 <= value <= 2:
        raise ValueError(f"field preference must be from 1 (output_1) to 2 (output_2), not {value:g}")
    return sign(value - 1.5)


ALPACA_FARM = _two_sides(
    "alpaca-farm", "AlpacaFarm preferences", "chosen = preference: 1 output_1, 2 output_2", instruction_prompt,
    ("output_1", "output_2"), _alpaca_winner, ("instruction", "preference"),
)  # fmt: skip


def _webgpt_prompt(row: Row) -> str:
    question = nested(row, "question")
    return prompt_of("question", question.get("full_text") if isinstance(question, dict) else question)


WEBGPT = _two_sides(
    "webgpt", "WebGPT comparisons", "chosen = the higher of score_0 and score_1", _webgpt_prompt,
    ("answer_0", "answer_1"), lambda row: higher(row, "score_0", "score_1"), ("question", "score_0", "score_1"),
)  # fmt: skip

_ARENA = {
    "model_a": FIRST, "model_b": SECOND,
    **dict.fromkeys(("tie", "tie (bothbad)", "both_bad", "bothbad", "both bad", "tie (both bad)"), TIE),
}  # fmt: skip


def _arena_pairs(row: Row) -> list[Pair]:
    winner = code(row, "winner", _ARENA)
    conversations = [turns_of(field, row.value(field)) for field in ("conversation_a", "conversation_b")]
    if any(isinstance(turns, list) and sum(turn["role"] == "user" for turn in turns) > 1 for turns in conversations):
        raise Dropped("of several turns")
    return [pair_of(row, "", "conversation_a", "conversation_b", winner)]


ARENA = Schema(
    "lmsys-arena", "LMSYS arena battles", "chosen = winner",
    frozenset({"conversation_a", "conversation_b", "winner"}), _arena_pairs,
    lambda row: conversation_prompt("conversation_a", row.value("conversation_a")),
)  # fmt: skip


def _only_turn(row: Row, field: str) -> str:
    """The one turn of a field that holds a list of turns, as JSON text.

    Raises:
        Dropped: if there are several turns, or none.
        ValueError: if it is no such list.
    """
    value: Any = row.value(field)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"field {field} must be a JSON list of texts") from None
    turns = value if isinstance(value, list) else [value]
    if len(turns) != 1:
        raise Dropped("of several turns")
    if turns[0] is None:
        raise EmptyTurnError(f"field {field} must not be empty")
    if not isinstance(turns[0], str):
        raise ValueError(f"field {field} must be a list of texts, not of {kind_of(turns[0])}")
    return Row(row.place, {field: turns[0]}).text(field)


def _kaggle_pairs(row: Row) -> list[Pair]:
    flags = [int(number_of(row, name)) for name in ("winner_model_a", "winner_model_b")]
    if flags == [1, 1] or not set(flags) <= {0, 1}:
        raise ValueError("fields winner_model_a and winner_model_b must be 0 or 1, and not both 1")
    winner = FIRST if flags[0] else SECOND if flags[1] else TIE
    texts = [_only_turn(row, field) for field in ("prompt", "response_a", "response_b")]
    return [Pair(prompt_of("prompt", texts[0]), texts[1], texts[2], winner)]


ARENA_KAGGLE = Schema(
    "lmsys-kaggle", "LMSYS arena battles (one flag a side)", "chosen = winner_model_a, winner_model_b",
    frozenset({"prompt", "response_a", "response_b", "winner_model_a", "winner_model_b"}), _kaggle_pairs,
    lambda row: prompt_of("prompt", _only_turn(row, "prompt")),
)  # fmt: skip
