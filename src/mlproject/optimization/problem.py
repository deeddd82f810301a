"""What an optimization method is given: a policy, a proxy to climb, prompts, and a meter that it cannot look into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from transformers import PreTrainedModel

from mlproject.models.reward_model import RewardModel
from mlproject.models.sequences import Prompts, Sequences
from mlproject.models.training import Progress, silent
from mlproject.optimization.meter import Meter


@dataclass(frozen=True)
class Problem:
    """One policy, one proxy: the task of a policy run.

    Gold and human scores stand behind the meter. A method calls it to obtain the curve points that it hands on to its
    caller; what it climbs is `proxy`.

    Attributes:
        initial_policy: KL is measured from it; never changed.
        start_policy: where optimization starts: the initial policy but in a later round of an iterated run.
        proxy: calibrated reward model, gold standard deviations.
        train_prompts: what a method may sample responses for.
        samples: responses of the initial policy to the curve prompts, those to one prompt side by side.
        samples_per_prompt: how many there are to each (N).
        log_prob_PN: their log-probability under the initial policy, nats. Shape: (P, N).
        meter: turns a policy, or a choice from the pool, into a curve point.
        max_response_tokens: longest response, end-of-sequence included.
        options: the method's own part of the configuration, by name.
        accelerator: device and precision.
        generator: source of the method's randomness, on the accelerator's device.
        progress: told the finished share.
    """

    initial_policy: PreTrainedModel
    start_policy: PreTrainedModel
    proxy: RewardModel
    train_prompts: Prompts
    samples: Sequences
    samples_per_prompt: int
    log_prob_PN: NDArray[np.float64]
    meter: Meter
    max_response_tokens: int
    options: Mapping[str, Any]
    accelerator: Accelerator
    generator: torch.Generator
    progress: Progress = silent
