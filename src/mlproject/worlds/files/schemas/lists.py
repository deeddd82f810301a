"""Schemas whose responses stand in lists, with a rank, a score or the index of the best, or in successive rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlproject.worlds.files.messages import list_or_object, prompt_of
from mlproject.worlds.files.rows import Row, checked_text, kind_of, number_of
from mlproject.worlds.files.schemas.schema import INDEX, Dropped, Pair, Schema, code, instruction_prompt, nested
from mlproject.worlds.files.schemas.transcripts import is_transcript, transcript_prompt
from mlproject.worlds.files.schemas.two_sides import helpsteer_prompt
from mlproject.worlds.files.winner import FIRST, SECOND, TIE, Side, higher


def _texts(row: Row, field: str) -> list[str]:
    value = nested(row, field)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"field {field} must be a list of texts, not {kind_of(value)}")
    return [checked_text(field, text) for text in value]


def _numbers(row: Row, field: str, count: int) -> list[float]:
    value = nested(row, field)
    are_numbers = isinstance(value, list) and all(
        isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item) for item in value
    )
    if not are_numbers or len(value) != count:
        raise ValueError(f"field {field} must be a list of {count} numbers, one for each response")
    return value


def _side(first: float, second: float) -> Side:
    """The side of the larger number."""
    return TIE if first == second else FIRST if first > second else SECOND


def _nectar_prompt(row: Row) -> str:
    text = row.text("prompt")
    return transcript_prompt("prompt", text) if is_transcript(text) else prompt_of("prompt", text)


def _nectar_pairs(row: Row) -> Iterator[Pair]:
    answers = nested(row, "answers")
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        raise ValueError("field answers must be a list of objects with answer and rank")
    items = [Row(row.place, answer) for answer in answers]
    ranked = [(item.text("answer"), number_of(item, "rank")) for item in items]
    prompt = _nectar_prompt(row)
    for (first, rank_1), (second, rank_2) in itertools.combinations(ranked, 2):
        yield Pair(prompt, first, second, _side(-rank_1, -rank_2))


def _has_ranks(values: Mapping[str, Any]) -> bool:
    answers = values["answers"]
    answers = list_or_object(answers) if isinstance(answers, str) else answers
    return isinstance(answers, list) and bool(answers) and isinstance(answers[0], dict) and "rank" in answers[0]


NECTAR = Schema(
    "nectar", "Nectar", "chosen = the smaller rank, of every two answers", frozenset({"prompt", "answers"}),
    _nectar_pairs, _nectar_prompt, _has_ranks,
)  # fmt: skip


def _two_answers(row: Row) -> list[Pair]:
    answers = _texts(row, "answers")
    if len(answers) != 2:
        raise ValueError(f"field answers must have two texts, not {len(answers)}")
    return [Pair(instruction_prompt(row), answers[0], answers[1], code(row, "preference", INDEX))]


TLC_PREFERENCES = Schema(
    "tlc4418-preferences", "tlc4418 preferences", "chosen = answers[preference]",
    frozenset({"instruction", "answers", "preference"}), _two_answers, instruction_prompt,
)  # fmt: skip


def _scored_answers(row: Row) -> Iterator[Pair]:
    answers = _texts(row, "answers")
    scores = _numbers(row, "gold_scores", len(answers))
    prompt = instruction_prompt(row)
    for i in range(0, len(answers) - 1, 2):  # each answer once: a row may have thousands
        yield Pair(prompt, answers[i], answers[i + 1], _side(scores[i], scores[i + 1]))
    if len(answers) % 2:
        raise Dropped("without a partner")


TLC_GOLD = Schema(
    "tlc4418-gold", "tlc4418 gold-labelled generations",
    "chosen = the higher of gold_scores, of answers 1 and 2, 3 and 4, ...",
    frozenset({"instruction", "answers", "gold_scores"}), _scored_answers, instruction_prompt,
)  # fmt: skip


def _of_prompt(row: Row) -> str:
    return prompt_of("prompt", row.value("prompt"))


def _chosen_and_rejected(row: Row) -> Iterator[Pair]:
    prompt, chosen, rejected = _of_prompt(row), _texts(row, "chosen"), _texts(row, "rejected")
    if not chosen or not rejected:
        raise ValueError("fields chosen and rejected must not be empty lists")
    for good, bad in itertools.product(chosen, rejected):
        yield Pair(prompt, good, bad, FIRST)


def _has_lists_of_texts(values: Mapping[str, Any]) -> bool:
    """Whether both sides are lists of texts; as text in cells only where `num_correct` says that they are lists."""
    for value in (values["chosen"], values["rejected"]):
        if isinstance(value, str) and "num_correct" in values:
            value = list_or_object(value)
        if not isinstance(value, list) or not value or not isinstance(value[0], str):
            return False
    return True


REWARDBENCH2 = Schema(
    "rewardbench2", "RewardBench 2", "each of chosen against each of rejected",
    frozenset({"prompt", "chosen", "rejected"}), _chosen_and_rejected, _of_prompt,
    _has_lists_of_texts,
)  # fmt: skip


def _neighbours(rows: Iterable[Row]) -> Iterator[Row]:
    """Two rows in a row with the same prompt as one; others by themselves."""
    held: Row | None = None
    for row in rows:
        if held is not None and held.values.get("prompt") == row.values.get("prompt") is not None:
            yield Row(held.place, {"first": held, "second": row})
            held = None
        else:
            if held is not None:
                yield held
            held = row
    if held is not None:
        yield held


def _rated_pair(row: Row) -> list[Pair]:
    if "second" not in row.values:
        number_of(row, "helpfulness"), row.text("response"), helpsteer_prompt(row)  # an invalid row is no lone one
        raise Dropped("without a partner")
    both: list[Row] = [row.values["first"], row.values["second"]]
    texts = [each.text("response") for each in both]
    ratings = {name: number_of(each, "helpfulness") for name, each in zip(("first", "second"), both, strict=True)}
    return [Pair(helpsteer_prompt(both[0]), texts[0], texts[1], higher(Row(row.place, ratings), "first", "second"))]


HELPSTEER2 = Schema(
    "helpsteer2", "HelpSteer2 ratings", "chosen = the higher helpfulness of two rows of a prompt",
    frozenset({"prompt", "response", "helpfulness"}), _rated_pair, helpsteer_prompt, grouped=_neighbours,
)  # fmt: skip


def _tldr_prompt(row: Row) -> str:
    info = nested(row, "info")
    if not isinstance(info, dict):
        raise ValueError(f"field info must be an object, not {kind_of(info)}")
    article, post = info.get("article"), info.get("post")
    if isinstance(article, str) and article.strip():
        title = info.get("title")
        return prompt_of("info", f"{f'Title: {title}' + chr(10) * 2 if title else ''}Article: {article}\n\nTL;DR:")
    if not isinstance(post, str) or not post.strip():
        raise ValueError("field info must have a post or an article")
    return prompt_of(
        "info",
        f"SUBREDDIT: r/{info.get('subreddit') or ''}\n\nTITLE: {info.get('title') or ''}\n\nPOST: {post}\n\nTL;DR:",
    )


def _summaries(row: Row) -> list[Pair]:
    summaries = nested(row, "summaries")
    if not isinstance(summaries, list) or len(summaries) != 2 or not all(isinstance(each, dict) for each in summaries):
        raise ValueError("field summaries must be a list of two objects with text")
    first, second = (Row(row.place, each).text("text") for each in summaries)
    return [Pair(_tldr_prompt(row), first, second, code(row, "choice", INDEX))]


SUMMARIZE = Schema(
    "summarize", "OpenAI summarize-from-feedback", "chosen = summaries[choice]",
    frozenset({"info", "summaries", "choice"}), _summaries, _tldr_prompt,
)  # fmt: skip
