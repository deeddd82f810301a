"""N samples of the initial policy for each of P prompts, in files of some prompts each.

No file holds more than `BLOCK` samples, unless one prompt has more, and a file is read when it is asked for: memory
stays bounded however many samples there are. Token ids are packed, the prompt of N samples is stored once.

Axis letters: P prompts, N samples per prompt in the pool, B responses, U unique responses, T tokens of a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from mlproject.curve import Array
from mlproject.models.generation import sample_responses
from mlproject.models.kept_scores import kept_in
from mlproject.models.progress import Progress, no_progress
from mlproject.models.prompt_format import PromptFormat, Responses, joined
from mlproject.models.responses_state import responses_of, responses_state
from mlproject.models.sequences import Sequences, unique
from mlproject.resume.resumption import Resumption
from mlproject.resume.row import Row
from mlproject.resume.state import State, generator_state, load_generator, merge

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCK = 2**19
"""Samples of a file."""

_LOG_PROB, _HUMAN, _STATISTIC = "log_prob", "human", "sign."
_DISTINCT = "distinct"


class Judge(Protocol):
    """Human judgement and text statistics of responses; every world is a judge."""

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array | None: ...

    def text_stats(self, responses: Sequence[str]) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class PoolSamples:
    """Samples that `draw_samples` wrote, with what does not depend on a reward model.

    Attributes:
        folder: of the files.
        prompts: P texts.
        prompt_format: of the policy that wrote the samples.
    """

    folder: Path
    prompts: Sequence[str]
    prompt_format: PromptFormat

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(P, N)."""
        shapes = [self._shape(file) for file in self._files]
        return sum(prompts for prompts, _ in shapes), shapes[0][1]

    @property
    def log_prob_PN(self) -> Array:
        """Log-probability of each response under the initial policy, nats. Shape: (P, N). Read at every use."""
        return self._values(_LOG_PROB)

    @property
    def human_PN(self) -> Array | None:
        """Human judgement in its own units; None in a world without it. Shape: (P, N). Read at every use."""
        return self._values(_HUMAN) if _HUMAN in self._names else None

    @property
    def statistics(self) -> list[str]:
        """Names of the text statistics."""
        return [name.removeprefix(_STATISTIC) for name in self._names if name.startswith(_STATISTIC)]

    def statistic(self, name: str) -> Array:
        """A text statistic. Shape: (P, N). Read at every use."""
        return self._values(_STATISTIC + name)

    @property
    def distinct(self) -> float:
        """Distinct samples among all, as a share."""
        counts = [int(self._metadata(file)[_DISTINCT]) for file in self._files]
        return sum(counts) / (self.shape[0] * self.shape[1])

    @property
    def mean_length(self) -> float:
        """Mean length of the responses, tokens."""
        lengths = [self._read(file, "response_lengths") for file in self._files]
        return sum(int(each.sum()) for each in lengths) / sum(each.size for each in lengths)

    def blocks(self) -> Iterator[Responses]:
        """All samples, some prompts at a time, those of one prompt side by side."""
        start = 0
        for file in self._files:
            count = self._shape(file)[0]
            yield self._responses(file, self.prompts[start : start + count])
            start += count

    def rate(self, score: Callable[[Responses], Array], row: Row | None = None) -> Array:
        """Scores of all samples, block by block.

        Args:
            score: gives a number for each of some responses.
            row: keeps the scores of reward models as they come, for a step that is interrupted.

        Returns:
            shape (P, N), float64.
        """
        scores_PN = np.empty(self.shape)
        start = 0
        for responses in self.blocks():
            with kept_in(row):
                scores_bN = score(responses).reshape(-1, self.shape[1])
            scores_PN[start : start + len(scores_bN)] = scores_bN
            start += len(scores_bN)
        return scores_PN

    def first(self, count: int) -> Responses:
        """The first samples of every prompt. Length P * count."""
        return self.choose(np.repeat(np.arange(self.shape[0]), count), np.tile(np.arange(count), self.shape[0]))

    def choose(self, prompt_B: NDArray[np.int64], sample_B: NDArray[np.int64]) -> Responses:
        """Some of the samples, by prompt and place among the samples of the prompt.

        Args:
            prompt_B: indices of prompts, in ascending order. Shape: (B,).
            sample_B: 0 to N - 1. Shape: (B,).
        """
        parts, start = [], 0
        for file in self._files:
            count = self._shape(file)[0]
            chosen = (start <= prompt_B) & (prompt_B < start + count)
            if chosen.any():
                rows = (prompt_B[chosen] - start) * self.shape[1] + sample_B[chosen]
                parts.append(self._responses(file, self.prompts[start : start + count], rows))
            start += count
        return joined(parts)

    @cached_property
    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    @cached_property
    def _names(self) -> list[str]:
        with safe_open(self._files[0], "numpy") as file:
            return list(file.keys())

    def _values(self, name: str) -> Array:
        values_PN, start = np.empty(self.shape), 0
        for file in self._files:
            part_bN = self._read(file, name)
            values_PN[start : start + len(part_bN)] = part_bN
            start += len(part_bN)
        return values_PN

    def _responses(self, file: Path, prompts: Sequence[str], rows: NDArray[np.int64] | None = None) -> Responses:
        """The samples of a file, or those in some of its rows."""
        samples = self.shape[1]
        lengths_B = self._read(file, "response_lengths").ravel().astype(np.int64)
        first_B = np.cumsum(lengths_B) - lengths_B
        rows = np.arange(len(lengths_B)) if rows is None else rows
        starts_B = self._read(file, "prompt_lengths").astype(np.int64)[rows // samples]
        ends_B = starts_B + lengths_B[rows]
        position_T = np.arange(int(ends_B.max()))
        ids_BT = np.full((len(rows), len(position_T)), self.prompt_format.pad_id)
        prompt_ids = self._read(file, "prompt_ids")[:, : len(position_T)]
        ids_BT[:, : prompt_ids.shape[1]] = prompt_ids[rows // samples]
        is_response_BT = (starts_B[:, None] <= position_T) & (position_T < ends_B[:, None])
        row_B, column_B = is_response_BT.nonzero()
        packed = self._read(file, "response_ids")
        ids_BT[is_response_BT] = packed[first_B[rows][row_B] + column_B - starts_B[row_B]]
        sequences = Sequences(*map(torch.from_numpy, (ids_BT, starts_B, ends_B)))
        return Responses([prompts[row] for row in (rows // samples).tolist()], sequences, self.prompt_format)

    def _shape(self, file: Path) -> tuple[int, int]:
        with safe_open(file, "numpy") as opened:
            prompts, samples = opened.get_slice("response_lengths").get_shape()
        return prompts, samples

    def _read(self, file: Path, name: str) -> NDArray:
        with safe_open(file, "numpy") as opened:
            return opened.get_tensor(name)

    def _metadata(self, file: Path) -> dict[str, str]:
        with safe_open(file, "numpy") as opened:
            return opened.metadata()


def write_block(folder: Path, number: int, responses: Responses, samples: int, values: Mapping[str, Array]) -> None:
    """Write the samples of some prompts as a file.

    Args:
        folder: an existing one.
        number: the prompts of block 0 come first, then those of block 1, and so on.
        responses: those of one prompt side by side, with their log-probabilities.
        samples: N.
        values: further numbers by name, one per response: `human`, and text statistics as `sign.<name>`.
    """
    sequences, log_prob_B = responses.sequences, responses.log_prob_B
    assert log_prob_B is not None
    starts_B = sequences.starts_B.numpy()
    prompts, width = slice(None, None, samples), int(starts_B.max())
    ids_BT = sequences.ids_BT.numpy()
    ids_BT = ids_BT.astype(np.uint16 if ids_BT.max() < 2**16 else np.int32)
    position_T = np.arange(ids_BT.shape[1])
    is_response_BT = (starts_B[:, None] <= position_T) & (position_T < sequences.ends_B.numpy()[:, None])
    is_prompt_PT = position_T[:width] < starts_B[prompts, None]
    pad_id = ids_BT.dtype.type(responses.prompt_format.pad_id)
    numbers: dict[str, NDArray] = {_LOG_PROB: log_prob_B.astype(np.float32), **values}
    save_file(
        {
            "prompt_ids": np.where(is_prompt_PT, ids_BT[prompts, :width], pad_id),
            "prompt_lengths": starts_B[prompts].astype(np.int32),
            "response_ids": ids_BT[is_response_BT],
            "response_lengths": sequences.response_lengths_B.numpy().astype(np.int32).reshape(-1, samples),
            **{name: np.ascontiguousarray(each.reshape(-1, samples)) for name, each in numbers.items()},
        },
        folder / f"{number:05}.safetensors",
        {_DISTINCT: str(len(unique(sequences)[0]))},
    )


def draw_samples(
    policy: PreTrainedModel,
    prompts: Sequence[str],
    samples: int,
    folder: Path,
    *,
    prompt_format: PromptFormat,
    world: Judge,
    generator: torch.Generator,
    batch: int,
    progress: Progress = no_progress,
    resumption: Resumption | None = None,
) -> PoolSamples:
    """Sample responses of the initial policy and write them.

    Args:
        policy: the initial policy, in eval mode.
        prompts: P texts.
        samples: N.
        folder: an existing one, for the files.
        prompt_format: of the policy.
        world: human judgement and text statistics.
        generator: source of the samples' randomness, on the policy's device.
        batch: responses sampled at a time.
        progress: callback for the finished share, 0 to 1.
        resumption: where the samples are kept as they are drawn.
    """
    row = (resumption or Resumption()).row("samples")

    def drawn(texts: Sequence[str]) -> Responses:
        def draw() -> State:
            responses = sample_responses(
                policy, prompt_format, texts, generator=generator, samples_per_prompt=samples, batch_size=batch
            )
            return merge({"responses": responses_state(responses), "generator": generator_state(generator)})

        state = row.next(draw)
        load_generator(generator, state.within("generator"))
        return responses_of(state.within("responses"), texts, prompt_format)

    at_a_time = max(1, batch // samples)  # where files end has no influence on a sample
    size = max(1, BLOCK // samples // at_a_time) * at_a_time
    for number, start in enumerate(range(0, len(prompts), size)):
        texts = prompts[start : start + size]
        parts = []
        for first in range(0, len(texts), at_a_time):
            progress((start + first) / len(prompts))
            parts.append(drawn(texts[first : first + at_a_time]))
        responses = joined(parts)
        write_block(folder, number, responses, samples, judged(world, responses))
    return PoolSamples(folder, prompts, prompt_format)


def judged(world: Judge, responses: Responses) -> dict[str, Array]:
    """Human judgement and text statistics; a text is judged once, however often it was sampled."""
    _, index_B = unique(responses.sequences)
    _, first_U = np.unique(index_B.numpy(), return_index=True)
    distinct = responses.select(torch.from_numpy(first_U))
    human_U = world.judge(distinct.prompts, distinct.texts)
    values_U = {} if human_U is None else {_HUMAN: human_U.astype(np.float64)}
    for name, statistic_U in world.text_stats(distinct.texts).items():
        values_U[_STATISTIC + name] = statistic_U.astype(np.float32)
    return {name: values[index_B.numpy()] for name, values in values_U.items()}
