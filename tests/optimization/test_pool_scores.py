"""Scores of a pool by the members of rewards: the very same numbers, computed once for all rewards over them."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.optimization.pools import stored_pool

from mlproject.cures.cure import Start
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer, parts_of, with_parts
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, TextRewardModel
from mlproject.optimization.pool_scores import proxy_scores
from mlproject.resume.resumption import Resumption

WORDS = ("yes", "no", "maybe")
OPTIONS = {"uwo_lambda": 0.5, "reward_ceiling": 0.1}


@pytest.fixture
def samples(tmp_path: Path, tiny_tokenizer):
    policy, rng = PromptFormat(tiny_tokenizer, max_response_tokens=8), np.random.default_rng(0)
    prompts = [prompt for prompt in ("yes no", "maybe", "no") for _ in range(6)]
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(1, 6))) for _ in prompts]
    responses = Responses(prompts, policy.encode(prompts, texts), policy, np.zeros(len(prompts)))
    return stored_pool(tmp_path / "pool", responses, 6, np.zeros((3, 6)), prompts_per_file=2).samples


@pytest.fixture
def scored(monkeypatch):
    """How many responses reward models have read."""
    count, raw_scores = [0], RewardModel.raw_scores

    def counting(self, sequences):
        count[0] += len(sequences)
        return raw_scores(self, sequences)

    monkeypatch.setattr(RewardModel, "raw_scores", counting)
    return count


def test_every_reward_over_the_same_members_reads_what_the_first_has_scored(
    tmp_path: Path, samples, scored, tiny_reward_model, tiny_tokenizer
) -> None:
    texts = TextRewardModel(RewardModel(tiny_reward_model(2)), PromptFormat(tiny_tokenizer, max_response_tokens=8))
    members = (RewardModel(tiny_reward_model(0)).with_units(0.1, 2.0), RewardModel(tiny_reward_model(1)), texts)
    rewards = [EnsembleScorer(how, members, OPTIONS) for how in ("mean", "worst-case", "uncertainty-weighted")]
    rewards.append(ShapedScorer("ceiling", rewards[0].with_units(0.2, 1.5), Start(0, 1, -1, 1), options=OPTIONS))
    plain = [proxy_scores(reward, samples, Resumption(), None) for reward in rewards]
    assert scored[0] == len(rewards) * 3 * 18
    for reward, expected_PN in zip(rewards, plain, strict=True):
        scored[0] = 0
        np.testing.assert_array_equal(proxy_scores(reward, samples, Resumption(), tmp_path / "kept"), expected_PN)
        assert scored[0] == (3 * 18 if reward is rewards[0] else 0)
    assert len({array.tobytes() for array in plain}) == len(rewards)


def test_other_weights_units_readers_and_pools_are_scored_by_themselves(
    tmp_path: Path, samples, scored, tiny_reward_model, tiny_tokenizer
) -> None:
    first, kept = RewardModel(tiny_reward_model(0)), tmp_path / "kept"
    reader = PromptFormat(tiny_tokenizer, max_response_tokens=3)
    others = [first, RewardModel(tiny_reward_model(1)), first.with_units(0.5, 1.0), TextRewardModel(first, reader)]
    seen = [proxy_scores(EnsembleScorer("mean", (other,)), samples, Resumption(), kept).tobytes() for other in others]
    assert scored[0] == 4 * 18 and len(set(seen[:3])) == 3
    asked_otherwise = replace(samples, prompts=["no", "maybe", "yes no"])
    proxy_scores(EnsembleScorer("mean", (first,)), asked_otherwise, Resumption(), kept)
    assert scored[0] == 5 * 18
    proxy_scores(first, samples, Resumption(), tmp_path / "none")
    assert not (tmp_path / "none").exists()  # one reward model is read by its own run only


def test_a_function_among_the_members_is_asked_as_before(tmp_path: Path, samples, tiny_reward_model) -> None:
    length = FunctionScorer("length", lambda prompts, texts: [len(text) for text in texts])
    reward = EnsembleScorer("worst-case", (length.with_units(10, 0.01), RewardModel(tiny_reward_model(0))))
    expected_PN = proxy_scores(reward, samples, Resumption(), None)
    for _ in range(2):
        np.testing.assert_array_equal(proxy_scores(reward, samples, Resumption(), tmp_path), expected_PN)


def test_a_damaged_file_is_written_again_and_a_member_that_is_being_scored_comes_last(
    tmp_path: Path, samples, scored, tiny_reward_model
) -> None:
    members = tuple(RewardModel(tiny_reward_model(seed)) for seed in range(2))
    reward = EnsembleScorer("mean", members)
    expected_PN = proxy_scores(reward, samples, Resumption(), tmp_path)
    files = sorted(tmp_path.glob("*.npy"))
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(whole[0][:-8])
    files[1].unlink()
    other = files[0].with_suffix(".lock").open("w")
    fcntl.flock(other, fcntl.LOCK_EX)
    scored[0], order = 0, []

    class Rows(Resumption):
        def row(self, name):
            order.append(name)
            if len(order) == 1:
                other.close()  # the other process has failed
            return super().row(name)

    np.testing.assert_array_equal(proxy_scores(reward, samples, Rows(), tmp_path), expected_PN)
    assert order == [f"proxy-{files[1].stem[:16]}", f"proxy-{files[0].stem[:16]}", "proxy"]
    assert scored[0] == 2 * 18 and [file.read_bytes() for file in files] == whole


@pytest.mark.parametrize("what", ["pipe", "loop", "nan", "texts", "objects", "archive", "header", "float32"])
def test_a_file_that_holds_no_scores_is_written_again_and_never_executed(
    tmp_path: Path, samples, tiny_reward_model, what: str
) -> None:
    reward = EnsembleScorer("mean", (RewardModel(tiny_reward_model(0)),))
    expected_PN = proxy_scores(reward, samples, Resumption(), tmp_path)
    [file] = tmp_path.glob("*.npy")
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "loop":
        file.symlink_to(file.name)
    elif what == "archive":
        with file.open("wb") as opened:
            np.savez(opened, np.zeros(18))
    elif what == "header":
        file.write_bytes(b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16)
    else:
        content = {"nan": np.full(18, np.nan), "texts": np.full(18, "1.5"), "float32": np.zeros(18, np.float32)}
        np.save(file, content.get(what, np.full(18, print, dtype=object)), allow_pickle=True)
    np.testing.assert_array_equal(proxy_scores(reward, samples, Resumption(), tmp_path), expected_PN)
    assert np.array_equal(np.load(file), expected_PN.reshape(-1))


def test_parts_are_replaced_where_they_stand(tiny_reward_model) -> None:
    a, b, c = (RewardModel(tiny_reward_model(seed)) for seed in range(3))
    reward = ShapedScorer("ceiling", EnsembleScorer("mean", (a, b)), Start(0, 1, -1, 1), options=OPTIONS)
    changed = with_parts(reward, lambda part: c if part is b else part)
    assert [part is one for part, one in zip(parts_of(changed), (a, c), strict=True)] == [True, True]
    assert [part is one for part, one in zip(parts_of(reward), (a, b), strict=True)] == [True, True]
