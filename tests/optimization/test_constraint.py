"""The constrained reward: multipliers by hand, on arms where the optimum is known, and as a run goes on."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tests.optimization.test_penalty import SMOKE, shard

from mlproject.config.rules import warnings_for
from mlproject.config.schema import load_config
from mlproject.cures.cure import Start
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer
from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.models.scorers import FunctionScorer
from mlproject.optimization.on_policy.constraint import Constraint
from mlproject.optimization.on_policy.loop import train
from mlproject.optimization.on_policy.objective import Rollouts
from mlproject.optimization.on_policy.ppo import PPO
from mlproject.optimization.on_policy.ppo_config import PPOConfig
from mlproject.optimization.peak_forecast import PeakForecast, proxy_at
from mlproject.resume.state import merge

TWO = EnsembleScorer("mean", (FunctionScorer("a", len), FunctionScorer("b", len)))


def constraint(threshold: str, proxy=None, peak: PeakForecast | None = None, **options) -> Constraint:
    return Constraint(replace(SMOKE, reward_threshold=threshold, **options), proxy, peak or PeakForecast())


def test_the_weight_of_an_update_is_multiplier_plus_gap_and_the_multiplier_follows_the_gap() -> None:
    held, rollouts = constraint("2.25", multiplier_lr=0.1), shard()  # scores 2 and 3: the gap is -.25
    for number in range(3):
        weight = -0.25 - 0.025 * number
        weighted = held.into_scores(rollouts)
        made = held.into_advantages(Rollouts(rollouts.sequences, rollouts.log_probs_BR, torch.ones(2, 3)))
        torch.testing.assert_close(weighted.scores_B * made.advantages_BR[:, 0], weight * rollouts.scores_B)
        assert weighted.scores_B.abs().tolist() == pytest.approx([2.0, 3.0])  # a method may normalize them
        assert held.observe(rollouts) == {"multiplier": pytest.approx(weight), "reward_threshold": 2.25}
    assert float(held.multiplier_K) == pytest.approx(-0.075)


def test_beside_a_penalty_in_the_reward_the_weight_is_in_the_reward_alone() -> None:
    held = constraint("2.25", kl_coef=0.2)
    assert held.into_scores(shard()).scores_B.tolist() == pytest.approx([-0.5, -0.75])
    ones = Rollouts(shard().sequences, shard().log_probs_BR, torch.ones(2, 3))
    assert torch.equal(held.into_advantages(ones).advantages_BR, ones.advantages_BR)


def test_a_multiplier_rests_at_a_bound_and_nothing_is_held_before_a_forecast() -> None:
    far, peak = constraint("50"), PeakForecast()
    forecast = constraint("forecast", peak=peak)
    for _ in range(5):
        for held in (far, forecast):
            assert torch.equal(held.into_scores(shard()).scores_B, shard().scores_B)
            assert held.observe(shard())["multiplier"] == 1.0
            assert float(held.multiplier_K) == 0.0
    peak.proxy = 2.25
    forecast.into_scores(shard())
    assert forecast.observe(shard()) == {"multiplier": pytest.approx(-0.25), "reward_threshold": 2.25}
    off = constraint("off")
    assert off.into_scores(rollouts := shard()) is rollouts and off.observe(rollouts) == {} and off.states() == {}


def test_a_threshold_counts_from_the_initial_policy_whatever_the_proxy_is_centred_on() -> None:
    """As of a later round, whose proxy is 0 on responses of the policy before."""
    plain = constraint("0.25,-0.5", TWO, reward_terms="members", multiplier_lr=0.1)
    start = {"a": 1.75, "b": -0.5}
    off = Constraint(plain._config, TWO, PeakForecast(), lambda scorers: [start[scorer.name] for scorer in scorers])
    terms_BK = torch.tensor([[0.1, -0.7], [0.5, -0.2]], dtype=torch.float64)
    for _ in range(3):
        gap_K = torch.tensor([0.25, -0.5], dtype=torch.float64) - terms_BK.mean(0)
        expected_K = plain.multiplier_K + gap_K
        shifted = replace(shard(), terms_BK=terms_BK + torch.tensor([1.75, -0.5], dtype=torch.float64))
        plain.into_scores(replace(shard(), terms_BK=terms_BK))
        off.into_scores(shifted)
        assert off._weight_K.tolist() == pytest.approx(expected_K.tolist())
        assert off.observe(shifted) == pytest.approx(plain.observe(replace(shard(), terms_BK=terms_BK)))
        assert off.multiplier_K.tolist() == pytest.approx(plain.multiplier_K.tolist())


class Moved:
    """A score that is moved by a constant, and small enough for a gap within the bounds."""

    def __init__(self, scorer, by: float) -> None:
        self.scorer, self.by = scorer, by

    def rate(self, responses):
        return 0.02 * self.scorer.rate(responses) + self.by


def test_a_run_is_held_alike_by_proxies_that_differ_by_a_constant(pool_task) -> None:
    config = load_config(
        "smoke",
        {"reward_threshold": "0.3", "ppo_updates": 2, "ppo_batch_size": 8, "ppo_minibatches": 1, "ppo_eval_every": 1},
    ).of(PPOConfig)
    task, weights, held_at = pool_task(config).task, [], []
    for by in (0.0, 4.0):
        proxy = Moved(task.proxy, by)
        made = replace(task, proxy=proxy, train_texts=["yes", "no"], generator=torch.Generator().manual_seed(1))
        _, first, *_ = train(made, PPO(config))
        weights.append(first.diagnostics["multiplier"])
        held_at.append(first.diagnostics["proxy_on_rollouts"] - by)
    start = float(Moved(task.proxy, 0.0).rate(task.samples.first(7)).mean())  # all of the pool
    assert weights == pytest.approx([0.3 - (held_at[0] - start)] * 2)
    assert abs(start) > 1e-3 and held_at[0] == pytest.approx(held_at[1])


def on_arms(held: Constraint, rewards_AK: torch.Tensor, coef: float) -> torch.Tensor:
    """Exact gradient steps of a policy over arms, from the uniform one; returns the probabilities. Shape: (A,)."""
    logit_A = torch.zeros(len(rewards_AK), dtype=torch.float64)
    for _ in range(800):
        p_A = logit_A.softmax(0)
        mean_K = p_A @ rewards_AK
        weight_K = (held.multiplier_K + held.threshold_K - mean_K).clamp(-1, 1)
        value_A = rewards_AK @ weight_K / len(weight_K) - coef * (p_A.log() + math.log(len(p_A)))
        held.observe(SimpleNamespace(terms_BK=mean_K[None], scores_B=mean_K))
        logit_A = logit_A + 2.0 * p_A * (value_A - p_A @ value_A)
    return logit_A.softmax(0)


def test_on_two_arms_the_policy_comes_to_the_threshold_and_the_multiplier_to_that_of_the_optimum() -> None:
    """Of p with E r = p = theta, the KL from 1/2 has the slope log(p / (1 - p))."""
    for theta in (0.8, 0.3):
        held = constraint(str(theta), multiplier_lr=0.2, kl_coef=0.1)
        p_A = on_arms(held, torch.tensor([[1.0], [0.0]], dtype=torch.float64), 0.1)
        assert float(p_A[0]) == pytest.approx(theta, abs=1e-3)
        assert float(held.multiplier_K) == pytest.approx(0.1 * math.log(theta / (1 - theta)), abs=1e-3)


def test_on_three_arms_two_terms_are_held_at_their_own_thresholds() -> None:
    """Of three arms, two means fix all probabilities; the multipliers are the slopes of KL from the third arm."""
    held = constraint("0.5,0.2", TWO, reward_terms="members", multiplier_lr=0.2, kl_coef=0.1)
    p_A = on_arms(held, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64), 0.1)
    torch.testing.assert_close(p_A, torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64), atol=2e-3, rtol=0)
    slopes = [2 * 0.1 * math.log(0.5 / 0.3), 2 * 0.1 * math.log(0.2 / 0.3)]
    assert held.multiplier_K.tolist() == pytest.approx(slopes, abs=4e-3)


def test_multipliers_go_on_from_their_state() -> None:
    first, second = (constraint("2.25", TWO, reward_terms="members") for _ in range(2))
    rollouts = replace(shard(), terms_BK=torch.tensor([[2.0, 1.0], [3.0, 1.5]]))
    for _ in range(3):
        first.into_scores(rollouts)
        first.observe(rollouts)
    second.restore(merge(first.states()))
    assert first.multiplier_K.tolist() == second.multiplier_K.tolist() != [0.0, 0.0]
    assert torch.equal(first.into_scores(rollouts).scores_B, second.into_scores(rollouts).scores_B)


def test_the_proxy_at_a_kl_lies_between_the_points_of_the_curve() -> None:
    points = [CurvePoint(i, kl, torch.full((2,), p).numpy(), torch.zeros(2).numpy(), None, {}, {})
              for i, (kl, p) in enumerate([(0.0, 0.0), (4.0, 1.0), (16.0, 1.5)])]  # fmt: skip
    assert proxy_at(points, 1.0) == pytest.approx(0.5) and proxy_at(points, 9.0) == pytest.approx(1.25)
    assert math.isnan(proxy_at(points, 17.0)) and math.isnan(proxy_at(points, math.nan)) and math.isnan(proxy_at([], 1))


def test_what_cannot_be_held_is_refused_in_one_line_and_what_does_nothing_is_warned_of() -> None:
    for options, said in (
        ({"reward_threshold": "high"}, "reward_threshold=high: must be one of off, forecast, or a number"),
        ({"reward_threshold": "forecast", "reward_terms": "members"}, "reward_terms=members: must be reward where"),
        ({"kl_in": "corrected-loss", "kl_estimator": "sqrt-chi2"}, "kl_in=corrected-loss: must be reward or loss"),
    ):
        with pytest.raises(UserError, match=f"^{said}"):
            load_config("smoke", options)
    with pytest.raises(UserError, match=r"^reward_threshold=1,2,3: must be one number, or one for each of 2 terms"):
        constraint("1,2,3", TWO, reward_terms="members")
    for proxy, what in (
        (None, "single"),
        (EnsembleScorer("worst-case", TWO.members), "worst-case"),
        (ShapedScorer("ceiling", TWO, Start(0, 1, -1, 1)), "ceiling"),
    ):
        with pytest.raises(UserError, match=rf"^reward_terms=members: must be of a mean .*, but the proxy is {what}\."):
            constraint("1", proxy, reward_terms="members")
    (warning,) = [w for w in warnings_for(load_config("smoke", {"multiplier_lr": 0.1})) if "multiplier" in w]
    assert warning.startswith("multiplier_lr=0.1: makes no difference where reward_threshold is off.")
    assert replace(SMOKE, reward_threshold="1.5").variant == "hold 1.5"
