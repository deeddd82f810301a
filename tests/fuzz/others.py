"""Claims about what others send: tables of samples, pools, answers of reward services and of policy servers."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from tests.fuzz.invented import tables, texts, values
from tests.support.checkpoints import byte_tokenizer

from mlproject.estimators import n_grid
from mlproject.models.policy_server import PolicyServer
from mlproject.models.prompt_format import PromptFormat
from mlproject.rewards.service import Service
from mlproject.samples.curves import GoldUnits, best_of_n_points, pairs_of
from mlproject.samples.pool import Choice
from mlproject.samples.responses import read_responses
from mlproject.samples.steps import SamplesRequest

GOOD_SAMPLES = pd.DataFrame(
    {
        "prompt": [f"Question {i // 4}?" for i in range(24)],
        "response": [f"Answer {i}." for i in range(24)],
        "gold": [((i * 7) % 11) / 3 for i in range(24)],
        "rm_a": [((i * 5) % 13) / 2 for i in range(24)],
        "rm_b": [((i * 3) % 17) - 4.0 for i in range(24)],
        "logprob": [-1.0 - (i % 5) for i in range(24)],
    }
)
SAMPLES = st.tuples(
    tables(GOOD_SAMPLES),
    st.fixed_dictionaries(
        {},
        optional={
            "columns": st.one_of(
                st.sampled_from(("gold=rm_a", "prompt=prompt,gold=gold", "logprob=gold", "prompt=response")), texts
            ),
            "rms": st.one_of(st.sampled_from(("rm_a", "rm_a,rm_b", "gold", "rm_a,rm_a")), texts),
            "min_samples": st.integers(0, 5),
            "duplicates": st.sampled_from(("keep", "drop")),
            "n_max": st.integers(0, 5),
            "skip_bad_lines": st.booleans(),
        },
    ),
)


def claim_samples(case: tuple[tuple[str, bytes], dict[str, Any]], folder: Path) -> str:
    (suffix, content), asked = case
    (folder / f"s{suffix}").write_bytes(content)
    choice = Choice(**{name: asked[name] for name in ("rms", "min_samples", "duplicates") if name in asked})
    request = {name: asked[name] for name in ("columns", "n_max", "skip_bad_lines") if name in asked}
    pool = SamplesRequest(str(folder / f"s{suffix}"), choice=choice, **request).pool
    assert pool.counts_P.sum() == len(pool.gold_B) and pool.counts_P.min() >= pool.n_max >= 2 and pool.scores
    assert all("\n" not in text for text in (pool.read_as, *pool.notes))
    units = GoldUnits.of(pool.gold_B)
    for rm, scores_B in pool.scores.items():
        pairs = pairs_of(pool, scores_B, units)
        for point in best_of_n_points(pool, rm, n_grid(pool.n_max, 3), units, pairs.scale, {}):
            numbers = np.array([point.kl, *point.gold_P, *point.proxy_P])
            assert np.isfinite(numbers).all() and 0 <= point.kl <= math.log(pool.n_max)
    return "works"


def claim_pool(case: tuple[tuple[str, bytes], dict[str, Any]], folder: Path) -> str:
    (suffix, content), _ = case
    (folder / f"s{suffix}").write_bytes(content)
    given = read_responses(folder / f"s{suffix}", {})
    rows = np.concatenate(list(given.by_prompt.values()))
    assert len(set(rows.tolist())) == len(rows) and all(isinstance(t, str) for t in given.texts.take(rows).to_pylist())
    assert all(prompt.strip() for prompt in given.by_prompt)
    if given.log_prob_B is not None:
        assert np.isfinite(given.log_prob_B[rows]).all() and (given.log_prob_B[rows] <= 0).all()
    return "works"


SAID = ("scores", "data", "probs", "choices", "logprobs", "token_logprobs", "tokens", "token_ids", "text", "score")
GOOD_CHOICE = {
    "text": "ab", "finish_reason": "stop", "token_ids": [65, 66],
    "logprobs": {"tokens": ["token_id:65", "token_id:66"], "token_logprobs": [-1.0, -2.0]},
}  # fmt: skip
GOOD_ANSWERS: tuple[Any, ...] = (
    {"scores": [1.0, 2.0]}, [1.0, 2.0], {"data": [{"data": [1.0]}, {"probs": [2.0]}]},
    {"choices": [GOOD_CHOICE, {**GOOD_CHOICE, "token_ids": None}]},
)  # fmt: skip


@st.composite
def answers(draw: st.DrawFn) -> Any:
    """An answer in JSON of which something was replaced, at any depth."""
    answer = draw(st.sampled_from(GOOD_ANSWERS))
    for _ in range(draw(st.integers(0, 2))):
        answer = _replaced(draw, answer)
    return answer


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: _replaced(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _replaced(draw, value[at]), *value[at + 1 :]]
    names = st.dictionaries(st.sampled_from(SAID), values, max_size=3)
    return draw(st.one_of(values.filter(_is_json), names.filter(_is_json)))


def _is_json(value: Any) -> bool:
    """Whether JSON has a form for a value."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float | bool)


ANSWERS = st.tuples(answers(), st.sampled_from(("score", "pooling", "classify", "invocations")))


def claim_answer(case: tuple[Any, str], folder: Path) -> str:
    answer, path = case

    class Invented(Service):
        def request(self, *arguments: Any, **named: Any) -> Any:
            return answer

    scores = Invented(f"http://127.0.0.1:9/{path}")(["a", "b"], ["x", "y"])
    assert len(scores) == 2 and all(type(score) is float for score in scores)
    return "works"


@cache
def prompt_format() -> PromptFormat:
    return PromptFormat(byte_tokenizer(300, chat=True), max_response_tokens=4)


def claim_served(case: tuple[Any, str], folder: Path) -> str:
    answer, _ = case

    class Invented(PolicyServer):
        def request(self, *arguments: Any, **named: Any) -> Any:
            return answer

    responses = Invented("http://127.0.0.1:9/v1").sample(["a"], 2, prompt_format(), seed=1)
    assert len(responses) == 2 and responses.log_prob_B is not None
    assert np.isfinite(responses.log_prob_B).all() and (responses.log_prob_B <= 0.1).all()
    assert (responses.sequences.response_lengths_B <= 4).all()
    return "works"
