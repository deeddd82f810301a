"""The pool: N samples of the initial policy per prompt, scored once and shared by every proxy.

Axis letters: P prompts, N samples per prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from mlproject.models.generation import sample_responses
from mlproject.models.progress import Progress, no_progress
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import Scorer
from mlproject.models.sequences import Sequences, unique

Array = NDArray[np.float64]


class Judge(Protocol):
    """What is asked of a world."""

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array | None: ...

    def text_stats(self, responses: Sequence[str]) -> Mapping[str, Array]: ...


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


def draw_pool(
    policy: PreTrainedModel,
    prompts: Sequence[str],
    samples: int,
    *,
    prompt_format: PromptFormat,
    gold: Scorer,
    world: Judge,
    human_units: tuple[float, float],
    generator: torch.Generator,
    batch: int,
    progress: Progress = no_progress,
) -> Pool:
    """Sample responses of the initial policy and have them scored.

    Args:
        policy: the initial policy, in eval mode.
        prompts: P texts.
        samples: N.
        prompt_format: of the policy.
        gold: with its units.
        world: human judgement and signs.
        human_units: (mean, standard deviation) of the human judgement over the initial policy's responses.
        generator: of the samples, on the policy's device.
        batch: responses sampled at a time.
        progress: told the finished share.
    """
    count = len(prompts)
    responses = sample_responses(
        policy,
        prompt_format,
        prompts,
        generator=generator,
        samples_per_prompt=samples,
        batch_size=batch,
        progress=lambda share: progress(0.6 * share),
    )
    assert responses.log_prob_B is not None
    gold_PN = gold.rate(responses).reshape(count, samples)
    progress(0.8)

    _, twin = unique(responses.sequences)  # a text is judged once, however often it was sampled
    _, first = np.unique(twin.numpy(), return_index=True)
    distinct = responses.select(torch.from_numpy(first))
    human_D = world.judge(distinct.prompts, distinct.texts)
    mean, sd = human_units

    def spread(values_D: Array) -> Array:
        return values_D[twin.numpy()].reshape(count, samples)

    return Pool(
        sequences=responses.sequences,
        log_prob_PN=responses.log_prob_B.reshape(count, samples),
        gold_PN=gold_PN,
        human_PN=None if human_D is None else spread((human_D - mean) / sd),
        signs_PN={name: spread(values_D) for name, values_D in world.text_stats(distinct.texts).items()},
    )


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
