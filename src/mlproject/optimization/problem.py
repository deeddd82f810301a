"""What an optimization method is given: a policy, a proxy to climb, prompts, and a meter that it cannot look into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from mlproject.models.reward_model import RewardModel
from mlproject.models.sequences import Prompts
from mlproject.models.training import Progress, silent
from mlproject.optimization.meter import Meter
from mlproject.optimization.pool import Pool


@dataclass(frozen=True)
class Problem:
    """One policy, one proxy: the task of a policy run.

    Gold and human scores stand behind the meter alone. A method calls it to obtain curve points and reads nothing
    from them; it climbs `proxy`.

    Attributes:
        initial_policy: where optimization starts and KL is measured from; never changed.
        proxy: calibrated reward model, gold standard deviations.
        train_prompts: what a method may sample responses for.
        pool: samples of the initial policy on the curve prompts.
        meter: turns a policy, or a choice from the pool, into a curve point.
        max_response_tokens: longest response, end-of-sequence included.
        options: the method's own part of the configuration, by name.
        accelerator: device, precision, processes.
        generator: source of the method's randomness, on the accelerator's device.
        progress: told the finished share.
    """

    initial_policy: PreTrainedModel
    proxy: RewardModel
    train_prompts: Prompts
    pool: Pool
    meter: Meter
    max_response_tokens: int
    options: Mapping[str, Any]
    accelerator: Accelerator
    generator: torch.Generator
    progress: Progress = silent
