"""The penalty of on-policy methods: its estimators, its controller, its reference, and gradient regularization."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mlproject.config.rules import warnings_for
from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.models.sequences import Sequences
from mlproject.optimization.on_policy.gradient_penalty import regularize_gradient
from mlproject.optimization.on_policy.penalty import Penalty, chi2_part, estimate
from mlproject.optimization.on_policy.ppo_config import PPOConfig
from mlproject.optimization.on_policy.shards import Shard
from mlproject.optimization.peak_forecast import PeakForecast

SMOKE = load_config("smoke", {}).of(PPOConfig)
LOG_RATIO_BR = torch.tensor([[0.5, -0.25, 0.0], [1.0, 0.5, 0.25]])


def penalty(reference: Any = None, **options: Any) -> Penalty:
    return Penalty(replace(SMOKE, kl_coef=0.2, **options), reference)


def shard(log_ratio_BR: torch.Tensor = LOG_RATIO_BR, lengths: tuple[int, ...] = (2, 3)) -> Shard:
    starts_B = torch.full((2,), 1)
    sequences = Sequences(torch.zeros(2, 4, dtype=torch.long), starts_B, starts_B + torch.tensor(lengths))
    log_probs_BR = torch.full((2, 3), -1.0) * sequences.response_mask_BR
    reference_BR = (log_probs_BR - log_ratio_BR) * sequences.response_mask_BR
    return Shard(sequences, log_probs_BR, reference_BR, torch.zeros(2, 3), torch.tensor([2.0, 3.0]))


@pytest.mark.parametrize(
    ("estimator", "of"),
    [("k1", lambda x: x), ("k2", lambda x: x * x / 2), ("k3", lambda x: math.exp(-x) - 1 + x)],
)
def test_a_reward_is_the_score_less_the_estimated_divergence_of_each_token(estimator: str, of) -> None:
    rewards_BR = penalty(kl_estimator=estimator).rewards(shard())
    for b, length in enumerate((2, 3)):
        for r in range(3):
            expected = -0.2 * of(float(LOG_RATIO_BR[b, r])) if r < length else 0.0
            expected += (2.0, 3.0)[b] if r == length - 1 else 0.0
            assert float(rewards_BR[b, r]) == pytest.approx(expected, abs=1e-6)


def test_a_penalty_in_the_loss_leaves_the_rewards_as_they_are() -> None:
    assert penalty(kl_in="loss").rewards(shard()).sum(1).tolist() == [2.0, 3.0]


def test_the_chi_squared_part_of_a_response_is_never_negative_and_linear_far_out() -> None:
    x_B = torch.tensor([-2.0, 0.0, 1.5, 14.0], requires_grad=True)
    parts_B = chi2_part(x_B)
    far = 2 * math.cosh(10) - 2 + 4 * 2 * math.sinh(10)
    expected = [2 * math.cosh(2) - 2, 0.0, 2 * math.cosh(1.5) - 2, far]
    assert parts_B.tolist() == pytest.approx(expected, rel=1e-5)
    parts_B.sum().backward()
    slopes = [2 * math.sinh(-2), 0.0, 2 * math.sinh(1.5), 2 * math.sinh(10)]
    assert x_B.grad.tolist() == pytest.approx(slopes, rel=1e-5)


def test_the_controller_moves_the_coefficient_by_the_bounded_error_of_each_update() -> None:
    controlled = penalty(kl_target="2", kl_horizon=10)
    kl = float((LOG_RATIO_BR * shard().sequences.response_mask_BR).sum(1).mean())  # 1 nat: half of the target
    assert controlled.observe(shard()) == {"log_ratio": pytest.approx(kl), "kl_coef": 0.2}
    assert controlled.coef == pytest.approx(0.2 * (1 - 0.2 * 2 / 10))
    assert controlled.observe(shard(5 * LOG_RATIO_BR))["kl_coef"] == pytest.approx(0.2 * 0.96)
    assert controlled.coef == pytest.approx(0.2 * 0.96 * 1.04)
    near = penalty(kl_target=str(kl / 1.1), kl_horizon=10)
    near.observe(shard())
    assert near.coef == pytest.approx(0.2 * (1 + 0.1 * 2 / 10))
    fixed = penalty()
    assert fixed.observe(shard()) == {"log_ratio": pytest.approx(kl)} and fixed.coef == 0.2


def test_the_target_may_be_the_forecast_peak_and_nothing_moves_before_there_is_one() -> None:
    peak, kl = PeakForecast(), 1.0
    controlled = Penalty(replace(SMOKE, kl_coef=0.2, kl_target="forecast", kl_horizon=10), None, peak)
    assert controlled.observe(shard()) == {"log_ratio": pytest.approx(kl), "kl_coef": 0.2}
    assert controlled.coef == 0.2
    peak.kl = 1.1 * kl
    assert controlled.observe(shard())["kl_target"] == peak.kl
    assert controlled.coef == pytest.approx(0.2 * (1 + (1 / 1.1 - 1) * 2 / 10))


def test_a_penalty_that_changes_goes_on_from_its_state(tiny_policy) -> None:
    policy, initial = tiny_policy(seed=4), tiny_policy(seed=3)
    sequences = Sequences(torch.tensor([[5, 6, 7, 5]]), torch.tensor([1]), torch.tensor([4]))
    like_BR = torch.zeros(1, 3)
    first = penalty(initial, kl_target="2", kl_horizon=10, reference_reset=3)
    before_BR = first.reference_log_probs(sequences, like_BR)
    first.observe(shard())
    first.reset(policy)
    after_BR = first.reference_log_probs(sequences, like_BR)
    assert not torch.equal(after_BR, before_BR)
    with torch.no_grad():
        policy.get_output_embeddings().weight.mul_(2.0)  # the reference is that of the moment of the reset
    assert torch.equal(first.reference_log_probs(sequences, like_BR), after_BR)
    from mlproject.resume.state import merge

    second = penalty(initial, kl_target="2", kl_horizon=10, reference_reset=3)
    second.restore(merge(first.states()), policy)
    assert second.coef == first.coef
    assert torch.equal(second.reference_log_probs(sequences, like_BR), after_BR)
    assert penalty(initial).states() == {}


def test_gradient_regularization_adds_the_gradient_of_half_the_squared_norm() -> None:
    """On L(w) = w'Aw / 2 the gradient is Aw, and that of |Aw|^2 / 2 is AAw."""
    a = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    w = torch.nn.Parameter(torch.tensor([0.3, -0.4]))
    embedding = torch.nn.Embedding(3, 2)
    policy = SimpleNamespace(
        parameters=lambda: [w, embedding.weight],
        get_input_embeddings=lambda: embedding,
        get_output_embeddings=lambda: None,
    )
    loss = lambda: (0.5 * w @ a @ w + (embedding.weight * 3).sum()).backward()  # noqa: E731
    loss()
    regularize_gradient(policy, loss, strength=0.25)
    expected = a @ w + 0.25 * a @ a @ w
    torch.testing.assert_close(w.grad, expected.detach(), atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(embedding.weight.grad, torch.full((3, 2), 3.0))
    assert w.tolist() == pytest.approx([0.3, -0.4])


def test_options_of_a_penalty_are_checked_and_warned_of() -> None:
    with pytest.raises(UserError, match="kl_target=-1: must be one of off, forecast, or a number of nats above 0"):
        load_config("smoke", {"kl_target": "-1", "kl_coef": 0.1})
    for of_none in ({"n_trials": 0}, {"search_kl_coefs": "0"}, {"search_method": "best-of-n"}):
        assert warnings_for(load_config("smoke", {"kl_in": "loss"} | of_none)) == [
            "kl_in=loss: makes no difference where kl_coef is 0. Give kl_coef, or remove the option."
        ]
    assert not warnings_for(load_config("smoke", {"kl_in": "loss", "search_kl_coefs": "0,0.1"}))  # trials have one
    (idle,) = warnings_for(load_config("smoke", {"kl_horizon": 100, "kl_coef": 0.1}))
    assert idle.startswith("kl_horizon=100: makes no difference where kl_target is off.")
    found = [w for w in warnings_for(load_config("smoke", {"kl_in": "loss", "kl_coef": 0.1})) if "kl_in" in w]
    assert found == [
        "kl_in=loss: makes no difference on average with kl_estimator=k1, whose gradient is 0 in expectation. "
        "Use kl_estimator=k2, or kl_in=corrected-loss."
    ]
    for options in ({"kl_estimator": "k2"}, {"kl_in": "corrected-loss"}):
        assert not warnings_for(load_config("smoke", {"kl_in": "loss", "kl_coef": 0.1} | options))
    assert estimate(torch.zeros(2), "k3").tolist() == [0, 0]


@pytest.mark.parametrize(("horizon", "batch"), [(51, 256), (12, 64), (1, 8)])
def test_a_horizon_by_which_an_update_could_turn_the_coefficient_negative_is_refused(horizon: int, batch: int) -> None:
    options = {"kl_target": "2", "kl_coef": 0.1, "ppo_batch_size": batch, "ppo_minibatches": 1}
    with pytest.raises(UserError, match=rf"^kl_horizon={horizon}: must be above {batch / 5:g}, a fifth of"):
        load_config("smoke", options | {"kl_horizon": horizon})
    load_config("smoke", options | {"kl_horizon": horizon, "kl_target": "off"})
    config = load_config("smoke", options | {"kl_horizon": horizon + 1}).of(PPOConfig)
    controlled, ratio_BR = Penalty(config, None), torch.full((batch, 1), -5.0)
    starts_B = torch.ones(batch, dtype=torch.long)
    sequences = Sequences(torch.zeros(batch, 2, dtype=torch.long), starts_B, starts_B + 1)
    for _ in range(3):  # as far below its target as can be
        zeros_BR = torch.zeros_like(ratio_BR)
        controlled.observe(Shard(sequences, ratio_BR, zeros_BR, zeros_BR, zeros_BR[:, 0]))
        assert controlled.coef > 0


def test_a_forecast_from_the_initial_policy_is_no_target_from_another_reference() -> None:
    options = {"kl_coef": 0.1, "reference_reset": 3}
    with pytest.raises(UserError, match=r"^reference_reset=3: must be 0 where kl_target=forecast, which is a KL from"):
        load_config("smoke", options | {"kl_target": "forecast"})
    load_config("smoke", options | {"kl_target": "2"})


def test_a_run_is_named_after_its_penalty() -> None:
    assert SMOKE.variant == "" and replace(SMOKE, kl_coef=0.1).variant == "KL 0.1"
    changed = replace(SMOKE, kl_coef=0.1, kl_in="loss", kl_estimator="k2", kl_target="6", reference_reset=5)
    assert changed.variant == "KL 0.1 in loss k2 to 6 reset 5"
