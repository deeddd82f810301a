"""Responses and policy of a curve point, for sample tables and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlproject.curve import Array, CurvePoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHOWN_PROMPTS = 24
"""Prompts whose responses go into sample tables."""


@dataclass(frozen=True)
class Snapshot:
    """Responses and policy of a curve point, for sample tables and checkpoints.

    Attributes:
        point: the curve point.
        responses: one response to each of the first `SHOWN_PROMPTS` prompts.
        proxy, gold, human: scores of these responses above the initial policy's mean over all prompts, standard
            deviations. Length of `responses` each; `human` is None in a world without human judgement.
        policy: the measured policy; None where the point is a selection from the pool.
    """

    point: CurvePoint
    responses: Sequence[str]
    proxy: Array
    gold: Array
    human: Array | None
    policy: PreTrainedModel | None
