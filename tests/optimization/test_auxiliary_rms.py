"""Statistics of auxiliary RMs along a policy run and on a pool, against scoring the very same responses directly."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.optimization.pools import stored_pool

from mlproject.curve import CurvePoint
from mlproject.estimators import BestOfN, best_of_n_kl_bound
from mlproject.models.generation import sample
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.sequences import encode_prompts
from mlproject.optimization.auxiliary_rms import auxiliary_statistics
from mlproject.optimization.evaluator import Evaluator

P, N, M, SEED = 3, 8, 5, 9
NAMES = ("test_rm.3k", "member.1", "member.2")


@pytest.fixture(scope="module")
def measured(tiny_policy, tiny_reward_model, tiny_tokenizer, tmp_path_factory) -> SimpleNamespace:
    """A policy measured with and without auxiliary RMs, and everything needed to do it again by hand."""
    initial, moved = tiny_policy(seed=3), tiny_policy(seed=4)
    texts = ["yes no", "no", "maybe maybe yes"]
    prompt_format, prompts = PromptFormat(tiny_tokenizer, max_response_tokens=4), encode_prompts(tiny_tokenizer, texts)
    scorers = {name: RewardModel(tiny_reward_model(i)) for i, name in enumerate(("proxy", "gold", *NAMES))}
    auxiliary_rms = {name: scorers[name] for name in NAMES}

    def drawn(policy: Any, seed: int, count: int) -> Responses:
        generator = torch.Generator().manual_seed(seed)
        samples = sample(policy, prompts, max_new_tokens=4, generator=generator, samples_per_prompt=count)
        return Responses.of_prompts(texts, samples.sequences, prompt_format)

    in_pool = drawn(initial, 0, N)
    gold_PN = scorers["gold"].rate(in_pool).reshape(P, N)
    pool = stored_pool(
        tmp_path_factory.mktemp("pool") / "samples", replace(in_pool, log_prob_B=np.zeros(P * N)), N, gold_PN
    )

    def evaluator(**options: Any) -> Evaluator:
        return Evaluator(
            world=SimpleNamespace(judge=lambda prompts, responses: None, text_stats=lambda responses: {}),
            prompt_format=prompt_format, prompts=texts, initial_policy=initial, proxy=scorers["proxy"],
            gold=scorers["gold"], human_units=(0.0, 1.0), pool=pool, samples_per_prompt=M, seed=SEED, **options,
        )  # fmt: skip

    def gains(responses: Responses) -> dict[str, np.ndarray]:
        """Each scorer's score less its mean over the pool, prompt by prompt."""
        return {
            name: scorer.rate(responses).reshape(P, -1) - scorer.rate(in_pool).reshape(P, N).mean(1, keepdims=True)
            for name, scorer in scorers.items()
        }

    return SimpleNamespace(
        with_auxiliary=evaluator(auxiliary_rms=auxiliary_rms), without=evaluator(), policy=moved,
        gains_PM=gains(drawn(moved, SEED, M)),
        gains_PN=gains(in_pool), proxy_PN=scorers["proxy"].rate(in_pool).reshape(P, N), initial=initial,
        responses=drawn(moved, SEED, M),
    )  # fmt: skip


def test_auxiliary_rms_stand_among_the_signs_as_their_mean_gains(measured) -> None:
    point = measured.with_auxiliary.evaluate_policy(measured.policy, 0)
    for name in NAMES:
        assert point.statistics[name] == pytest.approx(measured.gains_PM[name].mean(), abs=1e-6)
    assert point.statistics["rm_gap.3k"] == pytest.approx(point.proxy - point.statistics["test_rm.3k"], abs=1e-6)
    spread = np.std([measured.gains_PM[name] for name in ("proxy", "member.1", "member.2")], axis=0, ddof=1)
    assert point.statistics["rm_disagreement"] == pytest.approx(spread.mean(), abs=1e-6)


def test_auxiliary_rms_change_nothing_else_about_a_point(measured) -> None:
    def rest(point: CurvePoint) -> tuple[Any, ...]:
        return point.kl, point.proxy_P.tolist(), point.gold_P.tolist(), dict(point.diagnostics)

    with_auxiliary, without = (
        evaluator.evaluate_policy(measured.policy, 0) for evaluator in (measured.with_auxiliary, measured.without)
    )
    assert rest(with_auxiliary) == rest(without)
    assert set(with_auxiliary.statistics) - set(without.statistics) == {*NAMES, "rm_gap.3k", "rm_disagreement"}


def test_entropy_is_that_of_the_next_token_on_average_over_tokens(measured) -> None:
    total = tokens = 0.0
    sequences = measured.responses.sequences
    for ids, start, end in zip(sequences.ids_BT, sequences.starts_B.tolist(), sequences.ends_B.tolist(), strict=True):
        for t in range(start, end):
            with torch.no_grad():
                row = torch.softmax(measured.policy(input_ids=ids[None, :t]).logits[0, -1].double(), -1).numpy()
            total, tokens = total - float((row * np.log(row)).sum()), tokens + 1
    point = measured.without.evaluate_policy(measured.policy, 0)
    assert point.statistics["entropy"] == pytest.approx(total / tokens, abs=1e-5)


def test_best_of_n_applies_its_choice_to_auxiliary_rms_as_to_gold(measured) -> None:
    ns = np.array([1, 2, 4])
    select = BestOfN(measured.proxy_PN, ns)
    choice_GP = np.zeros((3, P), dtype=np.int64)
    arguments = (ns.tolist(), best_of_n_kl_bound(ns), measured.proxy_PN, select, choice_GP, [{}] * 3)
    points = list(measured.with_auxiliary.evaluate_selection(*arguments))
    for name in NAMES:
        expected_G = select(measured.gains_PN[name]).mean(axis=1)
        assert [point.statistics[name] for point in points] == pytest.approx(expected_G.tolist(), abs=1e-6)
    assert points[0].statistics["rm_gap.3k"] == pytest.approx(0, abs=1e-6)
    assert [point.statistics["rm_gap.3k"] for point in points] == pytest.approx(
        [point.proxy - point.statistics["test_rm.3k"] for point in points], abs=1e-6
    )
    assert not any(
        name in point.statistics for point in measured.without.evaluate_selection(*arguments) for name in NAMES
    )


def test_disagreement_is_zero_where_all_agree_and_needs_members() -> None:
    gain = np.array([[0.1, 0.4]])
    assert auxiliary_statistics(gain, {"member.1": gain, "member.2": gain})["rm_disagreement"].max() < 1e-15
    assert set(auxiliary_statistics(gain, {"test_rm.1k": gain})) == {"test_rm.1k", "rm_gap.1k"}
    assert auxiliary_statistics(gain, {}) == {}
