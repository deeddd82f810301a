"""The evaluator: policies against scoring their samples directly, selections against selecting by hand."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mlproject.errors import NotFiniteError
from mlproject.models.generation import sample
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import Responses
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.soft_best_of_n import SoftBestOfNConfig

P, N = 3, 7


@pytest.fixture
def setting(pool_task) -> SimpleNamespace:
    return pool_task(BestOfNConfig(bon_n_max=N, bon_points=N))


def test_a_policy_is_measured_on_its_samples_less_the_means_of_the_pool_on_each_prompt(setting, tiny_policy) -> None:
    task, policy = setting.task, tiny_policy(seed=5)
    point = setting.evaluator.evaluate_policy(policy, 12, {"loss": 0.5})
    drawn = sample(  # the evaluator of the fixture draws one sample per prompt from seed 0
        policy,
        task.prompt_format.encode_prompts(["yes", "no", "maybe"]),
        max_new_tokens=4,
        generator=torch.Generator().manual_seed(0),
    ).sequences
    responses = Responses.of_prompts(["yes", "no", "maybe"], drawn, task.prompt_format)
    proxy_baseline_P = setting.proxy_PN.mean(axis=1)  # the pool is smaller than the baseline's samples
    np.testing.assert_allclose(point.proxy_P, task.proxy.rate(responses) - proxy_baseline_P)
    np.testing.assert_allclose(point.gold_P, setting.gold.rate(responses) - setting.pool.gold_PN.mean(axis=1))
    assert point.kl == pytest.approx(float(measure_kl(policy, task.initial_policy, drawn).kl_B.mean()))
    assert (point.step, point.human_P, point.diagnostics["loss"]) == (12, None, 0.5)
    assert setting.evaluator.snapshot.policy is policy
    assert list(setting.evaluator.snapshot.responses) == responses.texts


def test_every_policy_is_measured_with_the_same_randomness(setting, tiny_policy) -> None:
    policy = tiny_policy(seed=5)
    first, again = (setting.evaluator.evaluate_policy(policy, step) for step in (0, 1))
    assert first.kl == again.kl > 0
    assert first.proxy_P.tolist() == again.proxy_P.tolist()
    assert setting.evaluator.evaluate_policy(setting.task.initial_policy, 2).kl == 0


def test_a_uniform_selection_gains_nothing(setting) -> None:
    uniform = lambda values_PN: values_PN.mean(axis=1)[None]  # noqa: E731
    choice_GP = np.zeros((1, P), dtype=np.int64)
    (point,) = setting.evaluator.evaluate_selection([1], np.zeros(1), setting.proxy_PN, uniform, choice_GP, [{}])
    for gain_P in (point.proxy_P, point.gold_P, point.human_P):
        np.testing.assert_allclose(gain_P, 0, atol=1e-12)


def test_selecting_the_best_by_gold_gains_its_distance_from_the_mean(setting) -> None:
    gold_PN = setting.pool.gold_PN
    best_P = gold_PN.argmax(axis=1)
    select = lambda values_PN: values_PN[np.arange(P), best_P][None]  # noqa: E731
    (point,) = setting.evaluator.evaluate_selection([4], np.ones(1), setting.proxy_PN, select, best_P[None], [{}])
    np.testing.assert_allclose(point.gold_P, gold_PN.max(axis=1) - gold_PN.mean(axis=1))
    assert (point.step, point.kl) == (4, 1.0)


def broken(scorer, value: float):
    """The scorer, but for one response."""

    def rate(responses):
        scores_B = scorer.rate(responses)
        scores_B[1] = value
        return scores_B

    return SimpleNamespace(rate=rate)


@pytest.mark.parametrize("role", ["proxy", "gold", "test_rm.a"])
def test_a_score_that_is_no_number_is_named_with_its_step_or_reported(setting, tiny_policy, monkeypatch, role) -> None:
    evaluator = setting.evaluator
    scorers = {"proxy": "_proxy", "gold": "_gold"}
    if role in scorers:
        monkeypatch.setattr(evaluator, scorers[role], broken(setting.gold, np.nan))
    else:
        monkeypatch.setattr(evaluator, "_auxiliary_rms", {role: broken(setting.gold, np.inf)})
        monkeypatch.setattr(evaluator, "_auxiliary_baselines_P", {role: np.zeros(P)})
    policy = tiny_policy(seed=5)
    with pytest.raises(NotFiniteError, match=f"{role}: .* to the prompt 'no'\\), at step 12"):
        evaluator.evaluate_policy(policy, 12)
    told: list[NotFiniteError] = []
    point = evaluator.evaluate_policy(policy, 12, report=told.append)
    assert [str(error).startswith(role) and "at step 12" in str(error) for error in told] == [True]
    assert np.isfinite(point.kl)
    assert np.isnan(point.proxy_P).all() == (role == "proxy")
    assert np.isnan(point.gold_P).all() == (role == "gold")


def test_a_kl_that_is_no_number_is_named_with_its_step_or_reported(setting, tiny_policy, monkeypatch) -> None:
    broken_policy = tiny_policy()
    with torch.no_grad():
        broken_policy.get_output_embeddings().weight.fill_(np.nan)
    monkeypatch.setattr(setting.evaluator, "_initial_policy", broken_policy)
    with pytest.raises(NotFiniteError, match=r"KL from the initial policy: .* is nan for 3 of 3 .*, at step 4"):
        setting.evaluator.evaluate_policy(tiny_policy(seed=5), 4)
    point = setting.evaluator.evaluate_policy(tiny_policy(seed=5), 4, report=lambda error: None)
    assert np.isnan(point.kl) and np.isfinite(point.gold_P).all()


@pytest.mark.parametrize("method", ["best_of_n", "soft_best_of_n"])
def test_a_proxy_that_gives_no_number_ends_a_selection_with_its_name(setting, method) -> None:
    config = {"best_of_n": BestOfNConfig(bon_n_max=N, bon_points=N), "soft_best_of_n": SoftBestOfNConfig(bon_points=4)}
    task = replace(setting.task, proxy=broken(setting.task.proxy, np.nan), config=config[method])
    with pytest.raises(NotFiniteError, match="proxy: must give each response a finite score, but gives nan to 1 of 21"):
        list(import_module(f"mlproject.optimization.{method}").optimize(task))
