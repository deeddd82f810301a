"""Kind `audit`: gold of an optimized policy at its peak, on prompts that served no choice.

The peak is where the curve of the policy run, on the `curve` prompts, is highest: it is not chosen again.
"""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.curve import Curve
from mlproject.names import Artifact, Kind, Metric, Role, Split, Stage, Tag
from mlproject.optimization import METHODS
from mlproject.pipeline.loading import load_checkpoint
from mlproject.pipeline.reward import usage_metrics
from mlproject.pipeline.step import CALL_OPTIONS, Run, RunRef, Step
from mlproject.pipeline.task import load_task


def audit(config: Config, policy_run: RunRef, proxy: RunRef, pool: Step, method: str) -> Step:
    """Plan the measurement of a finished policy run on the audit prompts.

    Args:
        config: options of the method.
        policy_run: the finished run; its parameters name the proxy.
        proxy: the proxy RM that it was optimized against.
        pool: the initial policy's samples on the audit prompts; its inputs name initial policy and gold RM.
        method: name of the method of the policy run.
    """
    options = config.of_method(method)
    rm_params = {name: policy_run.params[name] for name in ("rm_size", "rm_params") if name in policy_run.params}
    return Step(
        name=f"audit of {method} against {rm_params.get('rm_size', 'a proxy')} seed {policy_run.params['seed']}",
        kind=Kind.AUDIT,
        version=1,
        params={
            "method": method,
            **(options.required() if METHODS[method].trains_policy else options.params()),  # trained: its checkpoint
            **config.select("world", "world_seed", "audit_prompts"),
            "seed": int(policy_run.params["seed"]),
        },
        inputs={Role.POLICY_RUN: policy_run, Role.PROXY_RM: proxy, Role.POOL: pool, **pool.inputs},
        inherited_params=rm_params,
        tags={Tag.METHOD: method},
        fn=measure_audit,
        execution_options=config.changed(*CALL_OPTIONS),
    )


def measure_audit(run: Run) -> None:
    """Measure gold at the peak. Artifacts: `audit.npz`, a curve of one point."""
    method = METHODS[run.params["method"]]
    peak = Curve.load(run.input(Role.POLICY_RUN) / Artifact.CURVE).peak()
    task = load_task(run, Split.AUDIT)
    if method.trains_policy:
        policy = load_checkpoint(run.checkpoint(Role.POLICY_RUN, Stage.PEAK), task.accelerator.device)
        point = task.evaluator.evaluate_policy(policy, peak.step)
    else:
        point = next(point for point in method.optimize(task) if point.step == peak.step)
    Curve.from_points([point]).save(run.folder / Artifact.AUDIT)
    run.log_metrics(
        {
            Metric.AUDIT_GOLD: point.gold,
            Metric.AUDIT_GOLD_SE: point.gold_se,
            Metric.AUDIT_PROXY: point.proxy,
            Metric.AUDIT_KL: point.kl,
            Metric.AUDIT_STEP: point.step,
            **usage_metrics(task.scorers),
        }
    )
