"""The state of a policy run beside that of its method: the points drawn so far, and the snapshots of some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from mlproject.curve import Array, CurvePoint
from mlproject.resume.state import State

_SCORES = ("proxy_P", "gold_P", "human_P")


def points_state(points: Sequence[CurvePoint]) -> State:
    """Curve points as a state."""
    tensors = {
        f"{i}/{name}": torch.from_numpy(np.array(values, dtype=np.float64))
        for i, point in enumerate(points)
        for name in _SCORES
        if (values := getattr(point, name)) is not None
    }
    numbers = [
        {
            "step": int(point.step),
            "kl": float(point.kl),
            "statistics": _floats(point.statistics),
            "diagnostics": _floats(point.diagnostics),
        }
        for point in points
    ]
    return State(tensors, {"points": numbers})


def points_of(state: State) -> list[CurvePoint]:
    """The curve points of a state."""
    scores: list[dict[str, Array]] = [{} for _ in state.values["points"]]
    for key, tensor in state.tensors.items():
        index, name = key.split("/")
        scores[int(index)][name] = tensor.numpy()
    return [CurvePoint(**numbers, **each) for numbers, each in zip(state.values["points"], scores, strict=True)]


def _floats(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
