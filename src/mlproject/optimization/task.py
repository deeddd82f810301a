"""What an optimization method is given: a policy, a proxy to climb, prompts, and an opaque evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from transformers import PreTrainedModel

from mlproject.models.progress import Progress, no_progress
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.scorers import Scorer
from mlproject.models.sequences import Prompts
from mlproject.optimization.evaluator import Evaluator


@dataclass(frozen=True)
class OptimizationTask:
    """One policy, one proxy: the task of a policy run.

    Gold and human scores stand behind the evaluator. A method calls it to obtain the curve points that it yields; what
    it climbs is `proxy`.

    Attributes:
        initial_policy: KL is measured from it; never changed.
        start_policy: where optimization starts: the initial policy but in a later round of an iterated run.
        proxy: calibrated, gold standard deviations.
        prompt_format: of the policy; its longest response is what the policy may write.
        train_texts: prompts that a method may sample responses for.
        samples: responses of the initial policy to the curve prompts, those to one prompt side by side.
        samples_per_prompt: how many there are to each (N).
        log_prob_PN: their log-probability under the initial policy, nats. Shape: (P, N).
        evaluator: turns a policy, or a choice from the pool, into a curve point.
        options: the method's own part of the configuration, by name.
        accelerator: device and precision.
        generator: source of the method's randomness, on the accelerator's device.
        progress: told the finished share.
    """

    initial_policy: PreTrainedModel
    start_policy: PreTrainedModel
    proxy: Scorer
    prompt_format: PromptFormat
    train_texts: Sequence[str]
    samples: Responses
    samples_per_prompt: int
    log_prob_PN: NDArray[np.float64]
    evaluator: Evaluator
    options: Mapping[str, Any]
    accelerator: Accelerator
    generator: torch.Generator
    progress: Progress = no_progress

    @cached_property
    def train_prompts(self) -> Prompts:
        """The training prompts as the policy reads them, on the accelerator's device."""
        return self.prompt_format.encode_prompts(self.train_texts).to(self.accelerator.device)
