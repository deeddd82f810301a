"""Constrained optimization: hold the proxy where it still says something, by a Lagrange multiplier that is learned.

Moskovitz et al. 2023 (arXiv:2310.04373): of all policies whose proxy score is a threshold, the one nearest to the
reference. The Lagrangian of minimizing c KL subject to E r_k = theta_k, for one reward term r or several, is
(1/K) sum_k w_k r_k - c KL, and with the gap g_k = theta_k - mean r_k of each term, r_k above the initial policy's mean,

    w_k = clip(lambda_k + g_k, -1, 1),   lambda_k <- lambda_k + lr g_k,   lambda_k = 0 at the beginning.

Far below its threshold a term is optimized as without a constraint; at it, the multiplier settles where reward and
penalty balance (without a penalty, at 0); above it, the weight becomes negative. The paper bounds multipliers by tanh
and has no gap in the weight. But the integral alone swings about the threshold, since the policy is an integral of the
weight too: hence the proportional part, as of Stooke et al. 2020 (arXiv:2007.03964). A multiplier rests while its
weight is at a bound that the gap pushes it to, so that a run that is long below its threshold does not overshoot.

Axis letters: B rollouts, R tokens of a response, K ensemble members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mlproject.cures.mean import CURE as MEAN
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer
from mlproject.errors import UserError
from mlproject.models.scorers import Scorer
from mlproject.names import Diagnostic
from mlproject.optimization.on_policy.config import FORECAST, MEMBERS, OFF, REWARD, OnPolicyConfig
from mlproject.optimization.on_policy.objective import Rollouts
from mlproject.optimization.on_policy.shards import Shard
from mlproject.optimization.peak_forecast import PeakForecast
from mlproject.resume.state import State

StartOf = Callable[[Sequence[Scorer]], Sequence[float]]

_LEAST = 1e-3
"""Weight below which rewards are not divided by it."""


class Constraint:
    """The constraint of a run, and its multipliers.

    Args:
        config: options of the method.
        proxy: what is optimized.
        peak: the run's forecast, for `reward_threshold=forecast`.
        start_of: gives the initial policy's mean score by each of several scorers, gold standard deviations, from which
            thresholds count. A proxy need not be 0 there: that of a later round is centred on responses of the policy
            before.

    Attributes:
        is_on: whether there is one.
        multiplier_K: lambda of each term, float64. Shape: (K,).

    Raises:
        UserError: for members of a reward that is no mean of some, or another number of thresholds than of terms.
    """

    def __init__(
        self, config: OnPolicyConfig, proxy: Scorer, peak: PeakForecast, start_of: StartOf | None = None
    ) -> None:
        self._config, self._peak = config, peak
        self.is_on = config.reward_threshold != OFF
        of_terms: Sequence[Scorer] = (proxy,)
        if self.is_on and config.reward_terms == MEMBERS:
            if not (isinstance(proxy, EnsembleScorer) and proxy.how == MEAN.name):
                what = proxy.how if isinstance(proxy, EnsembleScorer | ShapedScorer) else "single"
                raise UserError(
                    f"reward_terms={MEMBERS}: must be of a mean of several reward models, but the proxy is {what}. "
                    f"Use a proxy with reward={MEAN.name}, or remove the option."
                )
            of_terms = proxy.members
        terms = len(of_terms)
        self._fixed_K = None if config.reward_threshold in (OFF, FORECAST) else config.thresholds
        if self._fixed_K is not None and len(self._fixed_K) not in (1, terms):
            raise UserError(
                f"reward_threshold={config.reward_threshold}: must be one number, or one for each of {terms} terms, "
                f"but has {len(self._fixed_K)}. Correct the list."
            )
        self.multiplier_K = torch.zeros(terms, dtype=torch.float64)
        self._weight_K = torch.ones(terms, dtype=torch.float64)
        self._start_K = torch.zeros(terms, dtype=torch.float64)
        if self.is_on and start_of is not None:
            self._start_K += torch.tensor(start_of(of_terms), dtype=torch.float64)

    @property
    def threshold_K(self) -> Tensor:
        """The threshold of each term, gold standard deviations; nan while it is not known. Shape: (K,)."""
        values = self._fixed_K or (self._peak.proxy,)
        return torch.tensor(values, dtype=torch.float64).expand(len(self.multiplier_K))

    def into_scores(self, shard: Shard) -> Shard:
        """The rollouts of an update with the sum of their weighted terms as scores; the terms give the weights."""
        if not self.is_on:
            return shard
        terms_BK = self._terms(shard)
        gap_K = self._gap_K(terms_BK)
        self._weight_K = (self.multiplier_K + gap_K).clamp(-1, 1).nan_to_num(1.0)  # not known: without a constraint
        scores_B = terms_BK @ (self._weight_K / self._gain) / len(self._weight_K)
        return replace(shard, scores_B=scores_B.to(shard.scores_B.dtype))

    def into_advantages(self, rollouts: Rollouts) -> Rollouts:
        """The rollouts with the part of the weights that normalized advantages lose."""
        return replace(rollouts, advantages_BR=rollouts.advantages_BR * self._gain) if self.is_on else rollouts

    def observe(self, shard: Shard) -> dict[str, float]:
        """Let the multipliers follow an update's rollouts, as they were sampled; they weigh those of the next.

        Returns:
            diagnostics: the mean weight of the update, and the mean threshold where it is known.
        """
        if not self.is_on:
            return {}
        used, threshold_K = float(self._weight_K.mean()), self.threshold_K
        if threshold_K.isfinite().all():
            gap_K = self._gap_K(self._terms(shard))
            weight_K = self.multiplier_K + gap_K
            rests_K = (weight_K.abs() >= 1) & (weight_K * gap_K > 0)
            moved_K = self.multiplier_K + self._config.multiplier_lr * gap_K
            self.multiplier_K = torch.where(rests_K, self.multiplier_K, moved_K)
        return {Diagnostic.MULTIPLIER: used, Diagnostic.REWARD_THRESHOLD: float(threshold_K.mean())}

    def states(self) -> dict[str, State]:
        """What a resumed run needs beside the policy; nothing without a constraint."""
        return {"constraint": State({"multiplier": self.multiplier_K})} if self.is_on else {}

    def restore(self, saved: State) -> None:
        """Take back the part of a state."""
        if (part := saved.within("constraint")).tensors:
            self.multiplier_K = part.tensors["multiplier"].clone()

    @property
    def _gain(self) -> float:
        """What rewards are divided by, and advantages multiplied with: whether a method normalizes advantages or not,
        they then have the size of the weights. A penalty in the reward has a size of its own to be compared with."""
        if self._config.kl_coef > 0 and self._config.kl_in == REWARD:
            return 1.0
        return max(float(self._weight_K.abs().max()), _LEAST)

    def _gap_K(self, terms_BK: Tensor) -> Tensor:
        """What each term lacks to its threshold, gold standard deviations. Shape: (K,)."""
        return self.threshold_K - (terms_BK.mean(0) - self._start_K)

    def _terms(self, shard: Shard) -> Tensor:
        """Shape: (B, K)."""
        terms_BK = shard.scores_B[:, None] if shard.terms_BK is None else shard.terms_BK
        return terms_BK.double().cpu()
