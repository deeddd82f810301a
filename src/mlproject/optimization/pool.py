"""The pool: N samples of the initial policy per prompt, scored once and shared by every proxy.

Axis letters: P prompts, N samples per prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from mlproject.models.sequences import Sequences

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Samples of the initial policy with everything about them that no proxy changes.

    Attributes:
        sequences: the samples of a prompt side by side. Length P * N.
        log_prob_PN: log-probability of each response under the initial policy, nats. Shape: (P, N).
        gold_PN: gold score, standard deviations. Shape: (P, N).
        human_PN: human judgement, standard deviations, or None. Shape: (P, N).
        signs_PN: qualitative signs by name. Shape: (P, N) each.
    """

    sequences: Sequences
    log_prob_PN: Array
    gold_PN: Array
    human_PN: Array | None
    signs_PN: Mapping[str, Array] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, N)."""
        return self.gold_PN.shape

    def first(self, samples: int) -> Sequences:
        """The first few samples of every prompt. Length P * samples."""
        prompts, per_prompt = self.shape
        index = torch.arange(prompts * per_prompt).view(prompts, per_prompt)[:, :samples].reshape(-1)
        return self.sequences.select(index)

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        tensors = {
            "ids": self.sequences.ids_BT.to(torch.int32),
            "starts": self.sequences.starts_B.to(torch.int32),
            "ends": self.sequences.ends_B.to(torch.int32),
            "log_prob": _tensor(self.log_prob_PN),
            "gold": _tensor(self.gold_PN),
            **{f"sign.{name}": _tensor(values) for name, values in self.signs_PN.items()},
        }
        if self.human_PN is not None:
            tensors["human"] = _tensor(self.human_PN)
        save_file(tensors, path)

    @classmethod
    def load(cls, path: Path) -> Pool:
        """Read what `save` wrote."""
        tensors = load_file(path)
        arrays = {name: tensor.double().numpy() for name, tensor in tensors.items() if tensor.is_floating_point()}
        return cls(
            sequences=Sequences(tensors["ids"].long(), tensors["starts"].long(), tensors["ends"].long()),
            log_prob_PN=arrays["log_prob"],
            gold_PN=arrays["gold"],
            human_PN=arrays.get("human"),
            signs_PN={
                name.removeprefix("sign."): values for name, values in arrays.items() if name.startswith("sign.")
            },
        )


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
