"""Batches, cache and time limit of functions, and what identifies their code."""

from __future__ import annotations

import hashlib
import importlib
import sqlite3
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.support.checkpoints import byte_tokenizer

from mlproject.errors import UserError
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.pipeline.reward import load_saved_reward, save_reward
from mlproject.rewards.calls import CachedCalls
from mlproject.rewards.code import source_digest
from mlproject.rewards.functions import is_trl_function, load_function
from mlproject.rewards.loading import load_reward
from mlproject.rewards.options import CallOptions
from mlproject.rewards.raw import check_raw
from mlproject.rewards.source import RewardSource, is_reward


def counting():
    calls: list[list[str]] = []

    def length(prompts, responses):
        calls.append(list(responses))
        return [len(text) for text in responses]

    return length, calls


TEXTS = ["a", "bb", "ccc", "dddd", "eeeee"]
PROMPTS = ["p"] * 5


def test_batches_are_no_larger_than_asked_and_scores_keep_their_order():
    function, calls = counting()
    scorer = CachedCalls("m:f", function, options=CallOptions(scorer_batch=2))
    assert scorer(PROMPTS, TEXTS).tolist() == [1, 2, 3, 4, 5]
    assert calls == [["a", "bb"], ["ccc", "dddd"], ["eeeee"]]


@pytest.mark.parametrize("place", ["memory", "file"])
def test_what_is_known_is_not_asked_again_and_hits_are_counted(place, tmp_path):
    cache = "memory" if place == "memory" else str(tmp_path / "scores.db")
    function, calls = counting()
    scorer = CachedCalls("m:f", function, "v1", CallOptions(scorer_cache=cache))
    scorer(PROMPTS[:3], TEXTS[:3])
    assert scorer(PROMPTS, TEXTS[::-1]).tolist() == [5, 4, 3, 2, 1]
    assert calls[1] == ["eeeee", "dddd"]
    assert (scorer.usage.responses, scorer.usage.cache_hits, scorer.usage.calls) == (8, 3, 2)
    scorer(["q"], ["a"])
    assert len(calls) == 3, "the prompt is part of the key"
    later = CachedCalls("m:f", function, "v1", CallOptions(scorer_cache=cache))
    later(PROMPTS, TEXTS)
    assert later.usage.cache_hits == (5 if place == "file" else 0)
    changed = replace(later, identity="v2", _cache=[])
    assert changed(PROMPTS[:1], TEXTS[:1]).tolist() == [1]
    assert calls[-1] == ["a"], "and so is what identifies the function"


def test_without_a_cache_everything_is_asked_again():
    function, calls = counting()
    scorer = CachedCalls("m:f", function, options=CallOptions(scorer_cache="none"))
    scorer(PROMPTS, TEXTS), scorer(PROMPTS, TEXTS)
    assert len(calls) == 2 and scorer.usage.cache_hits == 0


def test_a_score_that_is_not_finite_is_not_kept():
    answers = iter([[float("nan")], [1.0]])
    scorer = CachedCalls("m:f", lambda prompts, responses: next(answers))
    assert np.isnan(scorer(["p"], ["a"])[0]) and scorer(["p"], ["a"]).tolist() == [1.0]


@pytest.mark.parametrize("kept", ["abc", None, b"\xff", float("inf"), float("-inf"), float("nan")])
def test_what_is_no_score_in_a_cache_is_asked_again(kept, tmp_path):
    scorer = CachedCalls("m:f", lambda p, r: [1.5], options=CallOptions(scorer_cache=str(tmp_path / "c.db")))
    scorer(["p"], ["a"])
    with sqlite3.connect(tmp_path / "c.db") as database:
        database.execute("UPDATE scores SET score = ?", [kept])
    assert scorer(["p"], ["a"]).tolist() == [1.5]
    assert scorer.usage.cache_hits == 0


@pytest.mark.parametrize("name", ["other.db", "a\0b", "\ud800"])
def test_the_database_of_another_program_is_no_cache(name, tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute(
            "CREATE VIEW scores AS WITH RECURSIVE r(key, score) AS (SELECT x'00', 1.0 UNION ALL SELECT key, score + 1 "
            "FROM r) SELECT * FROM r"
        )
    scorer = CachedCalls("m:f", lambda p, r: [0.0], options=CallOptions(scorer_cache=str(tmp_path / name)))
    with pytest.raises(UserError, match=r"^scorer_cache=.*: must be memory, none, or a file"):
        scorer(["p"], ["a"])


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    scorer = CachedCalls("m:f", lambda p, r: [0.0], options=CallOptions(scorer_cache=str(tmp_path / "no" / "c.db")))
    with pytest.raises(UserError, match=r"^scorer_cache=.*c.db: must be memory, none, or a file"):
        scorer(["p"], ["a"])


def test_a_function_that_takes_too_long_is_named_with_the_limit():
    scorer = CachedCalls("m:f", lambda p, r: time.sleep(2), options=CallOptions(scorer_seconds=0.1))
    with pytest.raises(UserError, match=r"^m:f: must score 1 responses within scorer_seconds=0\.1"):
        scorer(["p"], ["a"])


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Modules of a user's, written and imported anew at every call."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files: str) -> str:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        for name in [each for each in sys.modules if each.partition(".")[0] in ("top", "low", "pack")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        importlib.import_module("top")
        return source_digest("top")

    yield write
    for name in [each for each in sys.modules if each.partition(".")[0] in ("top", "low", "pack")]:
        del sys.modules[name]


def test_the_digest_of_a_module_that_stands_alone_is_that_of_its_file(code):
    text = "import json, numpy as np\ndef f(p, r): return [0] * len(r)\n"
    assert code(top=text) == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_changes_with_every_file_of_the_users_own_that_is_imported_and_with_no_other(code):
    first = code(top="from low import g\nfrom pack.part import h", low="g = 1", pack__part="from . import deep\nh = 1",
                 pack__deep="x = 1", other="x = 1")  # fmt: skip
    assert code(other="x = 2") == first
    for name in ("top", "low", "pack__part", "pack__deep"):
        text = {"top": "from low import g\nfrom pack.part import h", "pack__part": "from . import deep\nh = 1"}
        assert code(**{name: text.get(name, "g = 1\nx = 1") + "\n# changed"}) != first
        code(**{name: text.get(name, "g = 1" if name == "low" else "x = 1")})


def test_a_saved_function_scores_as_before_until_its_code_changes(code, tmp_path):
    prompt_format = PromptFormat(byte_tokenizer(300, chat=False), 64)
    responses = Responses(["p"], prompt_format.encode(["p"], ["abc"]), prompt_format)
    code(top="def f(p, r): return [len(t) for t in r]\n")
    scorer = load_reward(RewardSource("top:f", "v1"), prompt_format, CallOptions()).with_units(1.0, 2.0)
    save_reward(scorer, tmp_path)
    assert load_saved_reward(tmp_path, prompt_format, CallOptions()).rate(responses).tolist() == [4.0]
    code(top="def f(p, r): return [2 * len(t) for t in r]\n")
    with pytest.raises(UserError, match=r"^top:f: its code has changed since its scores were put on gold's scale"):
        load_saved_reward(tmp_path, prompt_format, CallOptions())


def test_a_version_is_part_of_what_identifies_a_reward():
    assert RewardSource("http://host/score").params == {}
    assert RewardSource("http://host/score", "2").params == {"scorer_version": "2"}
    name = "tests.support.checkpoints:word_count"
    assert RewardSource(name, "2").params == {**RewardSource(name).params, "scorer_version": "2"}


@pytest.mark.parametrize("url", ["http://me:pw@host/score", "https://host/score?token=abc", "http://host:99999/score"])
def test_an_address_with_a_secret_or_without_sense_is_refused(url):
    with pytest.raises(UserError, match=r"must not hold a password|must be the address"):
        _ = RewardSource(url).params


def test_what_is_a_reward_and_what_is_not():
    assert all(map(is_reward, ["m:f", "a.b:f", "http://h", "https://h:1/score", "HTTP://h"]))
    assert not any(
        map(is_reward, ["3k", "./folder", "owner/name", "models:/reward-model@champion", "http://", "a:b:c"])
    )


def test_trls_form_is_known_by_its_arguments():
    assert is_trl_function(lambda prompts, completions, **columns: [])
    assert is_trl_function(lambda completions: []) and is_trl_function(lambda **columns: [])
    assert not is_trl_function(lambda prompts, responses: []) and not is_trl_function(lambda *texts: [])


def test_a_class_is_no_function():
    with pytest.raises(UserError, match=r"must be a function of .* not a class"):
        load_function("collections:OrderedDict")


def test_squashed_scores_are_refused_from_vllm_and_noticed_elsewhere():
    squashed = 1 / (1 + np.exp(-np.linspace(-3, 3, 50)))
    with pytest.raises(UserError, match=r"all scores of 50 responses lie between 0.0474 and 0.953"):
        check_raw("http://host/classify", squashed)
    assert "behind a sigmoid" in check_raw("m:f", squashed)
    assert check_raw("m:f", np.tile([0.25, 0.5, 0.75], 20)) == ""  # points for conditions
    assert check_raw("m:f", np.linspace(-1, 1, 50)) == ""
    with pytest.raises(UserError, match="different scores, but gives each 1"):
        check_raw("m:f", np.ones(50))
