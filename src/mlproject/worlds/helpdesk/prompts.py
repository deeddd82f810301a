"""The prompts, in three disjoint splits, and how a judge interprets them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from mlproject.worlds.helpdesk.lexicon import Lexicon, Topic, lexicon

HELD_OUT = 16_384
"""Prompts in each of the splits curve and audit."""

SPLITS = ("train", "curve", "audit")


@dataclass(frozen=True)
class Customer:
    """The contents of a prompt.

    Attributes:
        topic: the problem; None if the text names no known one.
        device: the customer's device; None if the text names none.
        upset: whether the customer says to be upset.
    """

    topic: Topic | None
    device: str | None
    upset: bool


class PromptSplits:
    """All prompts that the lexicon can form, shuffled and split.

    Args:
        seed: seed of the shuffle.
    """

    def __init__(self, seed: int) -> None:
        words = lexicon()
        order = np.random.default_rng([seed, 0]).permutation(prod(_shape(words)))
        curve, audit, train = np.split(order, [HELD_OUT, 2 * HELD_OUT])
        self._numbers = {"train": train, "curve": curve, "audit": audit}

    def size(self, split: str) -> int:
        """Number of distinct prompts in a split.

        Raises:
            ValueError: for an unknown split.
        """
        return len(self._split(split))

    def take(self, split: str, count: int) -> list[str]:
        """The first `count` prompts of a split; they depend on the seed only.

        Raises:
            ValueError: for an unknown split, or more prompts than it has.
        """
        numbers = self._split(split)
        if not 0 <= count <= len(numbers):
            raise ValueError(f"{count} prompts of split {split}: it has {len(numbers)}")
        return _render(numbers[:count])

    def draw(self, split: str, count: int, rng: np.random.Generator) -> list[str]:
        """`count` prompts of a split at random, with replacement."""
        numbers = self._split(split)
        return _render(numbers[rng.integers(len(numbers), size=count)])

    def _split(self, split: str) -> NDArray[np.int64]:
        if split not in self._numbers:
            raise ValueError(f"split {split!r}: must be one of {', '.join(SPLITS)}")
        return self._numbers[split]


@lru_cache(maxsize=1 << 18)
def read_prompt(prompt: str) -> Customer:
    """Find topic, device and mood in a prompt."""
    words = lexicon()
    padded = f" {prompt} "
    topic = next((t for t in words.topics if any(f" {problem} " in padded for problem in t.problems)), None)
    device = next((word for word in prompt.split() if word in words.devices), None)
    return Customer(topic, device, any(f" {phrase} " in padded for phrase in words.upset))


def _parts(words: Lexicon) -> tuple[tuple[str, ...], ...]:
    moods = (*words.upset, *words.calm)
    return (words.greetings, words.adjectives, words.devices, words.problems, words.times, moods)


def _shape(words: Lexicon) -> tuple[int, ...]:
    return tuple(len(part) for part in _parts(words))


def _render(numbers: NDArray[np.int64]) -> list[str]:
    """The prompts with these numbers; a number is an index into all combinations of the parts (mixed radix)."""
    words = lexicon()
    parts = _parts(words)
    return [
        _sentence(*(part[index] for part, index in zip(parts, indices, strict=True)))
        for indices in np.stack(np.unravel_index(numbers, _shape(words)), axis=-1).tolist()
    ]


def _sentence(greeting: str, adjective: str, device: str, problem: str, time: str, mood: str) -> str:
    opening = f"{greeting} ," if greeting else ""
    pieces = (opening, "my", adjective, device, problem, time, ".", mood)
    return " ".join(piece for piece in pieces if piece)
