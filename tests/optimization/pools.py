"""Pools whose numbers are given, written as the step of a study writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mlproject.models.prompt_format import Responses
from mlproject.optimization.pool_samples import PoolSamples, write_block
from mlproject.optimization.sample_pool import Pool


def stored_pool(
    folder: Path,
    responses: Responses,
    samples: int,
    gold_PN: np.ndarray,
    human_PN: np.ndarray | None = None,
    prompts_per_file: int | None = None,
    **statistics_PN: np.ndarray,
) -> Pool:
    """A pool of these responses, those of one prompt side by side.

    Args:
        folder: a new one.
        responses: with their log-probabilities.
        samples: responses per prompt.
        gold_PN, human_PN, statistics_PN: their scores and statistics.
        prompts_per_file: all by default.
    """
    folder.mkdir()
    prompts = responses.prompts[::samples]
    count = prompts_per_file or len(prompts)
    for number, start in enumerate(range(0, len(prompts), count)):
        rows = np.arange(start * samples, min(start + count, len(prompts)) * samples)
        numbers = {f"sign.{name}": each.ravel()[rows].astype(np.float32) for name, each in statistics_PN.items()}
        write_block(folder, number, responses.select(torch.from_numpy(rows)), samples, numbers)
    return Pool(PoolSamples(folder, prompts, responses.prompt_format), gold_PN, human_PN)
