"""Every response of a tiny policy as rollouts, so that an expected gradient is a finite sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from mlproject.models.log_probs import response_logits, token_log_probs
from mlproject.models.sequences import Sequences
from mlproject.optimization.on_policy.config import CORRECTED_LOSS
from mlproject.optimization.on_policy.objective import Objective, Reading, Rollouts
from mlproject.optimization.on_policy.penalty import Penalty, penalty_loss
from mlproject.optimization.on_policy.shards import Shard

PROMPT = [5, 6]


@dataclass(frozen=True)
class Enumerated:
    """All responses of at most some tokens, and a score for each.

    Attributes:
        sequences: the responses, as one batch. Length B.
        scores_B: the score of each. Shape: (B,).
    """

    sequences: Sequences
    scores_B: Tensor

    @classmethod
    def of(cls, policy, tokens: int, seed: int = 0) -> Enumerated:
        end, words = policy.config.eos_token_id, range(policy.config.vocab_size)
        short = [[*body, end] for n in range(tokens) for body in product([w for w in words if w != end], repeat=n)]
        full = [list(body) for body in product([w for w in words if w != end], repeat=tokens)]
        responses = short + full
        scores_B = torch.randn(len(responses), generator=torch.Generator().manual_seed(seed))
        return cls(as_sequences(responses, policy.config.pad_token_id), scores_B)

    def log_probs_BR(self, policy) -> Tensor:
        """Of every token, differentiable. Shape: (B, R)."""
        sequences = self.sequences
        return token_log_probs(
            response_logits(policy, sequences), sequences.response_ids_BR, sequences.response_mask_BR
        )

    def exact_gradient(self, policy, reference, kl_coef: float = 0.0, rewarded: bool = True) -> Tensor:
        """Gradient of the expected score less the coefficient times KL, by differentiating the sum. Flat."""
        log_p_B = self.log_probs_BR(policy).sum(1)
        with torch.no_grad():
            log_q_B = self.log_probs_BR(reference).sum(1)
        value_B = self.scores_B * rewarded - kl_coef * (log_p_B - log_q_B)
        return flat(torch.autograd.grad((log_p_B.exp() * value_B).sum(), list(policy.parameters())))

    def expected_step(self, policy, reference, objective: Objective, penalty: Penalty, draws: int) -> Tensor:
        """Minus the expected gradient of the loss over all tuples of `draws` responses. Flat."""
        with torch.no_grad():
            log_probs_BR, reference_BR = self.log_probs_BR(policy), self.log_probs_BR(reference)
        count = len(self.scores_B)
        index = torch.cartesian_prod(*[torch.arange(count)] * draws).reshape(-1, draws)
        weight = log_probs_BR.sum(1)[index].sum(1).exp()
        advantages_BR = torch.zeros_like(log_probs_BR)
        for rows, w in zip(index, weight, strict=True):
            shard = Shard(
                self.sequences.select(rows), log_probs_BR[rows], reference_BR[rows],
                torch.zeros_like(log_probs_BR[rows]), self.scores_B[rows],
            )  # fmt: skip
            width = shard.sequences.response_mask_BR.shape[1]
            shard = replace(shard, **{n: getattr(shard, n)[:, :width] for n in ("log_probs_BR", "reference_BR")})
            rollouts = objective.rollouts(shard, penalty.rewards(shard))
            advantages_BR[:, :width].index_add_(0, rows, rollouts.advantages_BR * w * count / draws)
        rollouts = Rollouts(self.sequences, log_probs_BR, advantages_BR)
        reading = Reading.of(response_logits(policy, self.sequences), None, rollouts)
        loss, _ = objective.loss(reading, rollouts)  # at ratio 1 it is linear in the advantages
        return -flat(torch.autograd.grad(loss, list(policy.parameters())))

    def expected_penalty_step(
        self, policy, reference, objective: Objective, penalty: Penalty, estimator: str
    ) -> Tensor:
        """Minus the expected gradient of a penalty in the loss. Flat."""
        with torch.no_grad():
            log_probs_BR, reference_BR = self.log_probs_BR(policy), self.log_probs_BR(reference)
        shard = Shard(
            self.sequences, log_probs_BR, reference_BR, torch.zeros_like(log_probs_BR), torch.zeros_like(self.scores_B)
        )
        rollouts = penalty.into_loss(objective.rollouts(shard, penalty.rewards(shard)), shard)
        logits_BRV, count = response_logits(policy, self.sequences), len(self.scores_B)
        reading = Reading.of(logits_BRV, None, rollouts)
        weight_B1 = log_probs_BR.sum(1).exp()[:, None] * count
        weigh: Callable = lambda values_BR, mask_BR: objective.mean(values_BR * weight_B1, mask_BR)  # noqa: E731
        weighed = type("Weighed", (), {"mean": staticmethod(weigh)})()
        corrected = objective.config.kl_in == CORRECTED_LOSS
        loss = penalty_loss(reading, rollouts, estimator, weighed, corrected)
        return -flat(torch.autograd.grad(loss, list(policy.parameters())))


def as_sequences(responses: Sequence[Sequence[int]], pad: int) -> Sequences:
    longest = max(map(len, responses))
    rows = [[*PROMPT, *response, *[pad] * (longest - len(response))] for response in responses]
    starts_B = torch.full((len(rows),), len(PROMPT))
    return Sequences(torch.tensor(rows), starts_B, starts_B + torch.tensor([len(r) for r in responses]))


def flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])
