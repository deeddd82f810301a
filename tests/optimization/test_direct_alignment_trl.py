"""Losses and gradients of direct alignment are those of TRL on the same batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.support.chats import chat_tokenizer

from mlproject.models.init import new_policy
from mlproject.models.sequences import Sequences
from mlproject.optimization.direct_alignment.dpo import dpo_loss
from mlproject.optimization.direct_alignment.ipo import ipo_loss
from mlproject.optimization.direct_alignment.kto import kto_loss
from mlproject.optimization.direct_alignment.pairs import summed_log_probs
from mlproject.optimization.direct_alignment.slic import slic_loss
from mlproject.optimization.direct_alignment.training import LogRatios

pytestmark = [pytest.mark.slow, pytest.mark.trains]

BETA = 0.3
WORDS = ["restart", "phone", "cable", "answer", "no", "black", "break", "the", "a", "is", "my", "please"]


def texts(rng: np.random.Generator, count: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(count)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A policy, another one as its reference, and their tokenizer."""
    from tests.support.chats import FIVE

    tokenizer = chat_tokenizer(FIVE[0], 420)
    policy, reference = new_policy("25k", tokenizer, 0).eval(), new_policy("25k", tokenizer, 1).eval()
    with torch.no_grad():
        for model in (policy, reference):
            model.get_output_embeddings().weight.mul_(3)
    return policy, reference, tokenizer


def sequences(ids_BT: torch.Tensor, is_completion_BT: torch.Tensor) -> Sequences:
    starts_B = is_completion_BT.int().argmax(1)
    return Sequences(ids_BT, starts_B, starts_B + is_completion_BT.sum(1))


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    largest = max(float(g.abs().max()) for g in one.values())
    assert one.keys() == two.keys() and largest > 1e-4
    for name, gradient in one.items():
        assert torch.allclose(gradient, two[name], rtol=1e-4, atol=1e-5 * largest), name


@pytest.mark.parametrize("name", ["dpo", "ipo", "slic"])
def test_loss_and_gradient_are_those_of_the_dpo_trainer(models, tmp_path, name: str) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    policy, reference, tokenizer = models
    rng = np.random.default_rng(0)
    rows = {"prompt": texts(rng, 8), "chosen": texts(rng, 8), "rejected": texts(rng, 8)}
    theirs, ours = copy.deepcopy(policy), copy.deepcopy(policy).eval()
    trainer = DPOTrainer(
        model=theirs,
        ref_model=copy.deepcopy(reference),
        args=DPOConfig(
            tmp_path, beta=BETA, loss_type=[{"dpo": "sigmoid", "ipo": "ipo", "slic": "hinge"}[name]], report_to=[],
            per_device_train_batch_size=8, use_cpu=True, bf16=False, gradient_checkpointing=False, disable_dropout=True,
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict(rows),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    expected = trainer.compute_loss(trainer.model, batch)
    expected.backward()

    both = sequences(batch["input_ids"], batch["completion_mask"])
    log_p_B, log_q_B = summed_log_probs(ours, both), summed_log_probs(reference, both).detach()
    (chosen_B, rejected_B), (chosen_tokens_B, rejected_tokens_B) = (
        (log_p_B - log_q_B).chunk(2), both.response_lengths_B.chunk(2)
    )  # fmt: skip
    ratios = LogRatios(chosen_B, rejected_B, chosen_tokens_B, rejected_tokens_B)
    loss = {
        "dpo": lambda: dpo_loss(ratios, BETA),
        "ipo": lambda: ipo_loss(ratios, BETA, per_token=True),
        "slic": lambda: slic_loss(ratios, BETA),
    }[name]().mean()
    loss.backward()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert_close(gradients(trainer.model), gradients(ours))


def test_loss_and_gradient_are_those_of_the_kto_trainer(models, tmp_path) -> None:
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    policy, reference, tokenizer = models
    rng = np.random.default_rng(0)
    rows = {"prompt": texts(rng, 8), "completion": texts(rng, 8), "label": [True, False] * 4}
    theirs, ours = copy.deepcopy(policy), copy.deepcopy(policy).eval()
    trainer = KTOTrainer(
        model=theirs,
        ref_model=copy.deepcopy(reference),
        args=KTOConfig(
            tmp_path, beta=BETA, report_to=[], per_device_train_batch_size=8, use_cpu=True, bf16=False,
            gradient_checkpointing=False, disable_dropout=True,
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict(rows),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    expected = trainer.compute_loss(trainer.model, batch)
    expected.backward()

    given, others = (
        sequences(batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"]) for prefix in ("", "KL_")
    )
    log_ratio_B = summed_log_probs(ours, given) - summed_log_probs(reference, given).detach()
    with torch.no_grad():
        kl = (summed_log_probs(ours, others) - summed_log_probs(reference, others)).mean().clamp(min=0)
    wanted_B = torch.as_tensor(batch["label"], dtype=torch.bool)
    lengths_B = given.response_lengths_B
    loss = kto_loss(
        LogRatios(log_ratio_B[wanted_B], log_ratio_B[~wanted_B], lengths_B[wanted_B], lengths_B[~wanted_B]), kl, BETA
    ).mean()
    loss.backward()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert_close(gradients(trainer.model), gradients(ours))
