"""The pool: what is drawn into it, and what its files keep."""

from __future__ import annotations

import itertools
from contextlib import closing, suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.optimization.pools import stored_pool

from mlproject.models import scoring
from mlproject.models.generation import sample
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer
from mlproject.models.sequences import decode_responses, encode
from mlproject.optimization import pool_samples
from mlproject.optimization.pool_samples import PoolSamples, draw_samples
from mlproject.optimization.sample_pool import Pool, score_pool
from mlproject.resume.resumption import Resumption
from mlproject.resume.state_folder import StateFolder

TEXTS, SAMPLES = ["yes no", "no", "maybe maybe yes", "yes", "no no no no"], 40


class CountingJudge:
    """Judges a response by its number of characters, and keeps every pair of prompt and response."""

    def __init__(self) -> None:
        self.judged: list[tuple[str, str]] = []

    def judge(self, prompts, responses) -> np.ndarray:
        pairs = list(zip(prompts, responses, strict=True))
        self.judged += pairs
        return np.array([len(prompt) + 10.0 * len(response) for prompt, response in pairs])

    def text_stats(self, responses) -> dict[str, np.ndarray]:
        return {"length": np.array([float(len(response)) for response in responses])}


def draw(policy, prompt_format, folder, judge, batch: int = 1000, resumption: Resumption | None = None) -> PoolSamples:
    folder.mkdir()
    return draw_samples(
        policy,
        TEXTS,
        SAMPLES,
        folder,
        prompt_format=prompt_format,
        world=judge,
        generator=torch.Generator().manual_seed(0),
        batch=batch,
        resumption=resumption,
    )


@pytest.fixture
def prompt_format(tiny_tokenizer) -> PromptFormat:
    return PromptFormat(tiny_tokenizer, max_response_tokens=2)


def test_every_sample_has_its_scores_though_a_response_is_judged_once(tiny_policy, prompt_format, tmp_path) -> None:
    policy, judge = tiny_policy(seed=3), CountingJudge()
    gold = SimpleNamespace(rate=lambda responses: responses.sequences.response_lengths_B.double().numpy())
    pool = score_pool(draw(policy, prompt_format, tmp_path / "samples", judge), gold, human_units=(5.0, 2.0))
    drawn = sample(
        policy,
        prompt_format.encode_prompts(TEXTS),
        max_new_tokens=2,
        generator=torch.Generator().manual_seed(0),
        samples_per_prompt=SAMPLES,
    )
    responses = decode_responses(prompt_format.tokenizer, drawn.sequences)
    [block] = pool.samples.blocks()
    assert pool.shape == (len(TEXTS), SAMPLES)
    assert block.texts == responses
    assert torch.equal(block.sequences.ids_BT, drawn.sequences.ids_BT)
    np.testing.assert_allclose(pool.samples.log_prob_PN.ravel(), drawn.log_probs_BR.sum(1).numpy(), rtol=1e-6)
    assert pool.gold_PN.ravel().tolist() == drawn.sequences.response_lengths_B.tolist()
    prompts = [text for text in TEXTS for _ in range(SAMPLES)]
    assert block.prompts == prompts
    expected = [(len(p) + 10.0 * len(r) - 5.0) / 2.0 for p, r in zip(prompts, responses, strict=True)]
    np.testing.assert_allclose(pool.human_PN.ravel(), expected)
    assert pool.samples.statistic("length").ravel().tolist() == [float(len(response)) for response in responses]
    rows = zip(drawn.sequences.ids_BT.tolist(), drawn.sequences.ends_B.tolist(), strict=True)
    distinct = len({tuple(ids[:end]) for ids, end in rows})
    assert len(judge.judged) == distinct < len(prompts)
    assert pool.samples.distinct == distinct / len(prompts)
    assert pool.samples.mean_length == drawn.sequences.response_lengths_B.double().mean()


@pytest.mark.parametrize("block", [1, 2 * SAMPLES, 3 * SAMPLES + 1])
def test_where_files_end_changes_no_sample(block, tiny_policy, prompt_format, tmp_path, monkeypatch) -> None:
    policy, batch = tiny_policy(seed=3), 2 * SAMPLES
    whole = draw(policy, prompt_format, tmp_path / "whole", CountingJudge(), batch)
    monkeypatch.setattr(pool_samples, "BLOCK", block)
    parts = draw(policy, prompt_format, tmp_path / "parts", CountingJudge(), batch)
    assert len(list(parts.blocks())) > len(list(whole.blocks())) == 1
    [block_of_all] = whole.blocks()
    assert [text for each in parts.blocks() for text in each.texts] == block_of_all.texts
    for name in ("log_prob_PN", "human_PN"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    np.testing.assert_array_equal(parts.statistic("length"), whole.statistic("length"))
    assert (parts.shape, parts.distinct, parts.mean_length) == (whole.shape, whole.distinct, whole.mean_length)


def _dying(work, life: int):
    """The work, which is interrupted instead of being done for the next time after `life` times."""
    calls = iter([True] * life)

    def done(*args, **kwargs):
        if not next(calls, False):
            raise KeyboardInterrupt
        return work(*args, **kwargs)

    return done


def _until_done(execute, states):
    """Execute work with new states of its own until it is not interrupted; its result, and how often it began."""
    for life in itertools.count():
        with suppress(KeyboardInterrupt), closing(Resumption(StateFolder(states, "work"), 1e-9)) as resumption:
            return execute(life, resumption), life + 1


@pytest.mark.parametrize("block", [2 * SAMPLES, 1000])
def test_samples_that_were_drawn_before_an_interruption_are_not_drawn_again(
    block, tiny_policy, prompt_format, tmp_path, monkeypatch
) -> None:
    policy, sampled = tiny_policy(seed=3), pool_samples.sample_responses
    monkeypatch.setattr(pool_samples, "BLOCK", block)
    whole = draw(policy, prompt_format, tmp_path / "whole", CountingJudge(), SAMPLES)

    def execute(life: int, resumption: Resumption) -> PoolSamples:
        monkeypatch.setattr(pool_samples, "sample_responses", _dying(sampled, 2))
        return draw(policy, prompt_format, tmp_path / str(life), CountingJudge(), SAMPLES, resumption)

    resumed, lives = _until_done(execute, tmp_path / "states")
    assert lives == 3
    files = [{path.name: path.read_bytes() for path in pool.folder.iterdir()} for pool in (whole, resumed)]
    assert files[0] == files[1]


def test_scores_that_were_computed_before_an_interruption_are_not_computed_again(
    tiny_policy, tiny_reward_model, prompt_format, tmp_path, monkeypatch
) -> None:
    def execute(life: int, resumption: Resumption) -> np.ndarray:
        monkeypatch.setattr(scoring, "logits", _dying(read, 3))
        return score_pool(samples, gold, (0.0, 1.0), resumption).gold_PN

    samples = draw(tiny_policy(seed=3), prompt_format, tmp_path / "samples", CountingJudge())
    gold, read = RewardModel(tiny_reward_model(seed=1)), scoring.logits
    scoring.scoring_of(gold.model)
    monkeypatch.setattr(scoring, "inference_batch", lambda model: 2)
    undisturbed = score_pool(samples, gold, (0.0, 1.0)).gold_PN
    scores, lives = _until_done(execute, tmp_path / "states")
    assert lives > 2
    np.testing.assert_array_equal(scores, undisturbed)


def test_what_a_function_of_the_user_s_scores_with_a_model_is_not_kept(
    tiny_policy, tiny_reward_model, prompt_format, tmp_path
) -> None:
    """It may know some of the scores by the next time, and then ask for other batches."""
    samples = draw(tiny_policy(seed=3), prompt_format, tmp_path / "samples", CountingJudge())
    model = RewardModel(tiny_reward_model(seed=1))
    judge = FunctionScorer("judge", lambda p, r: model.raw_scores(prompt_format.encode(p, r)).numpy())
    with closing(Resumption(StateFolder(tmp_path / "states", "score"), 1e-9)) as resumption:
        scores = score_pool(samples, judge, (0.0, 1.0), resumption).gold_PN
    assert not list(tmp_path.glob("states/*")) and scores.std() > 0


@pytest.fixture(params=[1, 2, 5])
def planted(request, tiny_tokenizer, tmp_path) -> SimpleNamespace:
    """Five prompts with three responses each in files of one, two or five prompts, and their texts."""
    prompt_format = PromptFormat(tiny_tokenizer, max_response_tokens=4)
    texts = [" ".join(["yes", "no", "maybe"][: 1 + (3 * p + n) % 3]) for p in range(5) for n in range(3)]
    prompts = [text for text in TEXTS for _ in range(3)]
    written = Responses(prompts, encode(tiny_tokenizer, prompts, texts, 4), prompt_format, np.linspace(-9, -1, 15))
    gold_PN = np.arange(15.0).reshape(5, 3)
    pool = stored_pool(tmp_path / "samples", written, 3, gold_PN, -gold_PN, request.param)
    return SimpleNamespace(pool=pool, written=written, texts=np.array(texts).reshape(5, 3))


def test_a_pool_survives_its_files(planted, tmp_path) -> None:
    pool, written = planted.pool, planted.written
    pool.save(tmp_path / "pool.safetensors")
    loaded = Pool.load(tmp_path / "pool.safetensors", pool.samples)
    np.testing.assert_array_equal(loaded.gold_PN, pool.gold_PN)
    np.testing.assert_array_equal(loaded.human_PN, pool.human_PN)
    np.testing.assert_allclose(loaded.samples.log_prob_PN.ravel(), written.log_prob_B, rtol=1e-6)
    blocks = list(loaded.samples.blocks())
    assert [text for block in blocks for text in block.texts] == planted.texts.ravel().tolist()
    assert [prompt for block in blocks for prompt in block.prompts] == written.prompts
    ids = [row[:end] for block in blocks for row, end in zip(*_rows(block), strict=True)]
    assert ids == [row[:end] for row, end in zip(*_rows(written), strict=True)]


def test_first_takes_the_first_samples_of_every_prompt(planted) -> None:
    first = planted.pool.samples.first(2)
    assert first.texts == planted.texts[:, :2].ravel().tolist()
    assert first.prompts == [text for text in TEXTS for _ in range(2)]


def test_any_samples_can_be_chosen(planted) -> None:
    prompt, sample_of = np.array([0, 2, 2, 4]), np.array([1, 0, 2, 1])
    chosen = planted.pool.samples.choose(prompt, sample_of)
    assert chosen.texts == planted.texts[prompt, sample_of].tolist()
    assert chosen.prompts == [TEXTS[p] for p in prompt]


def test_scores_stand_where_their_samples_do(planted) -> None:
    rated_PN = planted.pool.samples.rate(lambda responses: np.array([len(text) for text in responses.texts]))
    assert rated_PN.tolist() == [[len(text) for text in row] for row in planted.texts]


def _rows(responses: Responses) -> tuple[list[list[int]], list[int]]:
    return responses.sequences.ids_BT.tolist(), responses.sequences.ends_B.tolist()
