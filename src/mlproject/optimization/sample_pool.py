"""The pool: N samples of the initial policy per prompt, scored once and shared by every proxy.

Axis letters: P prompts, N samples per prompt in the pool, B responses, U unique responses, T tokens of a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from mlproject.curve import Array
from mlproject.models.generation import sample_responses
from mlproject.models.progress import Progress, no_progress
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import Scorer, rated
from mlproject.models.sequences import Sequences, unique

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Judge(Protocol):
    """Human judgement and text statistics of responses; every world is a judge."""

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array | None: ...

    def text_stats(self, responses: Sequence[str]) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class Pool:
    """Samples of the initial policy, with the scores and statistics that do not depend on a proxy.

    Attributes:
        sequences: the samples of a prompt side by side. Length P * N.
        log_prob_PN: log-probability of each response under the initial policy, nats. Shape: (P, N).
        gold_PN: gold score, standard deviations. Shape: (P, N).
        human_PN: human judgement, standard deviations; None in a world without it. Shape: (P, N).
        statistics_PN: text statistics by name. Shape: (P, N) each.
    """

    sequences: Sequences
    log_prob_PN: Array
    gold_PN: Array
    human_PN: Array | None
    statistics_PN: Mapping[str, Array] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, N)."""
        return self.gold_PN.shape

    def first(self, samples: int) -> Sequences:
        """The first samples of every prompt. Length P * samples."""
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
            **{f"sign.{name}": _tensor(values) for name, values in self.statistics_PN.items()},
        }
        if self.human_PN is not None:
            tensors["human"] = _tensor(self.human_PN)
        save_file(tensors, path)

    @classmethod
    def load(cls, path: Path) -> Pool:
        """Read a file that `save` wrote."""
        tensors = load_file(path)
        arrays = {name: tensor.double().numpy() for name, tensor in tensors.items() if tensor.is_floating_point()}
        return cls(
            sequences=Sequences(tensors["ids"].long(), tensors["starts"].long(), tensors["ends"].long()),
            log_prob_PN=arrays["log_prob"],
            gold_PN=arrays["gold"],
            human_PN=arrays.get("human"),
            statistics_PN={
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
    """Sample responses of the initial policy and score them.

    Args:
        policy: the initial policy, in eval mode.
        prompts: P texts.
        samples: N.
        prompt_format: of the policy.
        gold: scorer, gold standard deviations.
        world: human judgement and text statistics.
        human_units: (mean, standard deviation) of the human judgement over the initial policy's responses.
        generator: source of the samples' randomness, on the policy's device.
        batch: responses sampled at a time.
        progress: callback for the finished share, 0 to 1.
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
    gold_PN = rated(gold, responses, "gold").reshape(count, samples)
    progress(0.8)

    _, index_B = unique(responses.sequences)  # a text is judged once, however often it was sampled
    _, first_U = np.unique(index_B.numpy(), return_index=True)
    distinct = responses.select(torch.from_numpy(first_U))
    human_U = world.judge(distinct.prompts, distinct.texts)
    mean, sd = human_units

    def of_samples(values_U: Array) -> Array:
        return values_U[index_B.numpy()].reshape(count, samples)

    return Pool(
        sequences=responses.sequences,
        log_prob_PN=responses.log_prob_B.reshape(count, samples),
        gold_PN=gold_PN,
        human_PN=None if human_U is None else of_samples((human_U - mean) / sd),
        statistics_PN={name: of_samples(values_U) for name, values_U in world.text_stats(distinct.texts).items()},
    )


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
