"""Kind `measured-checkpoint`: one checkpoint of somebody's training, measured as a curve point.

KL from the initial policy is exact over the vocabulary, along responses that the checkpoint writes; the responses to
the held-out prompts are scored by proxy and gold, as those of every policy run are.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from mlproject.config.schema import Config
from mlproject.curve import CurvePoint
from mlproject.digest import digest_of_files
from mlproject.errors import UserError
from mlproject.models.inspection import inspect_policy
from mlproject.models.libraries import transformers
from mlproject.models.model_loading import load_causal_lm, read_config
from mlproject.models.turns import set_ends
from mlproject.names import Artifact, Kind, Metric, Role, Split
from mlproject.optimization.evaluator import Snapshot
from mlproject.options.paths import expanded, is_folder
from mlproject.options.series import SeriesItem
from mlproject.pipeline.curve_state import points_of, points_state
from mlproject.pipeline.loading import open_world
from mlproject.pipeline.snapshots import SnapshotRecorder
from mlproject.pipeline.step import Run, RunRef, Step
from mlproject.pipeline.task import load_measurement
from mlproject.resume.state import State, merge
from mlproject.strict_json import strict_json

_READ = (".safetensors", ".json", ".jinja", ".model", ".txt")
_NOT_READ = ("trainer_state.json",)
_TOKENIZER = "tokenizer.json"
_VALUES = "values"
_ARCHITECTURE = {
    "model_type": "architecture",
    "hidden_size": "hidden width",
    "num_hidden_layers": "number of layers",
    "vocab_size": "size of the vocabulary",
}
_ACTION = "Give the policy that this training began from, policy=CHECKPOINT, or leave the checkpoint out."


def measured_checkpoint(config: Config, item: SeriesItem, proxy: Step | RunRef, pool: Step) -> Step:
    """The step that measures one checkpoint.

    Args:
        config: number of prompts, and of responses to each.
        item: the checkpoint; `check_checkpoint` has looked at it.
        proxy: the reward model that the training optimized.
        pool: the initial policy's samples on the curve prompts; its inputs name initial policy and gold RM.
    """
    return Step(
        name=f"checkpoint at step {item.step}",
        kind=Kind.MEASURED_CHECKPOINT,
        version=1,
        params={
            **config.select("world", "world_seed", "curve_prompts", "eval_samples"),
            "step": item.step,
            "checkpoint": item.path,
            "checkpoint_sha256": _digest(item.path),
        },
        inputs={Role.PROXY_RM: proxy, Role.POOL: pool, **pool.inputs},
        fn=measure_checkpoint,
    )


def check_checkpoint(item: SeriesItem, initial_policy: str) -> None:
    """Check, without reading weights, that a checkpoint is a policy that can have begun from the initial policy.

    Raises:
        UserError: if it is none, or has another architecture or other tokens.
    """
    place = f"checkpoints={item.path}"
    model = load_causal_lm(item.path, place, device="meta")
    config = model.config.get_text_config()
    initial = read_config(initial_policy, f"policy={initial_policy}").get_text_config()
    same = f"of the initial policy {initial_policy}, from which KL is measured"
    for name, what in _ARCHITECTURE.items():
        own, first = getattr(config, name, None), getattr(initial, name, None)
        if own != first:
            raise UserError(f"{place}: must have the {what} {same}, {first}, not {own}. {_ACTION}")
    if (Path(item.path) / _TOKENIZER).exists():
        own, first = (
            transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False).get_vocab()
            for source in (item.path, initial_policy)
        )
        if own != first:
            raise UserError(f"{place}: must have the tokenizer {same}. {_ACTION}")


def measure_checkpoint(run: Run) -> None:
    """Measure the checkpoint. Artifacts: `point.safetensors`."""
    p = run.params
    measurement = load_measurement(run, Split.CURVE, p["eval_samples"])
    policy = load_causal_lm(p["checkpoint"], f"checkpoints={p['checkpoint']}").to(measurement.accelerator.device)
    set_ends(policy, measurement.prompt_format.tokenizer)
    point = measurement.evaluator.evaluate_policy(policy, p["step"])
    assert measurement.evaluator.snapshot is not None, "the evaluator has measured a point"
    recorder = SnapshotRecorder(open_world(run).prompts(Split.CURVE, p["curve_prompts"]))
    recorder.add(replace(measurement.evaluator.snapshot, policy=None))
    state = merge({"points": points_state([point]), "snapshots": recorder.state()})
    tensors = {name: tensor.clone().contiguous() for name, tensor in state.tensors.items()}
    save_file(tensors, run.folder / Artifact.POINT, {_VALUES: strict_json(state.values)})
    run.log_metrics(
        {
            Metric.CURVE_KL: point.kl,
            Metric.CURVE_PROXY: point.proxy,
            Metric.CURVE_GOLD: point.gold,
            Metric.CURVE_GOLD_SE: point.gold_se,
        },
        step=point.step,
    )


def load_point(artifacts: Path) -> tuple[CurvePoint, Snapshot]:
    """The curve point that `measure_checkpoint` wrote, and its responses."""
    with safe_open(artifacts / Artifact.POINT, framework="pt") as file:
        names = list(file.keys())
        state = State({name: file.get_tensor(name) for name in names}, json.loads(file.metadata()[_VALUES]))
    points = points_of(state.within("points"))
    recorder = SnapshotRecorder([])
    recorder.restore(state.within("snapshots"), points)
    return points[0], recorder.last


def _digest(source: str) -> str:
    """SHA-256 of the files that are read; optimizer and trainer states beside them do not count."""
    if not is_folder(expanded(source)):
        return inspect_policy(source, "checkpoints").digest
    folder = expanded(source)
    files = (path for path in folder.iterdir() if path.suffix in _READ and path.name not in _NOT_READ)
    return digest_of_files(folder, files)
