"""The plan of a policy run, kind `policy-run`: one optimization of the policy against one proxy, by one method.

`mlproject.pipeline.policy_curve` executes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlproject.config.schema import Config
from mlproject.cures import REWARD_PARAMS
from mlproject.errors import UserError
from mlproject.models.inspection import inspect_policy
from mlproject.models.sizes import SIZES
from mlproject.names import Kind, MlflowTag, Role, RolePrefix, Tag
from mlproject.optimization import KL_BUDGET, METHODS
from mlproject.pipeline.policy_curve import optimize_policy
from mlproject.pipeline.proxy_rm import RM_LOSS
from mlproject.pipeline.run_params import RunParams
from mlproject.pipeline.step import CALL_OPTIONS, EXECUTION_OPTIONS, ProcessLimit, RunRef, Step
from mlproject.plotting.colours import rm_colours
from mlproject.preferences import HALVES

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
    *REWARD_PARAMS,
    *RM_LOSS,
    "rm_start",
    "ranked_responses",
)
"""Parameters of a proxy that its policy runs repeat, so that one table can be filtered and grouped."""

IMPLICIT = "implicit"
"""What `rm_size` says of a run without a proxy RM: the policy is its own reward model, of its own size."""


def policy_run(
    config: Config,
    proxy: Step | RunRef | None,
    pool: Step,
    method: str,
    seed: int,
    earlier: Step | None = None,
    round: int = 1,
    prior: RunRef | None = None,
    kl_budget: float | None = None,
    auxiliary_rms: Mapping[str, Step] | None = None,
    comparisons: Sequence[Step] = (),
) -> Step:
    """Plan the optimization of the policy against one proxy, or by the comparisons themselves.

    Args:
        config: options of the method.
        proxy: a proxy RM, as a step or as a run that exists; of no use to a method that needs none.
        pool: the initial policy's samples on the curve prompts; its inputs name initial policy and gold RM.
        method: name of a registered method.
        seed: moves the optimization of the policy.
        earlier: policy run of the round before, in a later round.
        round: counts from 1.
        prior: run of kind `law` whose curves the forecast starts from.
        kl_budget: nats; with `stop=kl-budget` the run ends at the first point above it.
        auxiliary_rms: reward models that score the responses without being optimized, by role (see
            `mlproject.optimization.auxiliary_rms`).
        comparisons: what a method that needs no proxy learns from; of several, the last is this round's.

    Raises:
        UserError: for `stop=kl-budget` without a KL budget, and where a method lacks the proxy or the comparisons that
            it needs.
    """
    learned = _learned_from(config, method, proxy, pool, comparisons)
    options = config.of_method(method)
    stops_at_budget = options.stops_at == KL_BUDGET
    if stops_at_budget and kl_budget is None:
        raise UserError(
            f"stop={KL_BUDGET}: needs a registered version that names a KL budget for {method}. Give one, "
            "proxy=models:/NAME@ALIAS, or use another stop."
        )
    rm_size = learned.inherited["rm_size"]
    return Step(
        name=_run_name(method, learned.inherited, seed, options.variant, round),
        kind=Kind.POLICY_RUN,
        version=METHODS[method].version + options.revision,
        params={
            "method": method,
            **options.params(),
            **config.select("world", "world_seed", "curve_prompts"),
            "seed": seed,
            **({"forecast_prior": prior.run_id, "rm_params": int(learned.inherited["rm_params"])} if prior else {}),
            **RunParams(
                round=round,
                rounds_from=config.rounds_from if round > 1 else "",
                rounds_data=config.rounds_data if round > 1 else "",
                auxiliary_rms=tuple(auxiliary_rms or ()),
                kl_budget=kl_budget if stops_at_budget else None,
            ).to_params(),
            **learned.params,
        },
        inputs={
            **learned.inputs,
            Role.POOL: pool,
            **pool.inputs,
            **({Role.EARLIER: earlier} if earlier else {}),
            **({Role.LAW: prior} if prior else {}),
            **(auxiliary_rms or {}),
        },
        inherited_params=learned.inherited,
        tags={
            Tag.METHOD: method,
            Tag.GOLD: config.gold_source.kind,
            **({Tag.REWARD: learned.inherited["reward"]} if "reward" in learned.inherited else {}),
            MlflowTag.RUN_COLOR: rm_colours([*config.rm_sizes, rm_size])[rm_size],
        },
        fn=optimize_policy,
        execution_options=config.changed(*CALL_OPTIONS, *(EXECUTION_OPTIONS if METHODS[method].trains_policy else ())),
        max_processes=ProcessLimit(*options.process_limit) if METHODS[method].trains_policy else None,
    )


class _Learned(NamedTuple):
    """What a policy run learns from.

    Attributes:
        inputs: by role.
        params: what the result depends on beside them.
        inherited: parameters of the reward that is optimized: of the proxy, or of the policy's own implicit reward.
    """

    inputs: Mapping[str, Step | RunRef]
    params: Mapping[str, Any]
    inherited: Mapping[str, Any]


def _learned_from(
    config: Config, method: str, proxy: Step | RunRef | None, pool: Step, comparisons: Sequence[Step]
) -> _Learned:
    if METHODS[method].needs_proxy:
        assert proxy is not None, f"{method} needs a proxy"
        return _Learned({Role.PROXY_RM: proxy}, {}, params_of_proxy(proxy, pool))
    if not comparisons:
        raise UserError(
            f"{method}: needs comparisons, since it learns from them and optimizes no proxy RM. Use a method that "
            f"optimizes one: {', '.join(each.name for each in METHODS.values() if each.needs_proxy)}."
        )
    *before, last = comparisons
    inputs = {Role.COMPARISONS: last, **{f"{RolePrefix.EARLIER}{i}": step for i, step in enumerate(before)}}
    params: dict[str, Any] = {"earlier": len(before)} if before else {}
    if config.test_rms or config.gold_source.is_test_rm:  # these learn from the other half
        params["half"] = HALVES[0]
    inherited = config.select("world", "world_seed", "policy_size", "gold_size", "n_comparisons", "label_noise")
    inherited |= {"labels": last.params["labels"], "rm_size": IMPLICIT, "rm_params": _policy_parameters(config)}
    for role, name in ((Role.INITIAL_POLICY, "policy_size"), (Role.GOLD_RM, "gold_size")):
        step = pool.inputs[role]
        inherited[name] = step.params.get(name, inherited[name])
    return _Learned(inputs, params, inherited)


def _policy_parameters(config: Config) -> int:
    """Parameters of the optimized policy, which is its own reward model."""
    if config.world_spec.imports_policy:
        return inspect_policy(config.policy_checkpoint, "policy").parameters
    return SIZES[config.policy_size].reward_model_parameters


def params_of_proxy(proxy: Step | RunRef, pool: Step) -> dict[str, Any]:
    """The parameters of a proxy that its policy runs repeat."""
    params: dict[str, Any] = dict(proxy.params)
    if isinstance(proxy, Step):
        params = {**proxy.inherited_params, **params}
    policy = pool.inputs[Role.INITIAL_POLICY]
    if isinstance(policy, Step):
        params["policy_size"] = policy.params["policy_size"]
    return {name: params[name] for name in _PROXY_PARAMS if name in params}


def _run_name(method: str, inherited: Mapping[str, Any], seed: int, variant: str, round: int) -> str:
    """What tells runs apart comes first: MLflow's lists show the first 23 letters."""
    rm = Path(inherited["rm_size"]).name if METHODS[method].needs_proxy else ""
    start = f"from {inherited['rm_start']}" if "rm_start" in inherited else ""
    parts = [rm, start, inherited.get("reward", ""), variant, f"round {round}" if round > 1 else ""]
    return " ".join([*filter(None, parts), f"seed {seed}, {method}"])
