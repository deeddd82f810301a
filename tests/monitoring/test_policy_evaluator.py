"""The watch on a live policy: units, cost, and that nobody notices it."""

import copy
import functools
import random
import time
from types import MethodType

import numpy as np
import pytest
import torch

from mlproject.errors import UserError
from mlproject.models.generation import sample
from mlproject.models.live_policy import WithoutAdapter, as_reference, measurable, unwrapped
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import TextRewardModel
from mlproject.monitoring.policy_evaluator import PolicyEvaluator, affordable_prompts, as_scorer
from mlproject.worlds.helpdesk.tokenizer import word_tokenizer

PROMPTS = ["yes", "no", "maybe", "yes no", "no yes", "maybe maybe"]


def lengths(prompts, responses):
    return [float(len(response.split())) for response in responses]


def noes(prompts, responses):
    return [10.0 * response.split().count("no") + 3.0 for response in responses]


@pytest.fixture()
def prompt_format(tiny_tokenizer):
    return PromptFormat(tiny_tokenizer, 6)


def moved(policy, by=0.3, seed=3):
    """The policy after some training or other."""
    other = copy.deepcopy(policy)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in other.parameters():
            weights.add_(by * weights.std() * torch.randn(weights.shape, generator=generator))
    return other


def drawn(policy, prompt_format, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    asked = prompt_format.encode_prompts(PROMPTS)
    return sample(policy, asked, max_new_tokens=6, generator=generator, samples_per_prompt=samples).sequences


def test_scores_are_gains_over_the_initial_policy_in_its_standard_deviations(tiny_policy, prompt_format):
    initial = tiny_policy()
    policy = moved(initial)
    watch = PolicyEvaluator(
        initial, prompt_format, PROMPTS, lengths, noes, pool_samples=40, samples_per_prompt=3, seed=7
    )
    point = watch.measure(policy, 5)

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

    alone, seen = (
        PolicyEvaluator(initial, prompt_format, PROMPTS, noes, lengths, pool_samples=16, auxiliary_rms=given).measure(
            moved(initial), 1
        )
        for given in (None, {"test_rm.ten": ten_noes})
    )
    assert alone.kl == seen.kl and np.array_equal(alone.proxy_P, seen.proxy_P)
    assert seen.statistics["test_rm.ten"] == pytest.approx(seen.proxy, rel=1e-6)  # 10x the proxy, rescaled
    assert seen.statistics["rm_gap.ten"] == pytest.approx(0.0, abs=1e-6) and "rm_gap.ten" not in alone.statistics


def test_a_gold_that_is_the_same_everywhere_keeps_its_own_unit(tiny_policy, prompt_format):
    solved = {"share": 0.0}

    def right(prompts, responses):
        return [solved["share"]] * len(responses)

    initial = tiny_policy()
    watch = PolicyEvaluator(initial, prompt_format, PROMPTS, lengths, right)
    solved["share"] = 0.25
    assert watch.measure(moved(initial), 1).gold_P.tolist() == [0.25] * len(PROMPTS)


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


def test_nobody_notices_that_the_policy_was_measured(tiny_policy, prompt_format):
    initial = tiny_policy()

    def careless(prompts, responses):
        return np.random.normal(size=len(prompts)) + torch.rand(len(prompts)).numpy() + random.random()  # noqa: NPY002

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    policy = moved(initial).train()
    policy.gpt_neox.layers[0].eval()
    policy.config.pad_token_id = None
    before = states(), [module.training for module in policy.modules()], copy.deepcopy(policy.state_dict())
    watch = PolicyEvaluator(initial, prompt_format, PROMPTS, lengths, careless)
    watch.measure(policy, 1)
    assert states() == before[0] and [module.training for module in policy.modules()] == before[1]
    assert all(torch.equal(weights, before[2][name]) for name, weights in policy.state_dict().items())
    assert policy.config.pad_token_id is None and all(p.grad is None and p.requires_grad for p in policy.parameters())


def test_a_reference_taken_from_a_model_that_a_trainer_has_patched_stays_where_it_was(tiny_policy, prompt_format):
    policy = tiny_policy().train()
    original = policy.forward

    @functools.wraps(type(policy).forward)  # as trl's `add_fused_lm_head` does
    def patched(self, *args, **kwargs):
        return original(*args, **kwargs)

    policy.forward = MethodType(patched, policy)
    before = copy.deepcopy(policy.state_dict())
    naive, reference = copy.deepcopy(policy).eval(), as_reference(policy, prompt_format.tokenizer)
    with torch.no_grad():
        for weights in policy.parameters():
            weights.mul_(1.3)
    sequences = drawn(reference, prompt_format, 4, 0)
    assert "forward" in policy.__dict__ and policy.training
    with measurable(policy, prompt_format.tokenizer) as live:
        assert float(measure_kl(live, reference, sequences).kl_B.mean()) > 0.01
    assert all(torch.equal(weights, before[name]) for name, weights in reference.state_dict().items())
    assert not any(weights.requires_grad for weights in reference.parameters())
    assert float(measure_kl(policy.eval(), naive, sequences).kl_B.mean()) == 0.0  # what a plain deep copy would say


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


def test_parameters_that_no_process_holds_whole_are_refused_in_one_line(tiny_policy):
    policy = tiny_policy()
    assert unwrapped(torch.nn.DataParallel(policy)) is policy
    next(policy.parameters()).ds_id = 0  # as DeepSpeed ZeRO-3 marks what it has spread
    with pytest.raises(UserError, match=r"embed_in.weight is spread over processes .* train with DDP or ZeRO-2"):
        unwrapped(policy)


@pytest.mark.parametrize("overhead", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("each", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("max_seconds", [1.0, 10.0])
def test_a_look_fits_into_its_time_and_finding_that_out_costs_little_more(overhead, each, max_seconds):
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
    watch = PolicyEvaluator(tiny_policy(), prompt_format, many, lengths, slow, max_seconds=0.1, pool_samples=2)
    assert 2 <= len(watch.prompts) < 32 and watch.prompts == many[: len(watch.prompts)]
    assert len(watch.measure(moved(tiny_policy()), 1).gold_P) == len(watch.prompts)


def test_a_folder_is_read_in_ids_where_the_tokenizer_is_the_policys_and_in_texts_otherwise(
    tiny_policy, tiny_reward_model, prompt_format, tmp_path
):
    policy = tiny_policy()
    model = tiny_reward_model()
    RewardModel(model).save(tmp_path / "own", prompt_format)
    other = word_tokenizer(["maybe", "no", "yes"])  # the same words under other ids
    RewardModel(model).save(tmp_path / "other", PromptFormat(other, 6))
    responses = Responses.of_prompts(PROMPTS, drawn(policy, prompt_format, 2, 0), prompt_format)
    in_ids, in_texts = (as_scorer(tmp_path / name, "gold", policy, prompt_format) for name in ("own", "other"))
    assert isinstance(in_ids, RewardModel) and isinstance(in_texts, TextRewardModel)
    np.testing.assert_array_equal(in_ids.rate(responses), RewardModel(model).scores(responses.sequences))
    again = PromptFormat(other, 6).encode(responses.prompts, responses.texts)
    np.testing.assert_array_equal(in_texts.rate(responses), RewardModel(model).scores(again))
    assert not np.allclose(in_ids.rate(responses), in_texts.rate(responses))


def test_mistakes_are_one_line(tiny_policy, tiny_reward_model, prompt_format, tmp_path):
    policy = tiny_policy()
    for given, said in (
        ((prompt_format, ["yes"], lengths), "prompts: must be 2 or more, got 1"),
        ((prompt_format, PROMPTS, tmp_path), "must be the folder of a model"),
        ((prompt_format, PROMPTS, 3.0), "proxy: must be a reward model"),
    ):
        with pytest.raises(UserError) as raised:
            PolicyEvaluator(policy, *given)
        assert said in str(raised.value) and "\n" not in str(raised.value)
    stranger = tiny_reward_model()
    stranger.config.vocab_size = 99
    with pytest.raises(UserError, match="must have the policy's vocabulary of 8, has 99"):
        PolicyEvaluator(policy, prompt_format, PROMPTS, lengths, stranger)
