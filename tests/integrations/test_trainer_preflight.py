"""The check of a trainer's penalty: it finds one that does nothing, passes one that works, and leaves no trace."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mlproject.errors import UserError
from mlproject.integrations.trainer_callback import OveroptimizationCallback
from mlproject.integrations.trainer_preflight import check_penalty


class Quadratic:
    """A trainer of one weight w: loss (w - 1)^2 + penalty(beta, w); its reference is w = 0."""

    def __init__(self, penalty: Any, beta: float = 0.5) -> None:
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.args = SimpleNamespace(per_device_train_batch_size=2, beta=beta)
        self.beta, self._penalty, self._step, self._seen, self.state = beta, penalty, 3, [1], {"step": 3}
        self.train_dataset, self.data_collator = [{"x": 1.0}] * 4, lambda rows: torch.tensor([r["x"] for r in rows])

    def _prepare_inputs(self, batch: torch.Tensor) -> torch.Tensor:
        self._step += 1
        self._seen.append(self._step)
        return batch + 0.1 * torch.randn(len(batch))

    def compute_loss(self, model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        w = model.weight.sum()
        return ((w * x - 1) ** 2).mean() + self._penalty(self.beta, w)


def test_a_penalty_is_measured_by_doubling_it_and_nothing_is_left_behind() -> None:
    trainer = Quadratic(lambda beta, w: beta * w**2)
    before, random_before = trainer.model.weight.clone(), torch.get_rng_state()
    change = check_penalty(trainer)
    assert change is not None and change.gradient > 0.01 and change.loss > 0.001
    assert torch.equal(trainer.model.weight, before) and torch.equal(torch.get_rng_state(), random_before)
    assert (trainer.beta, trainer.args.beta, trainer._step, trainer._seen) == (0.5, 0.5, 3, [1])
    assert trainer.model.weight.grad is None and trainer.model.training


@pytest.mark.parametrize(
    ("penalty", "said"),
    [
        (lambda beta, w: 0.5 * w**2, "neither its loss nor the gradient changes"),
        (lambda beta, w: beta * w.detach() ** 2, "its gradient does not change"),
    ],
)
def test_a_penalty_that_does_nothing_is_one_line(penalty: Any, said: str) -> None:
    trainer = Quadratic(penalty)
    before = trainer.model.weight.clone()
    callback = OveroptimizationCallback(["yes"], proxy=lambda prompts, texts: [0.0])
    with pytest.raises(UserError, match=rf"^beta=0.5: must hold the policy, but does nothing in Quadratic.*{said}"):
        callback.preflight(trainer)
    assert torch.equal(trainer.model.weight, before)


def test_no_penalty_is_no_mistake_and_a_trainer_without_a_coefficient_is_one() -> None:
    assert check_penalty(Quadratic(lambda beta, w: 0.0, beta=0.0)) is None
    with pytest.raises(UserError, match=r"^preflight: must be of a trainer with a coefficient `kl_coef`"):
        check_penalty(Quadratic(lambda beta, w: 0.0), coefficient="kl_coef")


@pytest.mark.slow
@pytest.mark.trains
@pytest.mark.parametrize(
    ("name", "settings", "works"),
    [
        ("GRPO", {"beta": 0.2}, True),
        ("RLOO", {"beta": 0.2}, True),
        ("DPO", {"beta": 0.2}, True),
        ("DPO", {"beta": 0.2, "loss_type": ["sft"]}, False),
    ],
)
def test_trainers_of_trl(setting, trl_trainer, tmp_path, name: str, settings: dict[str, Any], works: bool) -> None:
    pytest.importorskip("trl")

    def trained(checks: bool) -> list[torch.Tensor]:
        model = type(setting.policy).from_pretrained(setting.policy_folder)
        trainer = trl_trainer(name, tmp_path / str(checks), model=model, max_steps=2, **settings)
        if checks and works:
            change = check_penalty(trainer)
            assert change is not None and change.gradient > 1e-3
        elif checks:
            with pytest.raises(UserError, match=r"^beta=0.2: must hold the policy, but does nothing in DPOTrainer"):
                check_penalty(trainer)
        trainer.train()
        return [p.detach().clone() for p in trainer.model.parameters()]

    for alone, checked in zip(trained(False), trained(True), strict=True):
        assert torch.equal(alone, checked)
