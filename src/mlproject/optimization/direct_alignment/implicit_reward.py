"""The implicit reward of a policy that was aligned without a reward model: beta * log pi(y|x) / pi_init(y|x).

It is the reward that the policy would be the KL-regularised optimum of (Rafailov et al. 2023, equation 5, without its
constant of the prompt), in nats times beta: it plays the proxy on the curve of a direct alignment, and has no scale of
gold's.

Axis letters: B responses, P prompts, N samples per prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.curve import Array
from mlproject.models.prompt_format import Responses
from mlproject.optimization.direct_alignment.pairs import response_log_probs
from mlproject.optimization.pool_samples import PoolSamples

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_BASELINE_SAMPLES = 4
"""Samples per prompt that give the initial policy's mean score: they are read again at every point."""


class ImplicitReward:
    """The implicit reward of a policy as it is when it is asked.

    Args:
        policy: that is aligned.
        initial_policy: never changed.
        beta: nats of the log-ratio are multiplied by it.
        samples: the initial policy's, on the prompts of the curve.
    """

    def __init__(
        self, policy: PreTrainedModel, initial_policy: PreTrainedModel, beta: float, samples: PoolSamples
    ) -> None:
        self._policy, self._initial_policy, self._beta = policy, initial_policy, beta
        prompts, per_prompt = samples.shape
        self._shape = prompts, min(_BASELINE_SAMPLES, per_prompt)
        self._first = samples.first(self._shape[1])
        self._reference_B = response_log_probs(initial_policy, self._first.sequences)

    def rate(self, responses: Responses) -> Array:
        """Scores. Shape: (B,)."""
        log_p_B, log_q_B = (
            response_log_probs(policy, responses.sequences) for policy in (self._policy, self._initial_policy)
        )
        return self._beta * (log_p_B - log_q_B).double().numpy()

    def baseline_P(self) -> Array:
        """Mean score of the initial policy's samples on each prompt. Shape: (P,)."""
        log_ratio_B = response_log_probs(self._policy, self._first.sequences) - self._reference_B
        return self._beta * log_ratio_B.double().numpy().reshape(self._shape).mean(axis=1)
