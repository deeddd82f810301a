"""Advantages, losses and gradients of GRPO and RLOO against TRL's trainers, on the batches that these train on."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from mlproject.config.schema import load_config
from mlproject.models.log_probs import response_logits
from mlproject.models.sequences import Sequences
from mlproject.optimization.on_policy.grpo import GRPO
from mlproject.optimization.on_policy.grpo_config import GRPOConfig
from mlproject.optimization.on_policy.objective import Reading, Rollouts
from mlproject.optimization.on_policy.penalty import penalty_loss
from mlproject.optimization.on_policy.rloo import RLOO, RLOOConfig
from mlproject.optimization.on_policy.shards import Shard

pytest.importorskip("trl")
pytestmark = [pytest.mark.trains, pytest.mark.slow]
SMOKE = load_config("smoke", {})
GROUP = {"grpo_group_size": 4}
CASES = {
    "GRPO, tokens": ("GRPO", {"loss_type": "bnpo"}, GROUP),
    "GRPO, responses, scale of the batch": (
        "GRPO", {"loss_type": "grpo", "scale_rewards": "batch"},
        {"grpo_loss": "response", "grpo_scale": "batch"} | GROUP,
    ),
    "GRPO, no scale, clip-higher": (
        "GRPO", {"loss_type": "bnpo", "scale_rewards": "none", "epsilon_high": 0.05, "epsilon": 0.02},
        {"grpo_scale": "none", "ppo_clip": 0.02, "grpo_clip_high": 0.05} | GROUP,
    ),
    "GRPO, KL in the loss": (
        "GRPO", {"loss_type": "grpo", "beta": 0.5, "use_bias_correction_kl": False},
        {"grpo_loss": "response", "kl_coef": 0.5, "kl_in": "loss", "kl_estimator": "k3"} | GROUP,
    ),
    "GRPO, corrected KL in the loss": (
        "GRPO", {"loss_type": "grpo", "beta": 0.5, "use_bias_correction_kl": True},
        {"grpo_loss": "response", "kl_coef": 0.5, "kl_in": "corrected-loss", "kl_estimator": "k3"} | GROUP,
    ),
    "RLOO": ("RLOO", {}, {"rloo_group_size": 4}),
    "RLOO, KL in the reward": ("RLOO", {"beta": 0.5}, {"rloo_group_size": 4, "kl_coef": 0.5}),
}  # fmt: skip


def recorded(trainer: Any, initial: torch.nn.Module) -> list[dict[str, Any]]:
    """What each loss of the trainer was computed from, and what it was."""
    seen: list[dict[str, Any]] = []
    compute = trainer._compute_loss

    def recording(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = compute(model, inputs)
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        policy = copy.deepcopy(initial).eval()
        policy.load_state_dict(trainer.accelerator.unwrap_model(model).state_dict())
        flat = torch.cat([each.flatten() for each in gradients])
        seen.append({"inputs": inputs, "loss": loss.detach().clone(), "gradient": flat, "policy": policy})
        return loss

    trainer._compute_loss = recording
    trainer.train()
    return seen


def grouped(inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The rows with those of one prompt side by side again: the trainer shuffles what it has generated."""
    prompts = inputs["prompt_ids"].tolist()
    order = sorted(range(len(prompts)), key=lambda row: prompts[row])
    names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages")
    return {name: inputs[name][order] for name in names}


def sequences_of(inputs: dict[str, torch.Tensor], pad: int) -> Sequences:
    """TRL's prompts, padded on the left, and completions, padded on the right, as one row each without a gap."""
    starts_B, lengths_B = inputs["prompt_mask"].sum(1), inputs["completion_mask"].sum(1)
    rows = [
        torch.cat([prompt[len(prompt) - int(start) :], completion])
        for prompt, start, completion in zip(inputs["prompt_ids"], starts_B, inputs["completion_ids"], strict=True)
    ]
    return Sequences(torch.nn.utils.rnn.pad_sequence(rows, True, pad), starts_B, starts_B + lengths_B)


@pytest.mark.parametrize(("name", "trl_settings", "options"), CASES.values(), ids=CASES)
def test_advantages_loss_and_gradient_are_those_of_trl(
    setting, trl_trainer, tmp_path, name, trl_settings, options
) -> None:
    steps = {"max_steps": 2, "num_iterations": 2, "learning_rate": 1e-2}  # the second is off-policy
    model = type(setting.policy).from_pretrained(setting.policy_folder)  # the reference is read from there again
    seen = recorded(trl_trainer(name, tmp_path, model=model, **steps, **trl_settings), setting.policy)
    is_grpo = name == "GRPO"
    objective = (GRPO if is_grpo else RLOO)(replace(SMOKE.of(GRPOConfig if is_grpo else RLOOConfig), **options))
    tokenizer, coef = setting.tokenizer, objective.config.kl_coef
    for step, one in enumerate(seen):
        inputs, policy = grouped(one["inputs"]), one["policy"]
        sequences = sequences_of(inputs, tokenizer.pad_token_id)
        mask_BR = sequences.response_mask_BR
        scores_B = torch.tensor(
            setting.reward(None, tokenizer.batch_decode(inputs["completion_ids"], skip_special_tokens=True))
        )
        logits_BRV = response_logits(policy, sequences)
        if step == 0:  # sampled by this very policy, which was the reference too
            old_BR = Reading.of(logits_BRV, None, Rollouts(sequences, torch.zeros(mask_BR.shape), None)).log_probs_BR
            old_BR = old_BR.detach().masked_fill(~mask_BR, 0.0)
        rewards_BR = torch.zeros_like(old_BR)
        rewards_BR[:, 0] = scores_B  # KL to the policy itself is 0
        shard = Shard(sequences, old_BR, old_BR, torch.zeros_like(old_BR), scores_B)
        rollouts = replace(objective.rollouts(shard, rewards_BR), reference_BR=old_BR, penalty_coef=coef)
        torch.testing.assert_close(rollouts.advantages_BR[:, 0], inputs["advantages"], atol=1e-5, rtol=1e-5)
        reading = Reading.of(logits_BRV, None, rollouts)
        loss, _ = objective.loss(reading, rollouts)
        if is_grpo and coef:
            loss = loss + penalty_loss(
                reading, rollouts, "k3", objective, corrected=trl_settings["use_bias_correction_kl"]
            )
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(policy.parameters()))])
        torch.testing.assert_close(loss.detach(), one["loss"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradient, one["gradient"], atol=1e-5, rtol=1e-4)
    assert len(seen) == 2 and float(seen[1]["loss"]) != float(seen[0]["loss"])
