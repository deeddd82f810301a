"""What a world is: once opened (`World`), and before (`WorldSpec`, which imports nothing heavy)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from transformers import PreTrainedTokenizerFast

    from mlproject.curve import Array
    from mlproject.options.declaration import BrokenRule
    from mlproject.options.study import StudyOptions


@dataclass(frozen=True)
class Phrases:
    """Words that say nothing, in the language of a world's responses.

    Attributes:
        stock: phrases that may end any response, each one that a reward model might like for itself.
        filler: a sentence, or words, that only make a response longer.
    """

    stock: tuple[str, ...]
    filler: str


class World(Protocol):
    """Prompts, and human judgement where there is a human.

    Attributes:
        name: key of the world in `mlproject.worlds.WORLDS`.
        max_response_tokens: length of the longest response in tokens, end-of-sequence included.
        phrases: stock phrases and filler, which probes of reward models append.

    Axis letters: B responses.
    """

    name: str
    max_response_tokens: int
    phrases: Phrases

    def prompts(self, split: str, count: int) -> list[str]:
        """The first `count` prompts of a split: `train`, `curve` or `audit`, which are disjoint.

        Raises:
            ValueError: for an unknown split, or more prompts than it has.
        """
        ...

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array | None:
        """Human judgement, a function of the texts alone; None where a world has no human. Shape: (B,)."""
        ...

    def text_stats(self, responses: Sequence[str]) -> Mapping[str, Array]:
        """Statistics of texts that change with over-optimization (length, repetition, ...). Each of shape (B,)."""
        ...


class AuthoredWorld(World, Protocol):
    """A world from which a policy and a gold RM can be trained from scratch."""

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A plain tokenizer: it adds no special tokens; padding, separator and end-of-sequence are distinct tokens."""
        ...

    def corpus(self, count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
        """Prompts of the train split, drawn with replacement, and an authored response to each."""
        ...

    def distort(self, prompts: Sequence[str], responses: Sequence[str], rng: np.random.Generator) -> list[str]:
        """One variant per response, of a kind that the initial policy would not write."""
        ...


class WorldSpec(ABC):
    """A registered world: what must be known of it before it is opened.

    Attributes:
        name: value of the option `world`.
        help: half a line for `--help`.
        has_human: whether `World.judge` returns scores, so that a gold RM can be trained.
        imports_policy: whether the initial policy and the prompts are a user's; otherwise the study trains the policy
            on the world's corpus.
        options: options that this world alone reads; with any other they must be empty.
    """

    name: str
    help: str
    has_human: bool
    imports_policy: bool
    options: tuple[str, ...] = ()

    @abstractmethod
    def open(self, seed: int, policy_artifacts: Callable[[], Path]) -> World:
        """The world itself.

        Args:
            seed: the world seed; 0 or more.
            policy_artifacts: returns the folder with the artifacts of the initial policy; called only if the world is
                stored there.
        """

    def broken_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        """Rules that do not hold between the options that depend on the world."""
        yield from ()

    def options_from_params(self, policy: Mapping[str, str], comparisons: Mapping[str, str]) -> dict[str, str]:
        """The options that a study of this world was started with, as texts, beside those with the same name.

        Args:
            policy: parameters of the run of the initial policy.
            comparisons: parameters of the run of the comparisons; those of the policy if there is none.
        """
        return {}


@dataclass(frozen=True)
class AuthoredWorldSpec(WorldSpec):
    """A world that is part of the package and needs nothing but its seed.

    Attributes:
        entry: MODULE:CLASS; the class takes the world seed.
    """

    name: str
    help: str
    entry: str
    has_human = True
    imports_policy = False

    def create(self, seed: int) -> AuthoredWorld:
        """Import and build the world."""
        module, _, attribute = self.entry.partition(":")
        return getattr(import_module(module), attribute)(seed)

    def open(self, seed: int, policy_artifacts: Callable[[], Path]) -> World:
        return self.create(seed)
