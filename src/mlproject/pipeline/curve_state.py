"""The state of a policy run beside that of its method: the points drawn so far, and the snapshots of some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mlproject.curve import CurvePoint
from mlproject.resume.state import State

_SCORES = ("proxy_P", "gold_P", "human_P", "win_P")


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
            "kl": repr(float(point.kl)),
            "statistics": _as_texts(point.statistics),
            "diagnostics": _as_texts(point.diagnostics),
        }
        for point in points
    ]
    return State(tensors, {"points": numbers})


def points_of(state: State) -> list[CurvePoint]:
    """The curve points of a state."""

    def point(i: int, numbers: Mapping[str, Any]) -> CurvePoint:
        proxy_P, gold_P, human_P, win_P = (state.tensors.get(f"{i}/{name}") for name in _SCORES)
        assert proxy_P is not None and gold_P is not None
        human = None if human_P is None else human_P.numpy()
        return CurvePoint(
            step=numbers["step"],
            kl=float(numbers["kl"]),
            proxy_P=proxy_P.numpy(),
            gold_P=gold_P.numpy(),
            human_P=human,
            statistics={name: float(value) for name, value in numbers["statistics"].items()},
            diagnostics={name: float(value) for name, value in numbers["diagnostics"].items()},
            win_P=None if win_P is None else win_P.numpy(),
        )

    return [point(i, numbers) for i, numbers in enumerate(state.values["points"])]


def _as_texts(values: Mapping[str, float]) -> dict[str, str]:
    """Numbers as texts that give back the same number, nan and infinity among them."""
    return {name: repr(float(value)) for name, value in values.items()}
