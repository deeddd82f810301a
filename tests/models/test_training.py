"""The one training loop: it covers the examples, it learns, and the generator decides everything."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mlproject.models.generation import sample
from mlproject.models.memory import MemoryOptions
from mlproject.models.sequences import decode_responses, encode, encode_prompts
from mlproject.models.sft import train_sft
from mlproject.models.training import Schedule, train, training_steps
from mlproject.models.training_state import BucketedBatches
from mlproject.resume.resumption import Resumption
from mlproject.resume.state_folder import StateFolder

pytestmark = pytest.mark.trains


def one_pass(lengths_B: Tensor, batch_size: int, seed: int = 0) -> list[Tensor]:
    batches = BucketedBatches(lengths_B, batch_size, torch.Generator().manual_seed(seed))
    return list(itertools.islice(batches, len(lengths_B) // batch_size))


@pytest.mark.parametrize(("examples", "batch_size"), [(960, 8), (64, 64), (330, 10)])
def test_every_example_comes_once_per_pass(examples: int, batch_size: int) -> None:
    lengths_B = torch.randint(5, 40, (examples,), generator=torch.Generator().manual_seed(0))
    batches = BucketedBatches(lengths_B, batch_size, torch.Generator().manual_seed(1))
    for _ in range(3):
        index = torch.cat(list(itertools.islice(batches, examples // batch_size)))
        assert sorted(index.tolist()) == list(range(examples))


def test_a_batch_larger_than_the_examples_holds_them_all() -> None:
    (batch,) = one_pass(torch.tensor([3, 1, 2]), 3)
    assert sorted(batch.tolist()) == [0, 1, 2]
    batches = BucketedBatches(torch.tensor([3, 1, 2]), 100, torch.Generator().manual_seed(0))
    assert sorted(next(batches).tolist()) == [0, 1, 2]


def test_no_example_is_left_out_of_every_pass_where_batches_do_not_fit_evenly() -> None:
    lengths_B = torch.arange(150)
    batches = BucketedBatches(lengths_B, 100, torch.Generator().manual_seed(0))
    drawn = torch.cat(list(itertools.islice(batches, 40)))  # 40 passes; each leaves 50 examples out
    assert set(drawn.tolist()) == set(range(150))


def test_batches_hold_neighbours_in_length_without_an_order_over_the_pass() -> None:
    lengths_B = torch.randint(5, 60, (1600,), generator=torch.Generator().manual_seed(0)).float()
    batches = one_pass(lengths_B, 20)
    padding = sum(float((lengths_B[batch].max() - lengths_B[batch]).sum()) for batch in batches)
    shuffled = torch.randperm(1600, generator=torch.Generator().manual_seed(1)).split(20)
    padding_at_random = sum(float((lengths_B[batch].max() - lengths_B[batch]).sum()) for batch in shuffled)
    assert padding < 0.15 * padding_at_random
    means = torch.stack([lengths_B[batch].mean() for batch in batches])
    position = torch.arange(len(means)).float()
    assert abs(float(torch.corrcoef(torch.stack([position, means]))[0, 1])) < 3 / math.sqrt(len(means))


def learn(seed: int) -> tuple[nn.Module, float]:
    """Logistic regression on two separable clouds."""
    points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    sides = points[:, 0] > 0
    model = nn.Linear(2, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)

    def loss_of(module: nn.Module, index: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(module(points[index]).squeeze(-1), sides[index].float())

    loss = train(
        model,
        loss_of,
        torch.randint(1, 9, (400,), generator=torch.Generator().manual_seed(2)),
        Schedule(epochs=20, batch_size=20, learning_rate=0.05),
        accelerator=Accelerator(cpu=True),
        generator=torch.Generator().manual_seed(seed),
    )
    return model, loss


def test_training_solves_a_separable_task() -> None:
    model, loss = learn(seed=0)
    assert loss < 0.2 < math.log(2)
    across, along = model.weight.detach()[0].tolist()
    assert across > 10 * abs(along)
    assert not model.training


def test_training_depends_on_the_generator_and_nothing_else() -> None:
    (first, loss), (again, loss_again), (other, _) = learn(0), learn(0), learn(1)
    assert torch.equal(first.weight, again.weight) and loss == loss_again
    assert not torch.equal(first.weight, other.weight)


@pytest.mark.parametrize(("epochs", "expected"), [(1, 8), (0.5, 4), (0.001, 1), (3, 23)])
def test_a_schedule_counts_steps_by_examples(epochs: float, expected: int) -> None:
    assert Schedule(epochs, batch_size=128, learning_rate=1).steps(1000) == expected


def dropout_task() -> dict[str, Any]:
    """Arguments of a training whose result depends on the random stream of dropout."""
    points = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    return {
        "model": model,
        "loss_of": lambda module, index: ((module(points[index]).squeeze(-1) - points[index, 0]) ** 2).mean(),
        "lengths_B": torch.arange(200),
        "schedule": Schedule(epochs=4, batch_size=20, learning_rate=0.01),
        "accelerator": Accelerator(cpu=True),
        "generator": torch.Generator().manual_seed(3),
    }


def test_what_a_caller_does_between_steps_changes_nothing() -> None:
    undisturbed, disturbed = dropout_task(), dropout_task()
    loss = train(**undisturbed)
    losses, totals = [], set()
    for step in training_steps(**disturbed):
        losses.append(float(step.loss))
        totals.add(step.total)
        step.model.eval()  # as an evaluation does
        torch.manual_seed(step.index)
        torch.rand(step.index)
    assert totals == {40} == {len(losses)}
    assert loss == sum(losses[-4:]) / 4
    pairs = zip(undisturbed["model"].parameters(), disturbed["model"].parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_training_leaves_the_global_random_state_as_it_was() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    train(**dropout_task())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_that_is_stopped_has_taken_the_first_steps_and_hands_its_model_back_in_eval_mode() -> None:
    task, whole = dropout_task(), dropout_task()
    steps = training_steps(**task)
    weights = [[p.clone() for p in step.model.parameters()] for _, step in zip(range(5), steps, strict=False)]
    steps.close()
    assert not task["model"].training
    for taken, step in zip(weights, training_steps(**whole), strict=False):
        assert all(torch.equal(one, other) for one, other in zip(taken, step.model.parameters(), strict=True))
    rate = step.optimizer.param_groups[0]["lr"]
    assert rate == step.lr_scheduler.get_last_lr()[0] == pytest.approx(0.01 * (40 - 5) / (40 - 2))


@pytest.mark.parametrize("saved_every", [1, 3])
@pytest.mark.parametrize("died_in", [1, 2, 9, 10, 11, 25, 38, 39])
def test_a_training_that_died_goes_on_bit_for_bit(tmp_path, saved_every: int, died_in: int) -> None:
    """Ten steps are a pass over the examples, and the last four give the loss that is returned."""
    memory, seconds = MemoryOptions(accumulation=2), itertools.count(0.0, 0.25)

    def task() -> dict[str, Any]:
        each = dropout_task()
        return each | {
            "schedule": replace(each["schedule"], memory=memory),
            "weights_B": torch.arange(1, 201).float(),
            "resumption": Resumption(StateFolder(tmp_path, "me"), saved_every / 4, lambda: next(seconds)),
        }

    undisturbed, died, resumed = dropout_task(), task(), task()
    loss = train(**undisturbed | {name: died[name] for name in ("schedule", "weights_B")})
    step_of_death = itertools.count()

    def dying_loss(module: nn.Module, index: Tensor) -> Tensor:
        if next(step_of_death) == 2 * died_in:
            raise KeyboardInterrupt
        return died["loss_of"](module, index)

    with pytest.raises(KeyboardInterrupt):
        train(**died | {"loss_of": dying_loss})
    resumed["resumption"] = task()["resumption"]
    steps_again = itertools.count()

    def counted_loss(module: nn.Module, index: Tensor) -> Tensor:
        next(steps_again)
        return resumed["loss_of"](module, index)

    assert train(**resumed | {"loss_of": counted_loss}) == loss
    assert next(steps_again) // 2 <= 40 - died_in + saved_every
    pairs = zip(undisturbed["model"].parameters(), resumed["model"].parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_supervised_policy_writes_the_responses_of_its_corpus(tiny_policy, tiny_tokenizer) -> None:
    policy = tiny_policy(sharpness=1.0)
    prompts = ["yes", "no", "maybe no"] * 64
    answers = {"yes": "no no", "no": "maybe", "maybe no": "yes no maybe"}
    corpus = encode(tiny_tokenizer, prompts, [answers[prompt] for prompt in prompts], max_response_tokens=5)
    loss = train_sft(
        policy,
        corpus,
        Schedule(epochs=12, batch_size=32, learning_rate=1e-2),
        accelerator=Accelerator(cpu=True),
        generator=torch.Generator().manual_seed(0),
    )
    assert loss < 0.05
    prompts_only = encode_prompts(tiny_tokenizer, list(answers))
    generator = torch.Generator().manual_seed(0)
    sequences = sample(policy, prompts_only, max_new_tokens=5, generator=generator, samples_per_prompt=20).sequences
    written = decode_responses(tiny_tokenizer, sequences)
    expected = [answer for answer in answers.values() for _ in range(20)]
    assert sum(text == answer for text, answer in zip(written, expected, strict=True)) > 54
