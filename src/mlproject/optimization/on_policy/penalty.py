"""What keeps a policy near a reference: an estimated divergence, in the reward or in the loss.

With x = log pi(token) - log pi_ref(token) of a sampled token, the estimators of KL(pi || pi_ref) are k1 = x,
k2 = x^2 / 2 and k3 = exp(-x) - 1 + x (Schulman 2020). All three are near KL in value. Their gradients differ by the
place: in the reward, k1 alone has the gradient of KL. In the loss, the gradient of k1 is 0 in expectation; that of k2
is the gradient of KL, and that of k3 the one of KL(pi_ref || pi), as far as a token does not change what later tokens
are sampled after (docs/methods.md measures all of them). Times the ratio to the policy that sampled (corrected), the
loss has the gradient of the estimator's expectation, also after further gradient steps on the same rollouts: so far
that of KL for k1 and k3.

sqrt-chi2 is the square root of the chi-squared divergence E_pi[rho] - 1 of whole responses, rho = pi / pi_ref (Laidlaw
et al. 2024, arXiv:2403.03185). It is estimated by the mean of rho + 1 / rho - 2, which is never negative and equal in
expectation.

Axis letters: B rollouts, R tokens of a response.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlproject.models.log_probs import log_probs_of
from mlproject.models.sequences import Sequences
from mlproject.names import Diagnostic
from mlproject.optimization.on_policy.config import (
    FORECAST,
    K1,
    K2,
    K3,
    LARGEST_ERROR,
    OFF,
    REWARD,
    SQRT_CHI2,
    OnPolicyConfig,
)
from mlproject.optimization.on_policy.gae import shaped_rewards
from mlproject.optimization.on_policy.objective import Objective, Reading, Rollouts
from mlproject.optimization.on_policy.shards import Shard
from mlproject.optimization.peak_forecast import PeakForecast
from mlproject.resume.state import State, load_module, module_state

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LARGEST_LOG_RATIO = 10.0
"""Of a response, beyond which its part of the chi-squared divergence grows linearly."""
_SMALLEST_CHI2 = 1e-4


class Penalty:
    """The penalty of a run: its coefficient and its reference, both of which may change from update to update.

    Args:
        config: options of the method.
        reference: policy from which the divergence is measured at the beginning.
        peak: the run's forecast, for `kl_target=forecast`.
    """

    def __init__(self, config: OnPolicyConfig, reference: PreTrainedModel, peak: PeakForecast | None = None) -> None:
        self._config, self._reference, self._peak = config, reference, peak or PeakForecast()
        self._is_reset = False
        self.coef = config.kl_coef

    def reference_log_probs(self, sequences: Sequences, like_BR: Tensor) -> Tensor:
        """Log-probabilities of the tokens under the reference, nats; zeros without a penalty. Shape: (B, R)."""
        return log_probs_of(self._reference, sequences) if self._config.kl_coef > 0 else torch.zeros_like(like_BR)

    def rewards(self, shard: Shard) -> Tensor:
        """Per-token rewards: the score at the last token, less the penalty where it is in the reward. Shape: (B, R)."""
        mask_BR = shard.sequences.response_mask_BR
        if not self._config.kl_coef > 0 or self._config.kl_in != REWARD:
            return shaped_rewards(shard.scores_B, torch.zeros_like(shard.log_probs_BR), mask_BR, 0.0)
        log_ratio_BR = shard.log_probs_BR - shard.reference_BR
        if self._config.kl_estimator == SQRT_CHI2:
            log_ratio_B = log_ratio_BR.sum(1).clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
            scores_B = shard.scores_B - self.coef * log_ratio_B.exp() / _root(log_ratio_BR.sum(1))
            return shaped_rewards(scores_B, torch.zeros_like(log_ratio_BR), mask_BR, 0.0)
        penalty_BR = estimate(log_ratio_BR, self._config.kl_estimator)
        return shaped_rewards(shard.scores_B, penalty_BR, mask_BR, self.coef)

    def into_loss(self, rollouts: Rollouts, shard: Shard) -> Rollouts:
        """The rollouts with what the loss needs, where the penalty is in it."""
        if not self._config.kl_coef > 0 or self._config.kl_in == REWARD:
            return rollouts
        coef = self.coef
        if self._config.kl_estimator == SQRT_CHI2:  # d sqrt(chi2) = d chi2 / (2 sqrt(chi2)), the root held fixed
            coef = coef / (2 * float(_root((shard.log_probs_BR - shard.reference_BR).sum(1))))
        return replace(rollouts, reference_BR=shard.reference_BR, penalty_coef=coef)

    def observe(self, shard: Shard) -> dict[str, float]:
        """Let the controller see an update's rollouts; it changes the coefficient of the next one.

        Returns:
            diagnostics: the mean sampled log-ratio of the responses (k1, nats), and a coefficient that moves.
        """
        config = self._config
        if not config.kl_coef > 0:
            return {}
        kl = float((shard.log_probs_BR - shard.reference_BR).sum(1).mean())
        if config.kl_target == OFF:
            return {Diagnostic.LOG_RATIO: kl}
        used = self.coef
        target = self._peak.kl if config.kl_target == FORECAST else float(config.kl_target)
        if math.isnan(target):  # nothing is forecast yet
            return {Diagnostic.LOG_RATIO: kl, Diagnostic.KL_COEF: used}
        error = min(max(kl / target - 1, -LARGEST_ERROR), LARGEST_ERROR) if target > 0 else LARGEST_ERROR
        self.coef *= 1 + error * len(shard.sequences) / config.kl_horizon
        moving = {Diagnostic.KL_TARGET: target} if config.kl_target == FORECAST else {}
        return {Diagnostic.LOG_RATIO: kl, Diagnostic.KL_COEF: used, **moving}

    def reset(self, policy: PreTrainedModel) -> None:
        """Measure from a copy of this policy from now on."""
        self._reference = copy.deepcopy(policy).requires_grad_(False)
        self._is_reset = True

    def states(self) -> Mapping[str, State]:
        """What a resumed run needs beside the policy; nothing where the penalty does not change."""
        states = {} if self._config.kl_target == OFF else {"penalty": State(values={"coef": repr(self.coef)})}
        return states | ({"reference": module_state(self._reference)} if self._is_reset else {})

    def restore(self, saved: State, policy: PreTrainedModel) -> None:
        """Take back the parts of a state; a reference that was reset has the form of the policy."""
        if "penalty" in saved.values:
            self.coef = float(saved.values["penalty"]["coef"])
        if (reference := saved.within("reference")).tensors:
            self.reset(policy)
            load_module(self._reference, reference)


def estimate(log_ratio: Tensor, estimator: str) -> Tensor:
    """An estimator of KL at sampled tokens, from log pi - log pi_ref of each; of the same shape, nats."""
    if estimator == K1:
        return log_ratio
    if estimator == K2:
        return 0.5 * log_ratio**2
    assert estimator == K3
    return torch.expm1(-log_ratio) + log_ratio


def penalty_loss(
    reading: Reading, rollouts: Rollouts, estimator: str, objective: Objective, corrected: bool = False
) -> Tensor:
    """The penalty as a part of the loss, averaged as the objective averages its own. Shape: ().

    Args:
        reading: of the policy that is trained.
        rollouts: with the log-probabilities of the reference.
        estimator: `k1`, `k2`, `k3` or `sqrt-chi2`.
        objective: whose loss it is.
        corrected: whether each token's part is weighted by its probability ratio to the policy that sampled it.
    """
    assert rollouts.reference_BR is not None
    log_ratio_BR = (reading.log_probs_BR - rollouts.reference_BR).masked_fill(~reading.mask_BR, 0.0)
    if estimator == SQRT_CHI2:
        per_response_B = chi2_part(log_ratio_BR.sum(1))
        lengths_B = reading.mask_BR.sum(1)
        divergence_BR = (per_response_B / lengths_B)[:, None].expand_as(log_ratio_BR)  # summed over tokens it is whole
        return rollouts.penalty_coef * objective.mean(divergence_BR, reading.mask_BR)
    divergence_BR = estimate(log_ratio_BR, estimator)
    if corrected:
        divergence_BR = divergence_BR * reading.log_ratio_BR.exp()
    return rollouts.penalty_coef * objective.mean(divergence_BR, reading.mask_BR)


def chi2_part(log_ratio_B: Tensor) -> Tensor:
    """Parts of responses in the chi-squared divergence, rho + 1 / rho - 2, linear beyond a large ratio. Shape: (B,)."""
    bounded_B = log_ratio_B.abs().clamp(max=_LARGEST_LOG_RATIO)
    slope = bounded_B.detach().exp() - (-bounded_B.detach()).exp()
    beyond_B = slope * (log_ratio_B.abs() - bounded_B)
    return bounded_B.exp() + (-bounded_B).exp() - 2 + beyond_B


def _root(log_ratio_B: Tensor) -> Tensor:
    return chi2_part(log_ratio_B).mean().clamp(min=_SMALLEST_CHI2).sqrt()
