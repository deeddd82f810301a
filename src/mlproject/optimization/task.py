"""The input of an optimization method: a policy, a proxy to optimize it against, prompts, and an opaque evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mlproject.models.memory import MemoryOptions
from mlproject.models.progress import Progress, no_progress
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import Scorer
from mlproject.models.sequences import Prompts
from mlproject.optimization.evaluator import Evaluator
from mlproject.optimization.method_config import MethodConfig
from mlproject.optimization.peak_forecast import PeakForecast
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.optimization.pool_scores import proxy_scores
from mlproject.resume.resumption import Resumption

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

ConfigT_co = TypeVar("ConfigT_co", bound=MethodConfig, covariant=True)


@dataclass(frozen=True)
class OptimizationTask(Generic[ConfigT_co]):
    """What a policy run optimizes, against which proxy, and how.

    A method optimizes `proxy`. Gold and human scores are hidden behind the evaluator, which gives a method the curve
    points that it yields.

    Attributes:
        initial_policy: KL is measured from it; never changed.
        start_policy: where optimization starts: the initial policy, except in a later round of an iterated run.
        proxy: calibrated scorer, gold standard deviations.
        prompt_format: of the policy; it bounds the length of a response.
        train_texts: prompts that a method may sample responses for.
        samples: the pool, N responses of the initial policy to each of the P curve prompts.
        evaluator: turns a policy, or a selection from the pool, into a curve point.
        config: the method's options.
        accelerator: device and precision.
        generator: source of the method's randomness, on the accelerator's device.
        comparisons: the labelled comparisons, one row each, where the method needs no proxy; None for all others.
        progress: callback for the finished share of the run, 0 to 1.
        memory: how a gradient step saves memory.
        resumption: where a method saves its state between steps. One that restores it yields no point that was drawn
            before.
        scorers: proxy, gold and auxiliary RMs by role, for what was asked of them.
        peak: where gold is forecast to peak, as far as options ask for it; brought up to date with every point.
        cache: folder of what several runs compute alike; None: nothing is kept there.
    """

    initial_policy: PreTrainedModel
    start_policy: PreTrainedModel
    proxy: Scorer
    prompt_format: PromptFormat
    train_texts: Sequence[str]
    samples: PoolSamples
    evaluator: Evaluator
    config: ConfigT_co
    accelerator: Accelerator
    generator: torch.Generator
    comparisons: pd.DataFrame | None = None
    progress: Progress = no_progress
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    resumption: Resumption = field(default_factory=Resumption)
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    peak: PeakForecast = field(default_factory=PeakForecast)
    cache: Path | None = None

    @property
    def samples_per_prompt(self) -> int:
        """N."""
        return self.samples.shape[1]

    def rate_samples(self) -> NDArray[np.float64]:
        """The proxy's scores of the pool, gold standard deviations. Shape: (P, N).

        Raises:
            NotFiniteError: for a score of nan or infinity.
        """
        return proxy_scores(self.proxy, self.samples, self.resumption, self.cache)

    @cached_property
    def train_prompts(self) -> Prompts:
        """The training prompts as the policy reads them, on the accelerator's device."""
        return self.prompt_format.encode_prompts(self.train_texts).to(self.accelerator.device)
