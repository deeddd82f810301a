"""The pool: N samples of the initial policy per prompt, scored by gold once and shared by every proxy.

Axis letters: P prompts, N samples per prompt in the pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from mlproject.curve import Array
from mlproject.models.scorers import Scorer, rated
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.resume.resumption import Resumption


@dataclass(frozen=True)
class Pool:
    """Samples of the initial policy with their gold and human scores.

    Attributes:
        samples: the samples.
        gold_PN: gold score, standard deviations. Shape: (P, N).
        human_PN: human judgement, standard deviations; None in a world without it. Shape: (P, N).
    """

    samples: PoolSamples
    gold_PN: Array
    human_PN: Array | None

    @property
    def shape(self) -> tuple[int, int]:
        """(P, N)."""
        return self.samples.shape

    def save(self, path: Path) -> None:
        """Write the scores as one safetensors file."""
        scores = {"gold": self.gold_PN, **({} if self.human_PN is None else {"human": self.human_PN})}
        save_file({name: np.ascontiguousarray(each, dtype=np.float32) for name, each in scores.items()}, path)

    @classmethod
    def load(cls, path: Path, samples: PoolSamples) -> Pool:
        """Read a file that `save` wrote."""
        scores = {name: each.astype(np.float64) for name, each in load_file(path).items()}
        return cls(samples, scores["gold"], scores.get("human"))


def score_pool(
    samples: PoolSamples, gold: Scorer, human_units: tuple[float, float], resumption: Resumption | None = None
) -> Pool:
    """Score the samples.

    Args:
        samples: of the initial policy.
        gold: scorer, gold standard deviations.
        human_units: (mean, standard deviation) of the human judgement over the initial policy's responses.
        resumption: where scores are kept as they come.

    Raises:
        NotFiniteError: for a score of nan or infinity.
    """
    mean, sd = human_units
    human_PN = samples.human_PN
    return Pool(
        samples,
        samples.rate(lambda responses: rated(gold, responses, "gold"), (resumption or Resumption()).row("gold")),
        None if human_PN is None else (human_PN - mean) / sd,
    )
