"""A small pool whose samples have scores of their own, and a task on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.optimization.method_config import MethodConfig

P, N = 3, 7


class TokenReward:
    """Another score for every response: a random weight for every token at every place."""

    def __init__(self, seed: int) -> None:
        self.weights_TV = np.random.default_rng(seed).normal(size=(16, 8))

    def rate(self, responses) -> np.ndarray:
        sequences = responses.sequences
        return np.array([sum(self.weights_TV[t, v] for t, v in enumerate(row)) for row in sequences.ids_BT.tolist()])


@pytest.fixture
def pool_task(tiny_tokenizer, tiny_policy, tmp_path) -> Callable[[MethodConfig], SimpleNamespace]:
    """Builds a task for a method's options: P prompts with N distinct responses each, their scores drawn at random."""
    import torch
    from accelerate import Accelerator
    from tests.optimization.pools import stored_pool

    from mlproject.models.prompt_format import PromptFormat, Responses
    from mlproject.models.sequences import encode
    from mlproject.optimization.evaluator import Evaluator
    from mlproject.optimization.task import OptimizationTask

    rng = np.random.default_rng(0)
    texts = ["yes", "no", "maybe"]
    every = [" ".join(words) for words in itertools.product(["yes", "no", "maybe"], repeat=3)]
    responses = [response for _ in texts for response in rng.choice(every, N, replace=False)]
    prompt_format = PromptFormat(tiny_tokenizer, max_response_tokens=4)
    prompts = [text for text in texts for _ in range(N)]
    written = encode(tiny_tokenizer, prompts, responses, max_response_tokens=4)
    pool = stored_pool(
        tmp_path / "samples",
        Responses(prompts, written, prompt_format, -rng.random(P * N)),
        N,
        gold_PN=rng.normal(size=(P, N)),
        human_PN=rng.normal(size=(P, N)),
        length=rng.random((P, N)),
    )
    proxy, gold = TokenReward(1), TokenReward(2)
    evaluator = Evaluator(
        world=SimpleNamespace(judge=lambda prompts, responses: None, text_stats=lambda responses: {}),
        prompt_format=prompt_format,
        prompts=texts,
        initial_policy=tiny_policy(),
        proxy=proxy,
        gold=gold,
        human_units=(0.0, 1.0),
        pool=pool,
        samples_per_prompt=1,
        seed=0,
    )

    def build(config: MethodConfig) -> SimpleNamespace:
        task = OptimizationTask(
            initial_policy=tiny_policy(),
            start_policy=tiny_policy(),
            proxy=proxy,
            prompt_format=prompt_format,
            train_texts=[],
            samples=pool.samples,
            evaluator=evaluator,
            config=config,
            accelerator=Accelerator(cpu=True),
            generator=torch.Generator().manual_seed(0),
        )
        proxy_PN = proxy.rate(Responses(prompts, written, prompt_format)).reshape(P, N)
        return SimpleNamespace(
            task=task, pool=pool, evaluator=evaluator, gold=gold, proxy_PN=proxy_PN, responses=responses
        )

    return build
