"""The plan of a policy run, kind `policy-run`: one optimization of the policy against one proxy, by one method.

`mlproject.pipeline.policy_curve` executes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlproject.config.schema import Config
from mlproject.errors import UserError
from mlproject.names import Kind, MlflowTag, Role, Tag
from mlproject.optimization import KL_BUDGET, METHODS
from mlproject.pipeline.cured_rm import REWARD_PARAMS
from mlproject.pipeline.policy_curve import optimize_policy
from mlproject.pipeline.run_params import RunParams
from mlproject.pipeline.step import CALL_OPTIONS, EXECUTION_OPTIONS, ProcessLimit, RunRef, Step
from mlproject.plotting.colours import rm_colours

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
)
"""Parameters of a proxy that its policy runs repeat, so that one table can be filtered and grouped."""


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
    """Plan the optimization of the policy against one proxy.

    Args:
        config: options of the method.
        proxy: a proxy RM, as a step or as a run that exists.
        pool: the initial policy's samples on the curve prompts; its inputs name initial policy and gold RM.
        method: name of a registered method.
        seed: moves the optimization of the policy.
        earlier: policy run of the round before, in a later round.
        round: counts from 1.
        prior: run of kind `law` whose curves the forecast starts from.
        kl_budget: nats; with `stop=kl-budget` the run ends at the first point above it.
        auxiliary_rms: reward models that score the responses without being optimized, by role (see
            `mlproject.optimization.auxiliary_rms`).

    Raises:
        UserError: for `stop=kl-budget` without a KL budget, and where a method that learns from comparisons has none.
    """
    proxy_params = params_of_proxy(proxy, pool)
    options = config.of_method(method)
    stops_at_budget = options.stops_at == KL_BUDGET
    if stops_at_budget and kl_budget is None:
        raise UserError(
            f"stop={KL_BUDGET}: needs a registered version that names a KL budget for {method}. Give one, "
            "proxy=models:/NAME@ALIAS, or use another stop."
        )
    return Step(
        name=_run_name(method, proxy_params, seed, options.variant, round),
        kind=Kind.POLICY_RUN,
        version=METHODS[method].version,
        params={
            "method": method,
            **options.params(),
            **config.select("world", "world_seed", "curve_prompts"),
            "seed": seed,
            **({"forecast_prior": prior.run_id, "rm_params": int(proxy_params["rm_params"])} if prior else {}),
            **RunParams(
                round=round,
                rounds_from=config.rounds_from if round > 1 else "",
                rounds_data=config.rounds_data if round > 1 else "",
                auxiliary_rms=tuple(auxiliary_rms or ()),
                kl_budget=kl_budget if stops_at_budget else None,
            ).to_params(),
        },
        inputs={
            Role.PROXY_RM: proxy,
            Role.POOL: pool,
            **pool.inputs,
            **({} if METHODS[method].needs_proxy else {Role.COMPARISONS: _comparisons_of(proxy, method)}),
            **({Role.EARLIER: earlier} if earlier else {}),
            **({Role.LAW: prior} if prior else {}),
            **(auxiliary_rms or {}),
        },
        inherited_params=proxy_params,
        tags={
            Tag.METHOD: method,
            Tag.GOLD: config.gold_source.kind,
            **({Tag.REWARD: proxy_params["reward"]} if "reward" in proxy_params else {}),
            MlflowTag.RUN_COLOR: rm_colours([*config.rm_sizes, proxy_params["rm_size"]])[proxy_params["rm_size"]],
        },
        fn=optimize_policy,
        execution_options=config.changed(*CALL_OPTIONS, *(EXECUTION_OPTIONS if METHODS[method].trains_policy else ())),
        max_processes=ProcessLimit(*options.process_limit) if METHODS[method].trains_policy else None,
    )


def params_of_proxy(proxy: Step | RunRef, pool: Step) -> dict[str, Any]:
    """The parameters of a proxy that its policy runs repeat."""
    params: dict[str, Any] = dict(proxy.params)
    if isinstance(proxy, Step):
        params = {**proxy.inherited_params, **params}
    policy = pool.inputs[Role.INITIAL_POLICY]
    if isinstance(policy, Step):
        params["policy_size"] = policy.params["policy_size"]
    return {name: params[name] for name in _PROXY_PARAMS if name in params}


def _comparisons_of(proxy: Step | RunRef, method: str) -> Step | RunRef:
    """The comparisons that a proxy learned from, for a method that learns from them too."""
    if isinstance(proxy, Step) and Role.COMPARISONS in proxy.inputs:
        return proxy.inputs[Role.COMPARISONS]
    raise UserError(
        f"{method}: needs the comparisons that the proxy RM learned from, and this proxy is not trained here. Give a "
        "size, such as proxy=25k."
    )


def _run_name(method: str, proxy: Mapping[str, Any], seed: int, variant: str, round: int) -> str:
    """What tells runs apart comes first: MLflow's lists show the first 23 letters."""
    parts = [Path(proxy["rm_size"]).name, proxy.get("reward", ""), variant, f"round {round}" if round > 1 else ""]
    return " ".join([*filter(None, parts), f"seed {seed}, {method}"])
