"""Snapshots of a policy run at its first, its peak and its last point, for sample tables and checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlproject.curve import CurvePoint
from mlproject.models.lora import merged_weights
from mlproject.names import Stage
from mlproject.optimization.evaluator import Snapshot
from mlproject.resume.state import State

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_SCORES = ("proxy", "gold", "human")


@dataclass(frozen=True)
class Checkpoint:
    """The policy at one curve point.

    Attributes:
        name: the stage, "peak" or "end".
        point: the curve point.
        weights: the policy's parameters, on the CPU, by name; adapters are merged.
        architecture: a model that can load them; it is not changed.
    """

    name: str
    point: CurvePoint
    weights: Mapping[str, Tensor]
    architecture: PreTrainedModel

    def save(self, folder: Path) -> None:
        """Save as a Hugging Face model."""
        model = copy.deepcopy(self.architecture)
        model.load_state_dict(self.weights)
        model.save_pretrained(folder)


class SnapshotRecorder:
    """Keeps the first snapshot of a policy run, the one of highest gold, and the last.

    Args:
        prompts: the curve prompts; the snapshots' responses answer the first of them.
    """

    def __init__(self, prompts: Sequence[str]) -> None:
        self._prompts = prompts
        self._snapshots: dict[str, Snapshot] = {}
        self._weights: dict[str, Mapping[str, Tensor]] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Keep a snapshot as the last one, and as the first or the peak where it is that."""
        peak = self._snapshots.get(Stage.PEAK)
        stages = [Stage.END]
        if peak is None:
            stages.append(Stage.START)
        if peak is None or snapshot.point.gold > peak.point.gold:
            stages.append(Stage.PEAK)
        self._snapshots |= dict.fromkeys(stages, replace(snapshot, policy=None))
        if snapshot.policy is not None:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in merged_weights(snapshot.policy).items()}
            self._weights |= dict.fromkeys(stages, weights)

    def state(self) -> State:
        """All snapshots, for a run that is interrupted."""
        weights = {id(each): each for each in self._weights.values()}
        tensors = {f"weights/{key}/{name}": each for key, part in weights.items() for name, each in part.items()}
        snapshots = {}
        for stage, snapshot in self._snapshots.items():
            scores = {name: getattr(snapshot, name) for name in _SCORES if getattr(snapshot, name) is not None}
            tensors |= {f"scores/{stage}/{name}": torch.from_numpy(values) for name, values in scores.items()}
            key = id(self._weights[stage]) if stage in self._weights else None
            snapshots[stage] = {"step": snapshot.point.step, "responses": list(snapshot.responses), "weights": key}
        return State(tensors, snapshots)

    def restore(self, state: State, points: Sequence[CurvePoint]) -> None:
        """Take up the snapshots of a state.

        Args:
            state: that another recorder gave.
            points: the curve points that had been drawn.
        """
        by_step = {point.step: point for point in points}
        weights: dict[int, Mapping[str, Tensor]] = {}
        for stage, snapshot in state.values.items():
            tensors = state.within("scores").within(stage).tensors
            proxy, gold, human = (tensors[name].numpy() if name in tensors else None for name in _SCORES)
            assert proxy is not None and gold is not None
            point = by_step[snapshot["step"]]
            self._snapshots[stage] = Snapshot(point, snapshot["responses"], proxy, gold, human, None)
            if (key := snapshot["weights"]) is not None:
                weights.setdefault(key, state.within("weights").within(str(key)).tensors)
                self._weights[stage] = weights[key]

    @property
    def last(self) -> Snapshot:
        """The snapshot that was added last."""
        return self._snapshots[Stage.END]

    def rows(self) -> list[dict[str, Any]]:
        """The sample table: one row per prompt and stage, the same columns for every method.

        MLflow's table view lays runs side by side by the first column and shows the second: hence their order. Peak
        and end of each prompt come first: at the start all runs of a method are alike.
        """
        prompts = range(len(self._snapshots[Stage.PEAK].responses))
        order = [(stage, i) for i in prompts for stage in (Stage.PEAK, Stage.END)]
        return [self._row(stage, i) for stage, i in [*order, *((Stage.START, i) for i in prompts)]]

    def _row(self, stage: str, i: int) -> dict[str, Any]:
        """The response to the i-th prompt at one stage, with its scores."""
        snapshot = self._snapshots[stage]
        return {
            "case": f"{stage}: {self._prompts[i]}",
            "response": snapshot.responses[i],
            "stage": stage,
            "prompt": self._prompts[i],
            "step": snapshot.point.step,
            "kl": round(snapshot.point.kl, 3),
            "proxy": round(float(snapshot.proxy[i]), 3),
            "gold": round(float(snapshot.gold[i]), 3),
            "human": None if snapshot.human is None else round(float(snapshot.human[i]), 3),
        }

    def checkpoints(self, architecture: PreTrainedModel) -> list[Checkpoint]:
        """The policy at its peak and at its end; none where the method trains no policy.

        Args:
            architecture: a model of the same architecture.
        """
        return [
            Checkpoint(stage, self._snapshots[stage].point, self._weights[stage], architecture)
            for stage in (Stage.PEAK, Stage.END)
            if stage in self._weights
        ]
