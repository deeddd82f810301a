"""Worlds: what models read and write, and where judgement comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mlproject.curve import Array

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

HELPDESK, FILES = "helpdesk", "files"
WORLDS = (HELPDESK, FILES)


class World(Protocol):
    """Prompts, and human judgement where there is a human.

    Attributes:
        name: one of `WORLDS`.
        max_response_tokens: the longest response in tokens, end-of-sequence included.

    Axis letters: B responses.
    """

    name: str
    max_response_tokens: int

    def prompts(self, split: str, count: int) -> list[str]:
        """The first `count` prompts of a split: `train`, `curve` or `audit`, disjoint.

        Raises:
            ValueError: for an unknown split, or more prompts than it has.
        """
        ...

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array | None:
        """Human judgement, a function of the texts alone; None where a world has no human. Shape: (B,)."""
        ...

    def text_stats(self, responses: Sequence[str]) -> dict[str, Array]:
        """Qualitative signs of over-optimization by name (length, repetition, ...). Each of shape (B,)."""
        ...


class AuthoredWorld(World, Protocol):
    """A world from which a policy and a gold RM can be taught from nothing."""

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A plain tokenizer: it adds no special tokens; its padding, separator and end differ."""
        ...

    def corpus(self, count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
        """Prompts of the train split, some more than once, and an authored response to each."""
        ...

    def distort(self, prompts: Sequence[str], responses: Sequence[str], rng: np.random.Generator) -> list[str]:
        """One variant per response, of a kind that the initial policy would not write."""
        ...


def load_world(name: str, seed: int) -> AuthoredWorld:
    """Open a world that needs no files.

    Args:
        name: `helpdesk`.
        seed: the world seed, 0 or more.

    Raises:
        ValueError: for any other name.
    """
    if name == HELPDESK:
        from mlproject.worlds.helpdesk import Helpdesk

        return Helpdesk(seed)
    raise ValueError(f"unknown world {name!r}; allowed: {HELPDESK}")
