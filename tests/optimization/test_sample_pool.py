"""The pool: what is drawn into it, and what its file keeps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mlproject.models.generation import sample
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import decode_responses
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.sample_pool import Pool, draw_pool

P, N = 3, 7


@pytest.fixture
def setting(pool_task) -> SimpleNamespace:
    return pool_task(BestOfNConfig(bon_n_max=N, bon_points=N))


class CountingJudge:
    """Judges a response by its number of characters, and keeps every pair of prompt and response."""

    def __init__(self) -> None:
        self.judged: list[tuple[str, str]] = []

    def judge(self, prompts, responses) -> np.ndarray:
        self.judged += list(zip(prompts, responses, strict=True))
        return np.array([len(prompt) + 10.0 * len(response) for prompt, response in self.judged])

    def text_stats(self, responses) -> dict[str, np.ndarray]:
        return {"length": np.array([float(len(response)) for response in responses])}


def test_every_sample_has_its_scores_though_a_response_is_judged_once(tiny_policy, tiny_tokenizer, pool_task) -> None:
    policy, samples = tiny_policy(seed=3), 40
    texts = ["yes no", "no", "maybe maybe yes"]
    prompt_format, judge = PromptFormat(tiny_tokenizer, max_response_tokens=2), CountingJudge()
    gold = SimpleNamespace(rate=lambda responses: responses.sequences.response_lengths_B.double().numpy())
    pool = draw_pool(
        policy,
        texts,
        samples,
        prompt_format=prompt_format,
        gold=gold,
        world=judge,
        human_units=(5.0, 2.0),
        generator=torch.Generator().manual_seed(0),
        batch=1000,
    )
    drawn = sample(
        policy,
        prompt_format.encode_prompts(texts),
        max_new_tokens=2,
        generator=torch.Generator().manual_seed(0),
        samples_per_prompt=samples,
    )
    responses = decode_responses(tiny_tokenizer, drawn.sequences)
    assert pool.shape == (len(texts), samples)
    assert decode_responses(tiny_tokenizer, pool.sequences) == responses
    np.testing.assert_allclose(pool.log_prob_PN.ravel(), drawn.log_probs_BR.sum(1).numpy(), rtol=1e-6)
    assert pool.gold_PN.ravel().tolist() == drawn.sequences.response_lengths_B.tolist()
    prompts = [text for text in texts for _ in range(samples)]
    expected = [(len(p) + 10.0 * len(r) - 5.0) / 2.0 for p, r in zip(prompts, responses, strict=True)]
    np.testing.assert_allclose(pool.human_PN.ravel(), expected)
    assert pool.statistics_PN["length"].ravel().tolist() == [float(len(response)) for response in responses]
    rows = zip(drawn.sequences.ids_BT.tolist(), drawn.sequences.ends_B.tolist(), strict=True)
    assert len(judge.judged) == len({tuple(ids[:end]) for ids, end in rows}) < len(prompts)


def test_a_pool_survives_its_file(setting, tiny_tokenizer, tmp_path) -> None:
    setting.pool.save(tmp_path / "pool.safetensors")
    loaded = Pool.load(tmp_path / "pool.safetensors")
    assert decode_responses(tiny_tokenizer, loaded.sequences) == setting.responses
    assert loaded.shape == (P, N)
    for name in ("log_prob_PN", "gold_PN", "human_PN"):
        np.testing.assert_allclose(getattr(loaded, name), getattr(setting.pool, name), rtol=1e-6)
    np.testing.assert_allclose(loaded.statistics_PN["length"], setting.pool.statistics_PN["length"], rtol=1e-6)


def test_first_takes_the_first_samples_of_every_prompt(setting, tiny_tokenizer) -> None:
    texts = decode_responses(tiny_tokenizer, setting.pool.first(2))
    assert texts == [setting.responses[p * N + n] for p in range(P) for n in range(2)]
