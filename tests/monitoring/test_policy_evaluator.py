"""The evaluation of a live policy: units, cost, and that the policy is left unchanged."""

import copy
import random
import time

import numpy as np
import pytest
import torch

from mlproject.errors import UserError
from mlproject.models.generation import sample
from mlproject.models.live_policy import WithoutAdapter, as_reference
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import PromptFormat
from mlproject.monitoring.policy_evaluator import PolicyEvaluator, affordable_prompts

PROMPTS = ["yes", "no", "maybe", "yes no", "no yes", "maybe maybe"]


def lengths(prompts, responses):
    return [float(len(response.split())) for response in responses]


def noes(prompts, responses):
    return [10.0 * response.split().count("no") + 3.0 for response in responses]


@pytest.fixture()
def prompt_format(tiny_tokenizer):
    return PromptFormat(tiny_tokenizer, 6)


def moved(policy, by=0.3, seed=3):
    """The policy after some training."""
    other = copy.deepcopy(policy)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in other.parameters():
            weights.add_(by * weights.std() * torch.randn(weights.shape, generator=generator))
    return other


def drawn(policy, prompt_format, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    prompts = prompt_format.encode_prompts(PROMPTS)
    return sample(policy, prompts, max_new_tokens=6, generator=generator, samples_per_prompt=samples).sequences


def test_scores_are_gains_over_the_initial_policy_in_its_standard_deviations(tiny_policy, prompt_format):
    initial = tiny_policy()
    policy = moved(initial)
    evaluator = PolicyEvaluator(
        initial, prompt_format, PROMPTS, lengths, noes, pool_samples=40, samples_per_prompt=3, seed=7
    )
    point = evaluator.measure(policy, 5)

    pool = prompt_format.decode(drawn(initial, prompt_format, 40, 7))  # the long way, from texts
    pool_PN = np.array([10.0 * text.split().count("no") + 3.0 for text in pool]).reshape(6, 40)
    texts = prompt_format.decode(drawn(policy, prompt_format, 3, 8))
    gold_PN = np.array([10.0 * text.split().count("no") + 3.0 for text in texts]).reshape(6, 3)
    np.testing.assert_allclose(point.gold_P, (gold_PN.mean(1) - pool_PN.mean(1)) / pool_PN.std(), atol=1e-12)
    assert point.step == 5 and point.statistics["length"] == np.mean([len(text.split()) for text in texts])
    assert point.kl == float(measure_kl(policy, initial, drawn(policy, prompt_format, 3, 8)).kl_B.mean()) > 0.01
    assert (
        dict(PolicyEvaluator(initial, prompt_format, PROMPTS, lengths, noes, seed=7).measure(initial, 0).statistics)[
            "length"
        ]
        > 0
    )


def test_the_proxy_is_calibrated_against_gold_and_can_be_left_as_it_comes(tiny_policy, prompt_format):
    initial = tiny_policy()

    def ten_noes(prompts, responses):
        return [10.0 * score for score in noes(prompts, responses)]

    points = [
        PolicyEvaluator(initial, prompt_format, PROMPTS, proxy, noes, pool_samples=16).measure(moved(initial), 0)
        for proxy in (noes, ten_noes)
    ]
    np.testing.assert_allclose(points[0].proxy_P, points[1].proxy_P, rtol=1e-6)  # a proxy's own unit does not matter
    assert np.corrcoef(points[0].proxy_P, points[0].gold_P)[0, 1] > 0.999  # the same function: the same but for scale
    as_given = PolicyEvaluator(initial, prompt_format, PROMPTS, noes, ten_noes, calibrate=False).measure(
        moved(initial), 0
    )
    np.testing.assert_allclose(as_given.gold_P, 10 * as_given.proxy_P, rtol=1e-9)


def test_an_auxiliary_rm_is_read_in_the_proxys_units_and_leaves_the_points_alone(tiny_policy, prompt_format):
    initial = tiny_policy()

    def ten_noes(prompts, responses):
        return [10.0 * score for score in noes(prompts, responses)]

    alone, with_rm = (
        PolicyEvaluator(initial, prompt_format, PROMPTS, noes, lengths, pool_samples=16, auxiliary_rms=rms).measure(
            moved(initial), 1
        )
        for rms in (None, {"test_rm.ten": ten_noes})
    )
    assert alone.kl == with_rm.kl and np.array_equal(alone.proxy_P, with_rm.proxy_P)
    assert with_rm.statistics["test_rm.ten"] == pytest.approx(with_rm.proxy, rel=1e-6)  # 10x the proxy, rescaled
    assert with_rm.statistics["rm_gap.ten"] == pytest.approx(0.0, abs=1e-6) and "rm_gap.ten" not in alone.statistics


def test_a_gold_that_is_the_same_everywhere_keeps_its_own_unit(tiny_policy, prompt_format):
    solved = {"share": 0.0}

    def right(prompts, responses):
        return [solved["share"]] * len(responses)

    initial = tiny_policy()
    evaluator = PolicyEvaluator(initial, prompt_format, PROMPTS, lengths, right)
    solved["share"] = 0.25
    assert evaluator.measure(moved(initial), 1).gold_P.tolist() == [0.25] * len(PROMPTS)


def test_without_gold_the_proxy_is_in_standard_deviations_of_its_own_scores(tiny_policy, prompt_format):
    initial = tiny_policy()
    point = PolicyEvaluator(initial, prompt_format, PROMPTS, noes, pool_samples=16, seed=7).measure(moved(initial), 1)
    pool_PN, now_P = (
        np.array(
            [
                10.0 * text.split().count("no")
                for text in prompt_format.decode(drawn(policy, prompt_format, samples, seed))
            ]
        )
        for policy, samples, seed in ((initial, 16, 7), (moved(initial), 1, 8))
    )
    gain_P = now_P - pool_PN.reshape(len(PROMPTS), 16).mean(axis=1)
    np.testing.assert_allclose(point.proxy_P, gain_P / pool_PN.std(), atol=1e-12)
    assert np.isnan(point.gold_P).all() and point.kl > 0.01


def test_the_policy_and_all_random_states_are_left_unchanged(tiny_policy, prompt_format):
    initial = tiny_policy()

    def careless(prompts, responses):
        return np.random.normal(size=len(prompts)) + torch.rand(len(prompts)).numpy() + random.random()  # noqa: NPY002

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    policy = moved(initial).train()
    policy.gpt_neox.layers[0].eval()
    policy.config.pad_token_id = None
    before = states(), [module.training for module in policy.modules()], copy.deepcopy(policy.state_dict())
    evaluator = PolicyEvaluator(initial, prompt_format, PROMPTS, lengths, careless)
    evaluator.measure(policy, 1)
    assert states() == before[0] and [module.training for module in policy.modules()] == before[1]
    assert all(torch.equal(weights, before[2][name]) for name, weights in policy.state_dict().items())
    assert policy.config.pad_token_id is None and all(p.grad is None and p.requires_grad for p in policy.parameters())


def test_an_adapter_needs_no_copy_while_it_is_fresh_and_one_when_it_is_not(tiny_policy, prompt_format):
    peft = pytest.importorskip("peft")
    initial = tiny_policy()

    def adapted():
        return peft.get_peft_model(
            copy.deepcopy(initial), peft.LoraConfig(r=2, target_modules=["query_key_value"], lora_dropout=0.1)
        )

    def train(model):
        with torch.no_grad():
            for name, weights in model.named_parameters():
                if "lora_B" in name:
                    weights.add_(0.5)

    policy = adapted().train()
    trainable = [name for name, weights in policy.named_parameters() if weights.requires_grad]
    reference = as_reference(policy, prompt_format.tokenizer)
    assert isinstance(reference, WithoutAdapter)
    train(policy)
    with_copy, with_adapter = (
        PolicyEvaluator(start, prompt_format, PROMPTS, lengths, noes).measure(policy, 1)
        for start in (initial, reference)
    )
    assert with_adapter.kl == with_copy.kl > 0.001 and np.array_equal(with_adapter.gold_P, with_copy.gold_P)
    assert policy.training and [n for n, weights in policy.named_parameters() if weights.requires_grad] == trainable

    later = as_reference(
        policy, prompt_format.tokenizer
    )  # an adapter that was trained before is part of the initial policy
    assert not isinstance(later, WithoutAdapter)
    assert PolicyEvaluator(later, prompt_format, PROMPTS, lengths, noes).measure(policy, 0).kl == 0.0


@pytest.mark.parametrize("overhead", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("each", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("max_seconds", [1.0, 10.0])
def test_an_evaluation_fits_into_its_time_and_finding_that_out_costs_little_more(overhead, each, max_seconds):
    spent = []

    def seconds_of(count):
        spent.append(overhead + each * count)
        return spent[-1]

    count = affordable_prompts(256, max_seconds, seconds_of)
    cost = overhead + each * count
    fewest = overhead + each * 8
    assert cost <= max(max_seconds, fewest)
    assert sum(spent) <= 2 * fewest + 3 * max_seconds + overhead * len(spent)
    if overhead == 0:  # what fits is used, but for the headroom
        assert count == 256 or cost > 0.7 * max_seconds


def test_fewer_prompts_are_used_where_all_would_take_too_long(tiny_policy, prompt_format):
    def slow(prompts, responses):
        time.sleep(0.005 * len(responses))
        return [float(len(response)) for response in responses]

    many = ["yes " * (1 + i % 7) + "no " * (i // 7) for i in range(64)]
    evaluator = PolicyEvaluator(tiny_policy(), prompt_format, many, lengths, slow, max_seconds=0.1, pool_samples=2)
    assert 2 <= len(evaluator.prompts) < 32 and evaluator.prompts == many[: len(evaluator.prompts)]
    assert len(evaluator.measure(moved(tiny_policy()), 1).gold_P) == len(evaluator.prompts)


def test_mistakes_are_one_line(tiny_policy, prompt_format):
    policy = tiny_policy()
    for prompts, options, message in (
        (["yes"], {}, "prompts: must be 2 or more, got 1. Give 64 to 256."),
        (
            PROMPTS,
            {"pool_samples": 1},
            "pool_samples=1, samples_per_prompt=1: must be at least 2 and 1. Give more.",
        ),
        (PROMPTS, {"max_seconds": 0}, "max_seconds=0: must be above 0. Give seconds, or None for no bound."),
    ):
        with pytest.raises(UserError) as raised:
            PolicyEvaluator(policy, prompt_format, prompts, lengths, **options)
        assert str(raised.value) == message


def test_the_old_name_of_the_auxiliary_rms_still_works_and_says_what_it_is_called_now(tiny_policy, prompt_format):
    with pytest.warns(DeprecationWarning, match="witnesses= is now called auxiliary_rms="):
        old = PolicyEvaluator(tiny_policy(), prompt_format, PROMPTS, noes, witnesses={"test_rm.other": lengths})
    new = PolicyEvaluator(tiny_policy(), prompt_format, PROMPTS, noes, auxiliary_rms={"test_rm.other": lengths})
    points = [evaluator.measure(moved(tiny_policy()), 1) for evaluator in (old, new)]
    assert points[0].statistics == points[1].statistics and "test_rm.other" in points[0].statistics


def test_a_prompt_that_the_policys_template_refuses_is_one_line(tiny_policy, tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    prompts = [*PROMPTS, '[{"role": "system", "content": "no"}, {"role": "user", "content": "yes"}]']
    with pytest.raises(UserError, match=r"prompts: number 7 must be .* template of the policy takes, .*no system"):
        PolicyEvaluator(tiny_policy(), PromptFormat(tokenizer, 6), prompts, lengths)
