"""What a cure declares.

Axis letters: K ensemble members, B responses, M reference responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlproject.curve import Array

PLAIN = "single"
"""The reward without a cure: one proxy RM."""

MEMBER, COMBINE, SHAPE = "member", "combine", "shape"
"""Stages: changes each member; makes one reward of several; changes one reward's numbers."""

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Start:
    """Scores of the responses that put a reward on gold's scale, as a shaping reads them: the initial policy's, in a
    later round those of the policies whose responses its comparisons hold.

    Attributes:
        mean, sd: of all of them, gold standard deviations.
        low, high: the lowest and the highest.
    """

    mean: float
    sd: float
    low: float
    high: float

    @classmethod
    def of(cls, scores_B: Array) -> Start:
        """Of scores. Shape: (B,)."""
        values = (np.mean(scores_B), np.std(scores_B), np.min(scores_B), np.max(scores_B))
        return cls(*(float(value) for value in values))


@dataclass(frozen=True)
class Cure:
    """A cure.

    Attributes:
        name: part of the value of the option `reward`.
        help: a few words.
        stage: `MEMBER`, `COMBINE` or `SHAPE`.
        options: names of the options that it reads; they become parameters of the reward's step.
        combine: for an ensemble: scores of the members, shape (K, B), and options -> shape (B,).
        shape: for a shaping: scores (B,), `Start`, reference scores of the same prompts (B, M), options -> shape (B,).
        needs_references: whether a shaping reads the scores of reference responses of the initial policy.
        of_weights: module with `apply`, for a cure that changes weights rather than scores.
    """

    name: str
    help: str
    stage: str
    options: tuple[str, ...] = ()
    combine: Callable[[Array, Options], Array] | None = None
    shape: Callable[[Array, Start, Array, Options], Array] | None = None
    needs_references: bool = False
    of_weights: str = ""

    @property
    def needs_weights(self) -> bool:
        """Whether it reads weights rather than scores."""
        return bool(self.of_weights)

    @property
    def averages_weights(self) -> bool:
        """Whether it makes one reward model of several with weights."""
        return self.needs_weights and self.stage == COMBINE

    @property
    def ends_weights(self) -> bool:
        """Whether what it makes is no longer one reward model with weights."""
        return not self.of_weights
