"""Kind `policy-run`, measured: somebody's finished training as one curve, from checkpoints that it left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from mlproject.config.schema import Config
from mlproject.errors import UserError
from mlproject.names import Kind, MlflowTag, Role, RolePrefix, Split, Tag
from mlproject.optimization import method_named
from mlproject.optimization.method import Method
from mlproject.optimization.method_config import MethodConfig
from mlproject.optimization.on_policy.config import OnPolicyConfig
from mlproject.options.declaration import shared_option
from mlproject.options.paths import expanded, is_folder
from mlproject.options.series import Series, SeriesItem
from mlproject.pipeline.external.checkpoint import check_checkpoint, load_point, measured_checkpoint
from mlproject.pipeline.loading import open_world
from mlproject.pipeline.policy_curve import draw_curve, save_curve
from mlproject.pipeline.policy_run import params_of_proxy
from mlproject.pipeline.snapshots import SnapshotRecorder
from mlproject.pipeline.step import Run, RunRef, Step
from mlproject.plotting.colours import rm_colours
from mlproject.strict_json import strict_json

_LEAST = 2


@dataclass(frozen=True, kw_only=True)
class SeriesConfig(MethodConfig):
    """What a run has to say that was measured on checkpoints, whatever optimized the policy."""

    HEADING: ClassVar[str] = OnPolicyConfig.HEADING

    eval_samples: int = shared_option(OnPolicyConfig, "eval_samples")

    @property
    def samples_per_prompt(self) -> int:
        return self.eval_samples


@dataclass(frozen=True)
class SeriesPlan:
    """The steps that make one curve of a series of checkpoints.

    Attributes:
        points: one for each checkpoint, by step.
        policy_run: their curve.
    """

    points: list[Step]
    policy_run: Step


def method_of(name: str) -> Method:
    """The method of a training that this project did not do, by the name that the user gives it.

    Raises:
        UserError: for a name that no metric could have, or a method that trains no policy.
    """
    method = method_named(name)
    if not method.trains_policy:
        raise UserError(f"method={name}: must be a method that trains a policy, such as grpo; {method.title} does not.")
    return replace(method, config_class=SeriesConfig)


def plan_series(
    config: Config, items: Sequence[SeriesItem], proxy: Step | RunRef, pool: Step, method: Method
) -> SeriesPlan:
    """Plan the measurement of a series of checkpoints.

    Args:
        config: `policy` is the initial policy.
        items: the checkpoints, see `checked_items`.
        proxy: the reward model that the training optimized.
        pool: the initial policy's samples on the curve prompts.
        method: see `method_of`.
    """
    points = [measured_checkpoint(config, item, proxy, pool) for item in items]
    params = params_of_proxy(proxy, pool)
    size = params["rm_size"]
    run = Step(
        name=f"{method.name} against {Path(size).name}, {len(items)} checkpoints",
        kind=Kind.POLICY_RUN,
        version=1,
        params={
            "method": method.name,
            **config.select("world", "world_seed", "curve_prompts", "eval_samples", "seed"),
            "checkpoints": strict_json([item.step for item in items]),
        },
        inputs={
            Role.PROXY_RM: proxy,
            Role.POOL: pool,
            **pool.inputs,
            **{f"{RolePrefix.POINT}{i}": point for i, point in enumerate(points)},
        },
        inherited_params=params,
        tags={
            Tag.METHOD: method.name,
            Tag.GOLD: config.gold_source.kind,
            MlflowTag.RUN_COLOR: rm_colours([size])[size],
        },
        fn=measure_series,
    )
    return SeriesPlan(points, run)


def checked_items(series: Series, policy: str) -> list[SeriesItem]:
    """The checkpoints by step, with the initial policy before them unless the first is the initial policy or step 0.

    Args:
        series: the checkpoints.
        policy: the initial policy: a folder, or OWNER/NAME on the hub.

    Raises:
        UserError: for a checkpoint that is no policy which began from the initial policy, or a single point.
    """
    first = series.items[0]
    initial = str(expanded(policy).resolve()) if is_folder(expanded(policy)) else policy
    items = list(series.items)
    if first.path != initial and first.step > 0:
        items = [SeriesItem(0, initial), *items]
    if len(items) < _LEAST:
        raise UserError(
            f"checkpoints={first.path}: must be at least {_LEAST} with the initial policy, since a curve needs several "
            "points. Give more checkpoints, or the policy that the training began from, policy=CHECKPOINT."
        )
    for item in items:
        check_checkpoint(item, policy)
    return items


def measure_series(run: Run) -> None:
    """Make one curve of measured checkpoints. Artifacts: `curve.npz`, `samples.json`."""
    steps = json.loads(run.params["checkpoints"])
    recorder = SnapshotRecorder(open_world(run).prompts(Split.CURVE, run.params["curve_prompts"]))
    measured = [load_point(run.input(f"{RolePrefix.POINT}{i}")) for i in range(len(steps))]
    snapshots = iter([snapshot for _, snapshot in measured])
    method = method_of(run.params["method"])
    stream = (point for point, _ in measured)
    points = draw_curve(run, method, stream, callbacks=[lambda point: recorder.add(next(snapshots))])
    curve = save_curve(run, method, points, recorder)
    run.set_tags({Tag.PEAK_STEP: str(curve.peak().step)})
