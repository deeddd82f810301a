"""Preference files in the schemas of published data sets, written for these tests with a planted truth.

Every comparison has a response that begins with `good` and one that begins with `bad`; half of them are swapped where
the schema has two sides. So a reading is right if every chosen response begins with `good`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

GOOD, BAD, TIED, EQUAL, EMPTY = "good", "bad", "tied", "equal", "empty"


@dataclass(frozen=True)
class Item:
    """One comparison: the responses in the order of the file, and which of them is the better; None: a tie."""

    prompt: str
    first: str
    second: str
    better: int | None

    def side(self, first: Any, second: Any, tie: Any = None) -> Any:
        """What a column says that has one value for each side and one for a tie."""
        return tie if self.better is None else (first, second)[self.better]

    @property
    def chosen(self) -> str:
        return self.second if self.better == 1 else self.first

    @property
    def rejected(self) -> str:
        return self.first if self.better == 1 else self.second


def items(*more: str) -> list[Item]:
    """Four comparisons, of which the second and the fourth are swapped, and then those of the given kinds."""
    plain = [
        ("good 'n' \"right\" {}", "bad {}"),
        ("bad\n\n{}", "good {}"),
        ("good, {}", "bad; {}"),
        ("bad {}", "good 🙂 {}"),
    ]
    made = [
        Item(f"Question {i}?", first.format(i), second.format(i), int(first.startswith("bad")))
        for i, (first, second) in enumerate(plain)
    ]
    extra = {
        TIED: lambda i: Item(f"Question {i}?", f"one {i}", f"other {i}", None),
        EQUAL: lambda i: Item(f"Question {i}?", "the same", "the same", i % 2),
        EMPTY: lambda i: Item(f"Question {i}?", "something", " ", 0),
    }
    return made + [extra[kind](i) for i, kind in enumerate(more, len(made))]  # fmt: skip


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def asked(item: Item, *answers: str) -> list[dict[str, Any]]:
    return [turn("user", item.prompt), *(turn("assistant", answer) for answer in answers)]


def parts(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text[:3], "image": None}, {"type": "text", "text": text[3:], "image": None}]


Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """A published kind of file.

    Attributes:
        name: value of `preference_format`.
        title: as it is said.
        rows: rows of an item.
        prompt: prompt that must come out for `Question 0?`, `{}` standing for the question.
        has_ties: whether the schema can say that neither won.
    """

    name: str
    title: str
    rows: Callable[[Item], Rows]
    prompt: str = "{}"
    has_ties: bool = True


def one(make: Callable[[Item], dict[str, Any]]) -> Callable[[Item], Rows]:
    return lambda item: [make(item)]


def _transcript(item: Item, answer: str) -> str:
    return f"\n\nHuman: Hello\n\nAssistant: Hi: what?\n\nHuman: {item.prompt}\n\nAssistant: {answer}"


def _summaries(item: Item) -> dict[str, Any]:
    summaries = [{"text": text, "policy": "sup1", "note": None} for text in (item.first, item.second)]
    info = {"id": "t3_x", "post": item.prompt, "title": "Bread", "subreddit": "food", "article": None, "site": None}
    return {"info": info, "summaries": summaries, "choice": item.side(0, 1), "worker": "w", "batch": "b",
            "split": "train", "extra": {"confidence": 7}}  # fmt: skip


def _shp(item: Item) -> dict[str, Any]:
    score = item.side((9, 3), (3, 9), (4, 4))
    return {"post_id": "x", "history": item.prompt, "human_ref_A": item.first, "human_ref_B": item.second,
            "labels": item.side(1, 0, 0), "score_A": score[0], "score_B": score[1],
            "score_ratio": max(score) / min(score)}  # fmt: skip


def _helpsteer2(item: Item) -> Rows:
    ratings = item.side((4, 1), (1, 4), (3, 3))
    others = {"correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 1}
    return [
        {"prompt": item.prompt, "response": text, "helpfulness": rating, **others}
        for text, rating in zip((item.first, item.second), ratings, strict=True)
    ]


def _pku(item: Item) -> dict[str, Any]:
    return {"prompt": item.prompt, "response_0": item.first, "response_1": item.second, "is_response_0_safe": True,
            "is_response_1_safe": False, "better_response_id": item.side(0, 1), "safer_response_id": 0}  # fmt: skip


def _nectar(item: Item) -> dict[str, Any]:
    ranks = item.side((1.0, 2.0), (2.0, 1.0), (1.0, 1.0))
    answers = [
        {"answer": text, "model": "m", "rank": rank}
        for text, rank in zip((item.first, item.second), ranks, strict=True)
    ]
    return {"prompt": f"\n\nHuman: {item.prompt}\n\nAssistant: ", "answers": answers, "turns": 1, "num_responses": 2,
            "source": ["x"], "good_natured": True}  # fmt: skip


def _answers(item: Item) -> dict[str, Any]:
    return {"instruction": item.prompt, "input": "", "answers": [item.first, item.second]}


def _arena(item: Item) -> dict[str, Any]:
    winner = item.side("model_a", "model_b", "tie (bothbad)")
    return {"question_id": "q", "model_a": "x", "model_b": "y", "winner": winner, "turn": 1,
            "conversation_a": asked(item, item.first), "conversation_b": asked(item, item.second)}  # fmt: skip


def _kaggle(item: Item) -> dict[str, Any]:
    flags = item.side((1, 0, 0), (0, 1, 0), (0, 0, 1))
    return {"id": 1, "model_a": "x", "model_b": "y", "prompt": json.dumps([item.prompt]),
            "response_a": json.dumps([item.first]), "response_b": json.dumps([item.second]),
            **dict(zip(("winner_model_a", "winner_model_b", "winner_tie"), flags, strict=True))}  # fmt: skip


def _ultrafeedback(chosen: str, rejected: str) -> Callable[[Item], dict[str, Any]]:
    return lambda item: {
        "prompt": item.prompt, "prompt_id": "p", "chosen": asked(item, item.chosen),
        "rejected": asked(item, item.rejected), "messages": asked(item, item.chosen), chosen: 7.5,
        rejected: 7.5 if item.better is None else 3.0,
    }  # fmt: skip


def _openai(item: Item) -> dict[str, Any]:
    return {"input": {"messages": [turn("user", item.prompt)], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [turn("assistant", item.chosen)],
            "non_preferred_output": [turn("assistant", item.rejected)]}  # fmt: skip


def _sharegpt(item: Item) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": item.prompt}], "chosen": {"from": "gpt", "value": item.chosen},
            "rejected": {"from": "gpt", "value": item.rejected}}  # fmt: skip


def _webgpt(item: Item) -> dict[str, Any]:
    scores = item.side((0.5, -0.5), (-1.0, 1.0), (0.0, 0.0))
    return {"question": {"dataset": "eli5", "id": "1", "full_text": item.prompt}, "answer_0": item.first,
            "answer_1": item.second, "score_0": scores[0], "score_1": scores[1]}  # fmt: skip


_SYSTEM = '[{{"role": "system", "content": "Be brief."}}, {{"role": "user", "content": "{}"}}]'
_HELLO = (
    '[{{"role": "user", "content": "Hello"}}, {{"role": "assistant", "content": "Hi: what?"}}, '
    '{{"role": "user", "content": "{}"}}]'
)
KINDS = [
    Kind("hh", "Anthropic HH", one(lambda i: {
        "chosen": _transcript(i, i.chosen), "rejected": _transcript(i, i.rejected)}), _HELLO, has_ties=False),
    Kind("summarize", "OpenAI summarize-from-feedback", one(_summaries),
         "SUBREDDIT: r/food\n\nTITLE: Bread\n\nPOST: {}\n\nTL;DR:", has_ties=False),
    Kind("shp", "SHP", one(_shp)),
    Kind("helpsteer2", "HelpSteer2 ratings", _helpsteer2),
    Kind("helpsteer2-preference", "HelpSteer2 preferences", one(lambda i: {
        "prompt": i.prompt, "response_1": i.first, "response_2": i.second, "preference_strength": i.side(-1, 3, 0)})),
    Kind("helpsteer3", "HelpSteer3 preferences", one(lambda i: {
        "domain": "stem", "context": [turn("user", i.prompt)], "response1": i.first, "response2": i.second,
        "overall_preference": i.side(-3, 1, 0)})),
    Kind("pku-saferlhf", "PKU-SafeRLHF", one(_pku), has_ties=False),
    Kind("nectar", "Nectar", one(_nectar)),
    Kind("alpaca-farm", "AlpacaFarm preferences", one(lambda i: {
        "instruction": i.prompt, "input": "", "output_1": i.first, "output_2": i.second,
        "preference": i.side(1, 2, 1.5)})),
    Kind("tlc4418-preferences", "tlc4418 preferences", one(lambda i: {**_answers(i), "preference": i.side(0, 1)}),
         has_ties=False),
    Kind("tlc4418-gold", "tlc4418 gold-labelled generations", one(lambda i: {
        **_answers(i), "gold_scores": i.side([1.2, -0.3], [-2.0, 0.1], [0.5, 0.5])})),
    Kind("lmsys-arena", "LMSYS arena battles", one(_arena)),
    Kind("lmsys-arena", "LMSYS arena battles", one(lambda i: {
        **_arena(i), "winner": i.side("model_a", "model_b", "both_bad"),
        "conversation_a": [turn("user", parts(i.prompt)), turn("assistant", parts(i.first))],
        "conversation_b": [turn("user", parts(i.prompt)), turn("assistant", parts(i.second))]})),
    Kind("lmsys-kaggle", "LMSYS arena battles (one flag a side)", one(_kaggle)),
    Kind("webgpt", "WebGPT comparisons", one(_webgpt)),
    Kind("ultrafeedback", "UltraFeedback-binarized", one(_ultrafeedback("score_chosen", "score_rejected"))),
    Kind("ultrafeedback", "UltraFeedback-binarized", one(_ultrafeedback("chosen-rating", "rejected-rating"))),
    Kind("ultrafeedback", "UltraFeedback-binarized", one(lambda i: {
        "chosen": {"messages": asked(i, i.chosen)}, "rejected": {"messages": asked(i, i.rejected)},
        "chosen_score": 2, "rejected_score": i.side(1, 1, 2)})),
    Kind("openai", "OpenAI fine-tuning preferences", one(_openai), has_ties=False),
    Kind("sharegpt", "conversations with two answers", one(_sharegpt), has_ties=False),
    Kind("sharegpt", "conversations with two answers", one(lambda i: {
        "messages": [turn("user", i.prompt)], "chosen": [turn("assistant", i.chosen)],
        "rejected": [turn("assistant", i.rejected)]}), has_ties=False),
    Kind("ms-swift", "ms-swift preferences", one(lambda i: {
        "messages": asked(i, i.chosen), "rejected_response": i.rejected}), has_ties=False),
    Kind("stack-exchange-paired", "stack-exchange-paired", one(lambda i: {
        "qid": 1, "question": i.prompt, "date": "x", "response_j": i.chosen, "response_k": i.rejected}),
         has_ties=False),
    Kind("rewardbench2", "RewardBench 2", one(lambda i: {
        "id": "1", "prompt": i.prompt, "chosen": [i.chosen], "rejected": [i.rejected], "num_correct": 1,
        "num_incorrect": 1, "models": ["a", "b"], "subset": "Math"}), has_ties=False),
    Kind("rewardbench", "RewardBench", one(lambda i: {
        "prompt": i.prompt, "chosen": i.chosen, "chosen_model": "a", "rejected": i.rejected, "rejected_model": "b",
        "subset": "alpacaeval", "id": 1}), has_ties=False),
    Kind("orca", "orca DPO pairs", one(lambda i: {
        "system": "Be brief.", "question": i.prompt, "chosen": i.chosen, "rejected": i.rejected}),
         _SYSTEM, has_ties=False),
    Kind("orca", "orca DPO pairs", one(lambda i: {
        "system": "Be brief.", "input": i.prompt, "chosen": i.chosen, "rejected": i.rejected, "order": ["a", "b"],
        "status": "swapped"}), _SYSTEM, has_ties=False),
    Kind("alpaca", "instructions with two outputs", one(lambda i: {
        "instruction": i.prompt, "input": "The input.", "chosen": i.chosen, "rejected": i.rejected}),
         "{}\n\nThe input.", has_ties=False),
]  # fmt: skip


def write(path: Path, rows: Rows) -> Path:
    """Write rows as the ending asks for; cells of a CSV are Python's notation, as pandas writes them."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(json.dumps(rows) if path.suffix == ".json" else lines)
    return path
