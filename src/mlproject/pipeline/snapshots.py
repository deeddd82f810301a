"""Keeps what sample tables and checkpoints of a policy run need: first, peak and last point, with texts and weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from mlproject.curve import CurvePoint
from mlproject.models.lora import merged_weights
from mlproject.names import STAGES, Stage
from mlproject.optimization.evaluator import Snapshot


@dataclass(frozen=True)
class Checkpoint:
    """Weights of the policy at one curve point, to be saved as a Hugging Face folder."""

    name: str
    point: CurvePoint
    weights: Mapping[str, Tensor]
    architecture: PreTrainedModel

    def save(self, folder: Path) -> None:
        model = copy.deepcopy(self.architecture)
        model.load_state_dict(self.weights)
        model.save_pretrained(folder)


class SnapshotRecorder:
    """Told every snapshot of a policy run; remembers the first, the one of highest gold, and the last.

    Args:
        prompts: the curve prompts; the snapshots' responses answer the first of them.
    """

    def __init__(self, prompts: Sequence[str]) -> None:
        self._prompts = prompts
        self._kept: dict[str, Snapshot] = {}
        self._weights: dict[str, Mapping[str, Tensor]] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Remember a snapshot where it is the first, the best so far, or (always) the last."""
        best = self._kept.get(Stage.PEAK)
        stages = [Stage.END]
        if best is None:
            stages.append(Stage.START)
        if best is None or snapshot.point.gold > best.point.gold:
            stages.append(Stage.PEAK)
        kept = replace(snapshot, policy=None)
        for stage in stages:
            self._kept[stage] = kept
        if snapshot.policy is not None:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in merged_weights(snapshot.policy).items()}
            self._weights |= dict.fromkeys(stages, weights)

    def rows(self) -> list[dict[str, Any]]:
        """One row per prompt and stage, the same columns for every method.

        MLflow's table view lays runs side by side by the first column and shows the second: hence their order.
        """
        rows = []
        for stage in STAGES:
            snapshot = self._kept[stage]
            for i, response in enumerate(snapshot.responses):
                rows.append(
                    {
                        "case": f"{stage}: {self._prompts[i]}",
                        "response": response,
                        "stage": stage,
                        "prompt": self._prompts[i],
                        "step": snapshot.point.step,
                        "kl": round(snapshot.point.kl, 3),
                        "proxy": round(float(snapshot.proxy[i]), 3),
                        "gold": round(float(snapshot.gold[i]), 3),
                        "human": None if snapshot.human is None else round(float(snapshot.human[i]), 3),
                    }
                )
        return rows

    def checkpoints(self, architecture: PreTrainedModel) -> list[Checkpoint]:
        """The policy at its peak and at its end; none where the method trains no policy."""
        return [
            Checkpoint(stage, self._kept[stage].point, self._weights[stage], architecture)
            for stage in (Stage.PEAK, Stage.END)
            if stage in self._weights
        ]
