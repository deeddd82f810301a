"""The average of weights: the mean bit for bit, and only of reward models from one start."""

from __future__ import annotations

import copy

import pytest
import torch

from mlproject.config.schema import load_config
from mlproject.cures.warm_average import average_weights
from mlproject.errors import UserError
from mlproject.models.conservative_head import ConservativeHead, head_of, put_head
from mlproject.models.reward_model import START
from mlproject.pipeline.members import shared_start
from mlproject.pipeline.study import plan_curve, plan_proxy, plan_roots


def members(tiny_reward_model, tiny_policy, seeds: tuple[int, ...]) -> list:
    """Reward models from the trunk of a policy, each moved by noise of its own as a training would."""
    made = []
    for number, seed in enumerate(seeds):
        model = tiny_reward_model(seed, size="25k")
        shared_start(model, {"dropout": 0.1}, tiny_policy(0))
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
        made.append(model)
    return made


def test_the_average_is_the_mean_of_weights_bit_for_bit(tiny_reward_model, tiny_policy) -> None:
    three = members(tiny_reward_model, tiny_policy, (4, 4, 4))
    before = [copy.deepcopy(model.state_dict()) for model in three]
    averaged = average_weights(three).state_dict()
    for name, weight in averaged.items():
        mean = sum(state[name] for state in before) / 3 if weight.is_floating_point() else before[0][name]
        torch.testing.assert_close(weight, mean, rtol=1e-6, atol=1e-7)
        assert torch.equal(weight, torch.stack([state[name] for state in before]).mean(0))
    for model, state in zip(three, before, strict=True):
        assert all(torch.equal(weight, state[name]) for name, weight in model.state_dict().items())
    same = average_weights([three[0]] * 4).state_dict()
    assert all(torch.equal(weight, before[0][name]) for name, weight in same.items())


def test_reward_models_from_two_starts_are_refused(tiny_reward_model, tiny_policy) -> None:
    with pytest.raises(UserError, match=r"^reward=warm: must average .* from one shared start.*these have 2\."):
        average_weights(members(tiny_reward_model, tiny_policy, (4, 5)))
    with pytest.raises(UserError, match=r"one does not name its start"):
        average_weights([*members(tiny_reward_model, tiny_policy, (4,)), tiny_reward_model(4, size="25k")])


def test_a_head_with_its_sigma_taken_off_is_not_averaged(tiny_reward_model, tiny_policy) -> None:
    two = members(tiny_reward_model, tiny_policy, (4, 4))
    name, head = head_of(two[1])
    width = head.in_features
    put_head(two[1], name, ConservativeHead(head, torch.eye(width), torch.zeros(width), 1.0))
    with pytest.raises(UserError, match=r"^reward=warm: must average .* as they were trained.*Use warm\+laplace\."):
        average_weights(two)


def test_a_start_is_the_trunk_of_the_policy_with_one_head(tiny_reward_model, tiny_policy) -> None:
    model, policy = tiny_reward_model(4, size="25k"), tiny_policy(0)
    head = model.score.weight.clone()
    shared_start(model, {"dropout": 0.1}, policy)
    trunk = policy.base_model.state_dict()
    assert all(torch.equal(weight, trunk[name]) for name, weight in model.base_model.state_dict().items())
    assert torch.equal(model.score.weight, head)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}
    assert len(getattr(model.config, START)) == 64


def test_the_members_of_a_study_share_a_start_and_differ_in_order_learning_rate_and_dropout() -> None:
    config = load_config("smoke", {"reward": "warm", "ensemble_members": 6})
    step = plan_proxy(config, plan_roots(config), "25k", 3)
    params = [member.params for role, member in step.inputs.items() if role.startswith("member.")]
    assert {each["start_seed"] for each in params} == {3}
    assert len({(each["lr_factor"], each["dropout"]) for each in params}) == 6
    assert len({each["seed"] for each in params}) == 6
    with pytest.raises(UserError, match=r"^reward=warm: must .* rm_size must be policy_size \(25k\), but is 3k\."):
        plan_proxy(config, plan_roots(config), "3k", 3)


def test_one_reward_model_from_the_trunk_is_the_first_member_of_the_average() -> None:
    warm = load_config("smoke", {"reward": "warm", "ensemble_members": 2})
    (first, *_) = [s for r, s in plan_proxy(warm, plan_roots(warm), "25k", 3).inputs.items() if r.startswith("member.")]
    config = load_config("smoke", {"rm_start": "policy"})
    alone = plan_proxy(config, plan_roots(config), "25k", 3)
    assert alone.fingerprint == first.fingerprint and alone.inherited_params["rm_start"] == "policy"
    run = plan_curve(config.replace(rm_size="25k", seed=3), "best-of-n")
    assert run.name == "25k from policy seed 3, best-of-n" and run.inherited_params["rm_start"] == "policy"
    mean = load_config("smoke", {"rm_start": "policy", "reward": "mean", "ensemble_members": 2})
    members = [s for r, s in plan_proxy(mean, plan_roots(mean), "25k", 3).inputs.items() if r.startswith("member.")]
    assert members[0].fingerprint == first.fingerprint
    assert [member.params["start_seed"] for member in members] == [3, 1003]
    with pytest.raises(UserError, match=r"^rm_start=policy: must be of .* policy_size \(25k\), but one is 3k"):
        plan_proxy(config, plan_roots(config), "3k", 3)
