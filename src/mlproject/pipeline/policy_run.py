"""Kind `policy-run`: one optimization of the policy against one proxy, by one method: one run, one curve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.config.rules import GOLD, gold_kind
from mlproject.errors import UserError
from mlproject.optimization import KL_BUDGET, METHODS, Method
from mlproject.pipeline.pool import CURVE as CURVE_PROMPTS
from mlproject.pipeline.step import EXECUTION_OPTIONS, ProcessLimit, Run, RunRef, Step

if TYPE_CHECKING:
    from mlproject.config.schema import Config
    from mlproject.curve import Curve, CurvePoint
    from mlproject.laws import Forecast

CURVE = "curve.npz"
SAMPLES = "samples.json"
TRAVELLED = "travelled.json"
STAGES = ("start", "peak", "end")
"""Points of a curve whose responses and weights are kept."""

METHOD = "mlproject.method"
"""Tag that names the method of a policy run."""

COMPLETE = "mlproject.complete"
"""Tag, `false` on a run that ended on purpose before its budget."""

_PROXY_PARAMS = (
    "rm_size",
    "rm_params",
    "n_comparisons",
    "labels",
    "label_noise",
    "policy_size",
    "gold_size",
    "world",
    "world_seed",
)


def policy_run(
    config: Config,
    proxy: Step | RunRef,
    pool: Step,
    method: str,
    seed: int,
    earlier: Step | None = None,
    round: int = 1,
    prior: RunRef | None = None,
    kl_budget: float | None = None,
    auxiliary_rms: Mapping[str, Step] | None = None,
) -> Step:
    """The step that optimizes the policy against a proxy.

    Args:
        config: options of the method.
        proxy: a proxy RM, as a step or as a run that exists.
        pool: the initial policy's samples on the curve prompts; its inputs name initial policy and gold RM.
        method: name of a registered method.
        seed: of the policy's optimization.
        earlier: policy run of the round before, in a later round.
        round: counts from 1.
        prior: run of kind `law` whose curves the forecast starts from.
        kl_budget: nats; where `stop=kl-budget`, the run ends when it is passed.
        auxiliary_rms: reward models that score the responses without being optimized, by role (see
            `mlproject.optimization.auxiliary_rms`).

    Raises:
        UserError: for `stop=kl-budget` without one.
    """
    known: dict[str, Any] = (
        {**proxy.params} if isinstance(proxy, RunRef) else {**proxy.inherited_params, **proxy.params}
    )
    optimized = pool.inputs["initial-policy"]
    if isinstance(optimized, Step):
        known["policy_size"] = optimized.params["policy_size"]
    options = config.of_method(method)
    ends_at_kl = {"kl_budget": kl_budget} if options.get("stop") == KL_BUDGET else {}
    if ends_at_kl and kl_budget is None:
        raise UserError(
            f"stop={KL_BUDGET}: no KL budget is known; optimize against a registered version with one for {method}, "
            "proxy=models:/NAME@ALIAS, or use another stop"
        )
    penalty, about = options.get("kl_coef"), [f"{method} against {Path(known['rm_size']).name} seed {seed}"]
    about += [f"KL coefficient {penalty:g}"] if penalty else []
    about += [f"round {round}"] if round > 1 else []
    return Step(
        name=", ".join(about),
        kind="policy-run",
        version=METHODS[method].version,
        params={
            "method": method,
            **options,
            **config.select("world", "world_seed", "curve_prompts"),
            "seed": seed,
            **ends_at_kl,
            **({"forecast_prior": prior.run_id, "rm_params": int(known["rm_params"])} if prior else {}),
            **({"round": round, **config.select("rounds_from", "rounds_data")} if round > 1 else {}),
            **({"witnesses": ",".join(auxiliary_rms)} if auxiliary_rms else {}),
        },
        inputs={
            "proxy-rm": proxy,
            "pool": pool,
            **pool.inputs,
            **({"earlier": earlier} if earlier else {}),
            **({"law": prior} if prior else {}),
            **(auxiliary_rms or {}),
        },
        inherited_params={name: known[name] for name in _PROXY_PARAMS if name in known},
        tags={METHOD: method, GOLD: gold_kind(config)},
        fn=optimize_policy,
        execution_options=config.changed(*EXECUTION_OPTIONS) if METHODS[method].trains_policy else {},
        max_processes=_process_limit(config) if METHODS[method].shares_work else None,
    )


def _process_limit(config: Config) -> ProcessLimit:
    """Processes share rollouts by shards, and minibatches by rollouts."""
    batch, size, minibatches = config.ppo_batch_size, config.ppo_rollout_batch, config.ppo_minibatches
    shards = -(-batch // size) if size else 1
    if shards <= batch // minibatches:
        return ProcessLimit(shards, f"ppo_rollout_batch={size} with ppo_batch_size={batch}")
    return ProcessLimit(batch // minibatches, f"ppo_minibatches={minibatches} with ppo_batch_size={batch}")


def optimize_policy(run: Run) -> None:
    """Artifacts: `curve.npz`, `samples.json`; where the method trains a policy, its last state (`model/`, for a next
    round) and checkpoints.
    """
    from mlproject.curve import Curve
    from mlproject.laws import law_for
    from mlproject.models.collectives import broadcast
    from mlproject.monitoring.metrics import forecast_metrics, point_metrics, summaries
    from mlproject.pipeline.loading import MODEL_FOLDER, open_world
    from mlproject.pipeline.snapshots import SnapshotRecorder
    from mlproject.pipeline.task import load_task

    p = run.params
    method = METHODS[p["method"]]
    goes_on = p.get("rounds_from") == "current"
    album = SnapshotRecorder(open_world(run).prompts(CURVE_PROMPTS, p["curve_prompts"]))
    task = load_task(run, CURVE_PROMPTS, album.add)
    forecast = _forecast(run, method) if method.trains_policy else None
    points: list[CurvePoint] = []

    def ends_at(point: CurvePoint) -> bool:
        run.log_metrics(point_metrics(point, method.name), step=point.step)
        if forecast is not None:
            prediction = forecast.update(point)
            run.log_metrics(forecast_metrics(prediction), step=point.step)
            if p.get("stop") == "forecast" and point.kl >= prediction.loses_beyond_kl:
                run.set_tags({COMPLETE: "false", "forecast/stopped_at": str(point.step)})
                return True
        if "kl_budget" in p and point.kl > p["kl_budget"]:
            run.set_tags({COMPLETE: "false", "kl_budget.stopped_at": str(point.step)})
            return True
        if not run.should_continue(point):
            run.set_tags({COMPLETE: "false"})
            return True
        return False

    for point in method.optimize(task):
        points.append(point)
        if broadcast(task.accelerator, lambda: ends_at(points[-1])):
            break
    if not task.accelerator.is_main_process:
        return
    curve = Curve.from_points(points)
    curve.save(run.folder / CURVE)
    run.log_metrics(summaries(curve, method.name))
    run.set_tags({"law/form": law_for(method.name).name})
    run.log_table(album.rows(), SAMPLES)
    travelled = _travelled(curve, points[-1], run.input("earlier") if goes_on else None)
    run.log_metrics({"round/sqrt_kl_sum": travelled})
    (run.folder / TRAVELLED).write_text(json.dumps(travelled))
    for checkpoint in album.checkpoints(task.initial_policy):
        if checkpoint.name == STAGES[-1]:
            checkpoint.save(run.folder / MODEL_FOLDER)
        point = checkpoint.point
        metrics = {"gold": point.gold, "gold_se": point.gold_se, "proxy": point.proxy, "kl": point.kl}
        run.log_checkpoint(checkpoint.name, point.step, metrics, checkpoint.save)


def _forecast(run: Run, method: Method) -> Forecast:
    """A forecast for this run, with what curves of other reward models say where a law run was given."""
    from mlproject.laws import Forecast, Prior
    from mlproject.pipeline.law import PRIORS

    p, prior = run.params, None
    if "forecast_prior" in p:
        known = json.loads((run.input("law") / PRIORS).read_text())
        if str(p["rm_params"]) not in known.get(method.name, {}):
            raise UserError(
                f"forecast_prior={p['forecast_prior']}: says nothing of {method.name} against an RM of "
                f"{p['rm_params']} parameters; give the law run of a study that has such curves"
            )
        prior = Prior.from_dict(known[method.name][str(p["rm_params"])])
    return Forecast(method.name, prior, p.get("eval_samples", 1))


def _travelled(curve: Curve, last: CurvePoint, earlier: Path | None) -> float:
    """Distance of all rounds so far, each from the policy that it started from, square-root nats."""
    if earlier is None:
        return float(curve.sqrt_kl_S[-1])
    before: float = json.loads((earlier / TRAVELLED).read_text())
    return before + max(last.diagnostics["round_kl"], 0.0) ** 0.5
