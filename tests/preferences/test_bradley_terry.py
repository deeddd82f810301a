"""Bradley-Terry training: the loss by hand, and reward models that learn what is there to be learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tests.support.checkpoints import TEXTS, bert_tokenizer, byte_tokenizer, save_checkpoint
from transformers import PreTrainedTokenizerFast

from mlproject.errors import UserError
from mlproject.models.checkpoints import load_with_reward_head, prompt_format_of
from mlproject.models.init import new_reward_model
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.sequences import concatenate
from mlproject.models.text_head import rewards_and_text, text_head
from mlproject.models.training import Schedule
from mlproject.preferences.bradley_terry import bradley_terry_loss, train_reward_model, with_text_loss
from mlproject.preferences.comparisons import (
    EncodedComparisons,
    comparisons_from_preferences,
    encode_comparisons,
    label_comparisons,
)
from mlproject.preferences.loss_options import RewardLoss
from mlproject.preferences.rankings import encode_rankings

pytestmark = pytest.mark.trains


def test_the_loss_is_the_mean_negative_log_likelihood_of_the_labels() -> None:
    rng = np.random.default_rng(0)
    a, b, prefers_a = rng.normal(size=20) * 3, rng.normal(size=20) * 3, rng.random(20) < 0.5
    chance_a = 1 / (1 + np.exp(-(a - b)))
    expected = -np.mean([math.log(p if prefers else 1 - p) for p, prefers in zip(chance_a, prefers_a, strict=True)])
    assert float(bradley_terry_loss(*map(torch.tensor, (a, b, prefers_a)))) == pytest.approx(expected, rel=1e-9)


def test_the_loss_is_ln_2_for_equal_rewards_and_stays_finite_far_out() -> None:
    zero, far = torch.zeros(3), torch.full((3,), 1e4)
    right = torch.ones(3, dtype=torch.bool)
    assert float(bradley_terry_loss(zero, zero, right)) == pytest.approx(math.log(2))
    assert float(bradley_terry_loss(far, zero, right)) == 0
    assert float(bradley_terry_loss(zero, far, right)) == pytest.approx(1e4)


@pytest.mark.parametrize(
    "loss",
    [RewardLoss(rm_margin=0.7), RewardLoss(rm_label_smoothing=0.2), RewardLoss(center_rewards_coefficient=0.3),
     RewardLoss(rm_margin=0.7, rm_label_smoothing=0.2, center_rewards_coefficient=0.3)],
)  # fmt: skip
def test_margin_smoothing_and_centring_are_those_computed_by_hand(loss: RewardLoss) -> None:
    rng = np.random.default_rng(0)
    a, b, gold = rng.normal(size=(3, 20))
    prefers_a = gold + rng.normal(size=20) > 0
    expected = []
    for reward_a, reward_b, difference, is_a in zip(a, b, gold, prefers_a, strict=True):
        x = (reward_a - reward_b if is_a else reward_b - reward_a) - loss.rm_margin * abs(difference)
        right, s = 1 / (1 + math.exp(-x)), loss.rm_label_smoothing
        centring = loss.center_rewards_coefficient * (reward_a + reward_b) ** 2
        expected.append(-(1 - s) * math.log(right) - s * math.log(1 - right) + centring)
    found = bradley_terry_loss(*map(torch.tensor, (a, b, prefers_a, gold)), loss)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-9)


def test_the_share_of_text_is_that_computed_by_hand() -> None:
    loss, log_p_B = RewardLoss(rm_text_weight=0.3, rm_text_beta=0.2), torch.tensor([-3.0, -12.0, -0.5])
    text = [-math.log(1 / (1 + math.exp(-0.2 * each))) for each in log_p_B.tolist()]
    expected = 0.7 * 1.25 + 0.3 * np.mean(text)
    assert float(with_text_loss(torch.tensor(1.25), log_p_B, loss)) == pytest.approx(expected, rel=1e-6)
    assert float(with_text_loss(torch.tensor(1.25), None, loss)) == 1.25


@pytest.mark.parametrize("kind", ["bradley-terry", "plackett-luce"])
def test_a_reward_model_with_a_share_of_text_learns_to_write_what_is_preferred(kind: str, tiny_tokenizer) -> None:
    """Of each pair 'yes yes' is preferred: it is written more often than all else, and scored higher."""
    rng, prompts = np.random.default_rng(0), ["yes no"] * 40
    sides = [rng.permutation(["yes yes", "no maybe"]).tolist() for _ in prompts]
    a, b = ([side[i] for side in sides] for i in (0, 1))
    table = label_comparisons(
        prompts, a, b, *([float("yes" in text) for text in texts] for texts in (a, b)),
        held_out=0.0, label_noise=0.0, rng=rng,
    )  # fmt: skip
    training = encode_comparisons(table, PromptFormat(tiny_tokenizer, max_response_tokens=8))
    model = new_reward_model("3k", tiny_tokenizer, seed=0)
    head, loss = text_head(model, 0), RewardLoss(rm_text_weight=0.9, rm_text_beta=1.0)
    both = concatenate([training.a, training.b], tiny_tokenizer.pad_token_id)
    preferred = torch.arange(len(prompts)) + len(prompts) * ~torch.tensor(training.prefers_a_B)
    before = rewards_and_text(model, head, both, preferred)[1].mean()
    if kind != "bradley-terry":
        training, loss = (
            encode_rankings(table, PromptFormat(tiny_tokenizer, max_response_tokens=8)),
            replace(loss, rm_loss=kind),
        )
    train_reward_model(
        model, training, Schedule(epochs=20, batch_size=20, learning_rate=1e-2), loss=loss, head=head,
        accelerator=Accelerator(cpu=True), generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    rewards_B, log_p_B = rewards_and_text(model, head, both, preferred)
    is_preferred = torch.zeros(len(both), dtype=torch.bool).index_fill(0, preferred, True)
    assert rewards_B[is_preferred].min() > rewards_B[~is_preferred].max()
    assert log_p_B.mean() > before + 1 and log_p_B.exp().mean() > 0.5


def test_a_margin_needs_scores(tiny_tokenizer) -> None:
    table = comparisons_from_preferences(
        ["yes"] * 4, ["yes"] * 4, ["no"] * 4, held_out=0.0, label_noise=0.0, rng=np.random.default_rng(0)
    )
    training = encode_comparisons(table, PromptFormat(tiny_tokenizer, max_response_tokens=8))
    with pytest.raises(UserError, match=r"^rm_margin=1: must be 0 .* Remove the option\.$"):
        train_reward_model(
            new_reward_model("1k", tiny_tokenizer, seed=0), training, Schedule(1, 2, 1e-3),
            accelerator=Accelerator(cpu=True), generator=torch.Generator(), loss=RewardLoss(rm_margin=1.0),
        )  # fmt: skip


def comparisons(
    tokenizer: PreTrainedTokenizerFast, judge: Callable[[str], float], count: int, seed: int, noise: float = 0.0
) -> EncodedComparisons:
    rng = np.random.default_rng(seed)
    write = lambda: " ".join(rng.choice(["yes", "no", "maybe"], rng.integers(1, 7)))  # noqa: E731
    prompts, a, b = ([write() for _ in range(count)] for _ in range(3))
    scores_a, scores_b = (np.array([judge(text) for text in texts]) for texts in (a, b))
    table = label_comparisons(prompts, a, b, scores_a, scores_b, held_out=0.0, label_noise=noise, rng=rng)
    return encode_comparisons(table, PromptFormat(tokenizer, max_response_tokens=8))


def trained(tokenizer: PreTrainedTokenizerFast, training: EncodedComparisons, seed: int = 0) -> RewardModel:
    model = new_reward_model("3k", tokenizer, seed=0)
    train_reward_model(
        model,
        training,
        Schedule(epochs=6, batch_size=32, learning_rate=1e-2),
        accelerator=Accelerator(cpu=True),
        generator=torch.Generator().manual_seed(seed),
    )
    return RewardModel(model)


def accuracy(rm: RewardModel, held_out: EncodedComparisons) -> float:
    return float(np.mean((rm.scores(held_out.a) > rm.scores(held_out.b)) == held_out.prefers_a_B))


JUDGES: dict[str, Callable[[str], float]] = {
    "the longer response": lambda text: float(len(text.split())),
    "the response with 'maybe'": lambda text: float("maybe" in text),
    "the shorter response": lambda text: -len(text.split()),
}


@pytest.mark.parametrize("preference", JUDGES)
def test_a_reward_model_learns_to_prefer(preference: str, tiny_tokenizer) -> None:
    judge = JUDGES[preference]
    held_out = comparisons(tiny_tokenizer, judge, 400, seed=1)
    assert accuracy(RewardModel(new_reward_model("3k", tiny_tokenizer, seed=0)), held_out) < 0.8
    assert accuracy(trained(tiny_tokenizer, comparisons(tiny_tokenizer, judge, 1000, seed=0)), held_out) > 0.95


def test_a_reward_model_learns_the_true_preference_through_label_noise(tiny_tokenizer) -> None:
    judge = JUDGES["the longer response"]
    rm = trained(tiny_tokenizer, comparisons(tiny_tokenizer, judge, 1000, seed=0, noise=0.2))
    assert accuracy(rm, comparisons(tiny_tokenizer, judge, 400, seed=1)) > 0.9


def test_training_is_decided_by_its_generator(tiny_tokenizer) -> None:
    training = comparisons(tiny_tokenizer, JUDGES["the longer response"], 150, seed=0)
    first, again, other = (content_hash(trained(tiny_tokenizer, training, seed).model) for seed in (0, 0, 1))
    assert first == again != other


def from_checkpoint(architecture, folder):
    """A reward model with a new head, and a few comparisons in its prompt format."""
    tokenizer = bert_tokenizer() if architecture == "bert" else byte_tokenizer(300, chat=False)
    save_checkpoint(folder, architecture, tokenizer, reward=architecture == "bert")
    model, tokenizer = load_with_reward_head(inspect_checkpoint(str(folder), "rm_sizes"), "rm_sizes", 0)
    with torch.no_grad():
        list(model.children())[-1].weight.mul_(50)
    pairs = [(text, "yes " * (1 + i), "a no " * (4 - i % 3)) for i, text in enumerate(TEXTS)]
    table = comparisons_from_preferences(
        *zip(*pairs, strict=True), held_out=0.0, label_noise=0, rng=np.random.default_rng(0)
    )
    return model, encode_comparisons(table, prompt_format_of(tokenizer, model))


def train_once(model, encoded, rate: float) -> float:
    machine, generator = Accelerator(cpu=True), torch.Generator().manual_seed(0)
    schedule = Schedule(1, len(encoded.prefers_a_B), rate)
    return train_reward_model(model, encoded, schedule, accelerator=machine, generator=generator)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_a_checkpoint_learns_from_the_scores_that_it_gives_each_response_alone(architecture, tmp_path):
    model, encoded = from_checkpoint(architecture, tmp_path)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    lengths = {int(end) for side in (encoded.a, encoded.b) for end in side.ends_B}
    assert len(lengths) > 3, "so that there is padding"
    a, b = (
        np.array([RewardModel(model).raw_scores(side.select(torch.tensor([i]))).item() for i in range(len(side))])
        for side in (encoded.a, encoded.b)
    )
    margin_B = np.where(encoded.prefers_a_B, a - b, b - a)
    assert np.abs(margin_B).min() > 1e-3
    assert train_once(model, encoded, 1e-9) == pytest.approx(np.log1p(np.exp(-margin_B)).mean(), abs=1e-4)


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_checkpoint_with_dropout_learns_the_same_each_time(architecture, tmp_path):
    hashes = []
    for anything in (1, 2):
        model, encoded = from_checkpoint(architecture, tmp_path / str(anything))
        assert any(isinstance(part, torch.nn.Dropout) and part.p for part in model.modules())
        torch.manual_seed(anything)
        train_once(model, encoded, 1e-3)
        hashes.append(content_hash(model))
    assert hashes[0] == hashes[1]
