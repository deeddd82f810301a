"""A batch shared between processes, or cut into micro-batches, gives the gradient of the whole batch."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mlproject.errors import UserError
from mlproject.models import training
from mlproject.models.log_probs import response_logits, token_log_probs
from mlproject.models.memory import MemoryOptions
from mlproject.models.response_logits import reading_of
from mlproject.models.sequences import Sequences, encode
from mlproject.models.sft import train_sft
from mlproject.models.training import Schedule, train
from mlproject.pipeline.loading import new_accelerator
from mlproject.preferences.bradley_terry import train_reward_model
from mlproject.preferences.comparisons import EncodedComparisons

WORDS = ["yes", "no", "maybe"]
TEXTS = [" ".join(WORDS[(i + j) % 3] for j in range(1 + (i * i) % 9)) for i in range(11)]
"""Responses of very different lengths: equal numbers of them are very different numbers of tokens."""


class Member:
    """One of several processes, without the others: keeps the gradient that it would hand in."""

    def __init__(self, rank: int, processes: int) -> None:
        self.process_index, self.num_processes, self.device = rank, processes, torch.device("cpu")
        self.mixed_precision = "no"
        self.gradients: list[Tensor] = []

    def prepare(self, *things: Any) -> tuple[Any, ...]:
        return things

    def no_sync(self, model: nn.Module) -> nullcontext:
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip_grad_norm_(self, parameters: Any, norm: float) -> None:
        self.gradients = [p.grad.clone() for p in parameters]


@pytest.fixture(autouse=True)
def own_loss_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "all_reduce", lambda accelerator, values: values)


def mean_gradient(members: list[Member]) -> list[Tensor]:
    """What DistributedDataParallel makes of the gradients of its processes."""
    return [torch.stack(each).mean(0) for each in zip(*(member.gradients for member in members), strict=True)]


def one_step(member: Any, model: nn.Module, corpus: Sequences, **memory: Any) -> float:
    return train_sft(
        model,
        corpus,
        Schedule(epochs=1, batch_size=len(corpus), learning_rate=1e-9, memory=MemoryOptions(**memory)),
        accelerator=member,
        generator=torch.Generator().manual_seed(0),
    )


def by_hand(policy: nn.Module, corpus: Sequences) -> tuple[list[Tensor], float]:
    """Cross-entropy per response token of the whole corpus, and its gradient."""
    mask_BR = corpus.response_mask_BR
    log_p_BR = token_log_probs(response_logits(policy, corpus), corpus.response_ids_BR, mask_BR)
    loss = -log_p_BR.sum() / mask_BR.sum()
    return list(torch.autograd.grad(loss, list(policy.parameters()))), loss.item()


@pytest.mark.parametrize("memory", [{}, {"accumulation": 3}, {"gradient_checkpointing": "yes"}], ids=str)
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_token_weighted_shares_of_unequal_length_add_up_to_the_gradient_of_the_whole(
    processes: int, memory: dict, tiny_policy, tiny_tokenizer
) -> None:
    policy = tiny_policy(seed=1)
    corpus = encode(tiny_tokenizer, ["yes no"] * 11, TEXTS, max_response_tokens=9)
    expected, loss = by_hand(policy, corpus)
    members = [Member(rank, processes) for rank in range(processes)]
    losses = [one_step(member, copy.deepcopy(policy), corpus, **memory) for member in members]
    assert sum(losses) == pytest.approx(loss, rel=1e-5)
    assert max(float(g.abs().max()) for g in expected) > 1e-2
    for grad, expected_grad in zip(mean_gradient(members), expected, strict=True):
        torch.testing.assert_close(grad, expected_grad, atol=1e-6, rtol=1e-4)


def test_a_plain_mean_over_processes_would_be_another_gradient(tiny_policy, tiny_tokenizer) -> None:
    """The claim above is no matter of course: shares hold different numbers of tokens."""
    policy = tiny_policy(seed=1)
    corpus = encode(tiny_tokenizer, ["yes no"] * 11, TEXTS, max_response_tokens=9)
    expected, _ = by_hand(policy, corpus)
    order = corpus.ends_B.argsort()
    halves = [by_hand(policy, corpus.select(order[rank::2]))[0] for rank in range(2)]
    plain = [(a + b) / 2 for a, b in zip(*halves, strict=True)]
    assert max(float((p - e).abs().max()) for p, e in zip(plain, expected, strict=True)) > 1e-3


@pytest.mark.parametrize("processes", [2, 3])
def test_comparisons_shared_between_processes_give_the_gradient_of_the_whole(
    processes: int, tiny_reward_model, tiny_tokenizer
) -> None:
    model = tiny_reward_model(seed=2)
    a = encode(tiny_tokenizer, ["no"] * 11, TEXTS, max_response_tokens=9)
    b = encode(tiny_tokenizer, ["no"] * 11, TEXTS[::-1], max_response_tokens=9)
    pairs = EncodedComparisons(a, b, np.array([i % 3 > 0 for i in range(11)]), np.zeros(11))
    members = [Member(rank, processes) for rank in range(processes)]
    for member in members:
        train_reward_model(
            copy.deepcopy(model),
            pairs,
            Schedule(epochs=1, batch_size=11, learning_rate=1e-9, memory=MemoryOptions(accumulation=2)),
            accelerator=member,
            generator=torch.Generator().manual_seed(0),
        )
    reward_a_B, reward_b_B = (model(input_ids=each.ids_BT).logits.squeeze(-1) for each in (a, b))
    sign_B = 2 * torch.tensor(pairs.prefers_a_B).float() - 1
    loss = torch.log1p(torch.exp(-sign_B * (reward_a_B - reward_b_B))).mean()
    expected = torch.autograd.grad(loss, list(model.parameters()))
    for grad, expected_grad in zip(mean_gradient(members), expected, strict=True):
        torch.testing.assert_close(grad, expected_grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("memory", [{"accumulation": 4}, {"gradient_checkpointing": "yes"}], ids=str)
def test_memory_is_saved_without_another_result(memory: dict, tiny_policy, tiny_tokenizer) -> None:
    corpus = encode(tiny_tokenizer, ["yes no"] * 11, TEXTS, max_response_tokens=9)
    trained = []
    for saved in ({}, memory):
        policy = tiny_policy(seed=1)
        schedule = Schedule(epochs=20, batch_size=11, learning_rate=1e-3, memory=MemoryOptions(**saved))
        loss = train_sft(
            policy, corpus, schedule, accelerator=Accelerator(cpu=True), generator=torch.Generator().manual_seed(0)
        )
        trained.append((loss, policy.state_dict()))
    (loss, weights), (loss_saved, weights_saved) = trained
    assert loss_saved == pytest.approx(loss, rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(weights_saved[name], tensor, atol=1e-4, rtol=1e-3)


def test_more_processes_than_examples_in_a_batch_are_refused_in_one_line() -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(UserError, match="3 processes: must be at most the 2 examples of a batch"):
        train(
            model,
            lambda module, index: module(torch.ones(len(index), 1)).mean(),
            torch.ones(8),
            Schedule(1, 2, 0.1),
            accelerator=Member(0, 3),
            generator=torch.Generator(),
        )


def test_bfloat16_training_stays_near_float32_and_leaves_a_float32_model(tiny_policy, tiny_tokenizer) -> None:
    corpus = encode(tiny_tokenizer, ["yes no"] * 11, TEXTS, max_response_tokens=9)
    losses, types = {}, {}
    for precision in ("no", "bf16"):
        policy = tiny_policy(seed=1)
        reading_of(policy)  # which tries it in float32
        dtypes: set[torch.dtype] = set()
        layer = policy.base_model.layers[0].mlp.dense_h_to_4h
        hook = layer.register_forward_hook(lambda module, inputs, output, dtypes=dtypes: dtypes.add(output.dtype))
        losses[precision] = train_sft(
            policy,
            corpus,
            Schedule(epochs=30, batch_size=11, learning_rate=3e-3),
            accelerator=new_accelerator(precision),
            generator=torch.Generator().manual_seed(0),
        )
        types[precision] = set(dtypes)
        dtypes.clear()
        assert policy(input_ids=corpus.ids_BT).logits.dtype == torch.float32
        assert dtypes == {torch.float32}  # autocast ended with the training
        hook.remove()
        assert {p.dtype for p in policy.parameters()} == {torch.float32}
    new_accelerator()
    assert types == {"no": {torch.float32}, "bf16": {torch.bfloat16}}
    assert losses["bf16"] == pytest.approx(losses["no"], rel=0.02)
    assert losses["bf16"] != losses["no"]
