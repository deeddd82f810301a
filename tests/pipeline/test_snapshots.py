"""Which snapshots of a policy run are kept, and that weights are those of their own moment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlproject.curve import CurvePoint
from mlproject.optimization.evaluator import Snapshot
from mlproject.pipeline.snapshots import SnapshotRecorder

PROMPTS = ["yes", "no"]


def snapshot(step: int, gold: float, policy=None, human: float | None = None) -> Snapshot:
    point = CurvePoint(step, kl=0.5 * step, proxy_P=np.full(2, 1.0 * step), gold_P=np.full(2, gold))
    scores = np.array([gold, gold + 0.25])
    human_scores = None if human is None else np.full(2, human)
    return Snapshot(point, [f"first {step}", f"second {step}"], scores + 1, scores, human_scores, policy)


def test_the_sample_table_holds_peak_and_end_prompt_by_prompt_and_then_the_starts() -> None:
    recorder = SnapshotRecorder(PROMPTS)
    for step, gold in enumerate([0.0, 0.8, 0.5, 0.8, 0.2]):
        recorder.add(snapshot(step, gold, human=0.1))
    rows = recorder.rows()
    assert [(row["stage"], row["step"]) for row in rows] == [
        ("peak", 1), ("end", 4), ("peak", 1), ("end", 4), ("start", 0), ("start", 0),
    ]  # fmt: skip
    assert rows[2] == {
        "case": "peak: no", "response": "second 1", "stage": "peak", "prompt": "no", "step": 1, "kl": 0.5,
        "proxy": 2.05, "gold": 1.05, "human": 0.1,
    }  # fmt: skip
    assert list(rows[0])[:2] == ["case", "response"]


def test_a_run_of_one_point_is_start_peak_and_end_at_once_and_unknown_human_scores_stay_empty() -> None:
    recorder = SnapshotRecorder(PROMPTS)
    recorder.add(snapshot(3, 0.5))
    rows = recorder.rows()
    assert {row["stage"] for row in rows} == {"start", "peak", "end"} and {row["step"] for row in rows} == {3}
    assert all(row["human"] is None for row in rows)


def test_checkpoints_hold_the_weights_as_they_were_at_peak_and_end(tiny_policy, tmp_path) -> None:
    policy, architecture = tiny_policy(), tiny_policy()
    before = {name: tensor.clone() for name, tensor in architecture.state_dict().items()}
    recorder, values = SnapshotRecorder(PROMPTS), {}
    for step, gold in enumerate([0.0, 0.8, 0.2]):
        with torch.no_grad():
            for tensor in policy.parameters():
                tensor.fill_(float(step + 1))
        recorder.add(snapshot(step, gold, policy))
    checkpoints = recorder.checkpoints(architecture)
    assert [(checkpoint.name, checkpoint.point.step) for checkpoint in checkpoints] == [("peak", 1), ("end", 2)]
    for checkpoint in checkpoints:
        checkpoint.save(tmp_path / checkpoint.name)
        saved = AutoModelForCausalLM.from_pretrained(tmp_path / checkpoint.name)
        values[checkpoint.name] = set(torch.cat([tensor.detach().flatten() for tensor in saved.parameters()]).tolist())
    assert values == {"peak": {2.0}, "end": {3.0}}
    assert all(torch.equal(tensor, before[name]) for name, tensor in architecture.state_dict().items())


@pytest.mark.parametrize("points", [1, 3])
def test_a_method_that_trains_no_policy_has_no_checkpoints(points: int, tiny_policy) -> None:
    recorder = SnapshotRecorder(PROMPTS)
    for step in range(points):
        recorder.add(snapshot(step, 0.1 * step))
    assert recorder.checkpoints(tiny_policy()) == []
