"""Candidates for a promotion, read from the runs of the store: their curves, and the evidence that gates check."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Run, RunData

from mlproject.config.schema import parse
from mlproject.errors import UserError
from mlproject.models.gold_source import GoldSource
from mlproject.names import GoldKind, Kind, Metric, MetricPrefix, Role, Split, Tag
from mlproject.optimization import METHODS, find_method
from mlproject.pipeline.comparisons import HELD_OUT
from mlproject.pipeline.policy_run import policy_run
from mlproject.pipeline.pool import pool
from mlproject.pipeline.step import RunRef, Step
from mlproject.pipeline.study import plan_roots
from mlproject.recommendation.measured import NAMED_OPTIONS, MeasuredRun, named_options, settings_of_runs
from mlproject.recommendation.recommend import recommend
from mlproject.recommendation.setting import Setting
from mlproject.registry.metrics import SIGNS, Evidence
from mlproject.rewards.source import RewardSource, is_reward
from mlproject.tracking.params import as_text
from mlproject.tracking.run_data import curve_of, values_by_step
from mlproject.tracking.store import Store, all_runs
from mlproject.worlds import WORLDS

if TYPE_CHECKING:
    from mlproject.config.schema import Config

_SEARCHED = ("kl_coef", "ppo_lr")
"""Options of a method that a search varies."""


@dataclass(frozen=True)
class EvaluationContext:
    """What all candidates of a promotion have in common: initial policy, gold RM, prompts and options.

    Attributes:
        config: configuration of the methods.
        pool: step that samples the initial policy on the curve prompts.
    """

    config: Config
    pool: Step

    @property
    def audit_pool(self) -> Step:
        """Step that samples the initial policy on the audit prompts."""
        return pool(self.config, self.pool.inputs[Role.INITIAL_POLICY], self.pool.inputs[Role.GOLD_RM], Split.AUDIT)

    def curve(self, proxy: Run, method: str, prior: RunRef | None = None, kl_budget: float | None = None) -> Step:
        """The policy run against an existing proxy RM, which may come from another world."""
        seed = int(proxy.data.params["seed"])
        return policy_run(self.config, run_ref(proxy), self.pool, method, seed, prior=prior, kl_budget=kl_budget)


def evaluation_context(config: Config) -> EvaluationContext:
    """The context of a study with this configuration."""
    return EvaluationContext(config, plan_roots(config).pool)


def evaluation_context_of_proxy(client: MlflowClient, config: Config, proxy: Run) -> EvaluationContext:
    """The context that a proxy RM was trained in: its initial policy and gold RM, with the options of the methods.

    Raises:
        UserError: for one that was promoted from a table of samples, which names no policy, without a policy.
    """
    if is_of_samples(proxy):
        if config.world_spec.imports_policy:
            return evaluation_context(config)
        raise UserError(
            f"proxy={proxy.data.params['rm_size']}: was registered from a table of samples, which names no policy. "
            "Give world=files with policy, prompts and gold."
        )
    p, sources = proxy.data.params, {}
    for role, run_id in json.loads(proxy.data.tags[Tag.INPUTS]).items():
        sources[role] = run_ref(client.get_run(run_id))
    policy, gold = sources[Role.INITIAL_POLICY], sources[Role.GOLD_RM]
    options = {
        "world": p["world"],
        "world_seed": int(p["world_seed"]),
        **_world_options(sources),
        **_gold_options(gold.params),
    }
    config = config.replace(**options)
    return EvaluationContext(config, pool(config, policy, gold))


def _world_options(sources: Mapping[str, RunRef]) -> dict[str, Any]:
    """The options of its world that the proxy was trained with; those of other worlds are empty."""
    policy = sources[Role.INITIAL_POLICY].params
    comparisons = sources[Role.COMPARISONS].params if Role.COMPARISONS in sources else policy
    empty = {name: "" for world in WORLDS.values() for name in world.options}
    options = WORLDS[policy["world"]].options_from_params(policy, comparisons)
    return empty | {name: parse(name, text) for name, text in options.items()}


def _gold_options(gold: Mapping[str, str]) -> dict[str, Any]:
    """The options that say what plays gold."""
    source = GoldSource.of_params(gold)
    return {"gold": source.option, **({"gold_size": gold["gold_size"]} if source.is_test_rm else {})}


def is_of_samples(run: Run) -> bool:
    """Whether a reward model or curve is of a user's table of scored samples."""
    return run.data.tags.get(Tag.GOLD) == GoldKind.COLUMN


def refuse_reward(proxy: str, name: str) -> None:
    """Refuse a function or a service: a version must stand alone, and load without somebody's code.

    Args:
        proxy: as the user named it.
        name: the name of the reward, `rm_size` of its run.

    Raises:
        UserError: if it is one.
    """
    if is_reward(name):
        raise UserError(
            f"proxy={proxy}: must be a reward model, since a {RewardSource(name).kind} has no weights that a version "
            "of the registered model could hold. Use -e best_of_n or ppo to see how far it holds."
        )


def run_ref(run: Run) -> RunRef:
    """Reference to a run, as an input of a step."""
    return RunRef(run.info.run_id, run.data.tags[Tag.FINGERPRINT], run.data.params)


@dataclass(frozen=True)
class Candidate:
    """A proxy RM and its curves in one evaluation context.

    Attributes:
        proxy: run of the proxy RM.
        curves: by method, the newest policy run with the options of the configuration.
        best: by method, the policy run that the model card recommends: the one with the options of the configuration,
            unless another one (KL coefficient, ...) has a higher peak by more than noise.
        runs: all complete policy runs against it, newest first.
        measured: those of them whose curves have been read, by run id; a curve is read once.
    """

    proxy: Run
    curves: dict[str, Run] = field(default_factory=dict)
    best: dict[str, Run] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    measured: dict[str, MeasuredRun] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Size, cures and seed, for people; of a table of scored samples, the column."""
        p = self.proxy.data.params
        if is_of_samples(self.proxy):
            return p["rm_size"]
        return " ".join(filter(None, (p["rm_size"], p.get("reward", ""), f"seed {p['seed']}")))

    @property
    def is_model(self) -> bool:
        """Whether it can be registered; a column of a table cannot, and the run of its curve stands in for a model."""
        return self.proxy.data.tags[Tag.KIND] == Kind.PROXY_RM


def candidates_on_pool(client: MlflowClient, store: Store, config: Config, pool_run_id: str) -> dict[str, Candidate]:
    """All proxy RMs with a complete curve in the context of a pool.

    Args:
        client: client of the store.
        store: where the policy runs are.
        config: configuration whose options `Candidate.curves` must have.
        pool_run_id: run id of the initial policy's samples that the curves were measured against.

    Returns:
        candidates by run id of the proxy RM.
    """
    candidates: dict[str, Candidate] = {}
    on_pool = f"attributes.status = 'FINISHED' and tags.`{Tag.INPUTS}` LIKE '%{pool_run_id}%'"
    proxies = {
        run.info.run_id: run for run in all_runs(client, [store.models], f"tags.`{Tag.KIND}` = '{Kind.PROXY_RM}'")
    }
    for run in all_runs(client, [store.policy_runs], on_pool):
        tags = run.data.tags
        if json.loads(tags.get(Tag.INPUTS, "{}")).get(Role.POOL) != pool_run_id or tags.get(Tag.COMPLETE) == "false":
            continue
        if Tag.PROXY_RUN_ID not in tags:  # it learned from comparisons: there is no reward model to promote
            continue
        if is_reward(run.data.params["rm_size"]):  # code, which no version can hold
            continue
        proxy_run_id, method = tags[Tag.PROXY_RUN_ID], tags[Tag.METHOD]
        if proxy_run_id not in candidates:
            candidates[proxy_run_id] = Candidate(proxies.get(proxy_run_id) or client.get_run(proxy_run_id))
        candidate = candidates[proxy_run_id]
        candidate.runs.append(run)
        if _has_options_of(config, run):
            candidate.curves.setdefault(method, run)
    for candidate in candidates.values():
        for method in sorted({run.data.tags[Tag.METHOD] for run in candidate.runs}):
            candidate.best[method] = _best(client, config, candidate, method)
    return candidates


def _best(client: MlflowClient, config: Config, candidate: Candidate, method: str) -> Run:
    runs = {run.info.run_id: run for run in candidate.runs if run.data.tags[Tag.METHOD] == method}
    highest = max(runs.values(), key=_peak)
    if len(runs) == 1:
        return highest
    measured = [_measured(client, config, candidate, run) for run in runs.values()]
    settings = [setting for run in measured for setting in settings_of_runs([run])]
    choice = recommend(settings).choice
    return runs[next(iter(choice.setting.run_ids.values()))] if choice else highest


def settings_of_candidates(client: MlflowClient, config: Config, candidates: Mapping[str, Candidate]) -> list[Setting]:
    """All that was measured for the candidates, as the recommendation reads it: runs with the options of the
    configuration as planned ones, and those that differ in what a search may vary as the search's."""
    usual = {name: as_text(value) for name, value in config.select(*NAMED_OPTIONS).items()}
    return settings_of_runs(
        [
            _measured(client, config, candidate, run)
            for candidate in candidates.values()
            for run in candidate.runs
            if run is candidate.curves.get(run.data.tags[Tag.METHOD]) or _has_options_of(config, run, but=_SEARCHED)
        ],
        usual,
    )


def _measured(client: MlflowClient, config: Config, candidate: Candidate, run: Run) -> MeasuredRun:
    if run.info.run_id not in candidate.measured:
        candidate.measured[run.info.run_id] = _measure(client, config, candidate, run)
    return candidate.measured[run.info.run_id]


def _measure(client: MlflowClient, config: Config, candidate: Candidate, run: Run) -> MeasuredRun:
    p, method = run.data.params, find_method(run.data.tags[Tag.METHOD])
    both = {**candidate.proxy.data.params, **p}
    return MeasuredRun(
        method=method.name,
        rm=candidate.proxy.data.params["rm_size"],
        rm_params=int(both.get("rm_params", 0)),
        seed=int(p["seed"]),
        curve=curve_of(client, run),
        run_id=run.info.run_id,
        kl_coef=float(p["kl_coef"]) if method.trains_policy and "kl_coef" in p else None,
        from_search=not _has_options_of(config, run),
        options=named_options(both),
    )


def evidence_of(client: MlflowClient, candidate: Candidate, method: str) -> Evidence:
    """Evidence on a candidate that has a curve by the method, without the audit."""
    run, proxy = candidate.curves[method], candidate.proxy.data
    known = candidate.measured.get(run.info.run_id)
    curve = known.curve if known else curve_of(client, run)
    start, peak = int(curve.steps_S[0]), curve.peak().step
    signs = {name: values_by_step(client, run.info.run_id, MetricPrefix.STATISTICS + name) for name in SIGNS}
    return Evidence(
        trained=proxy.metrics,
        held_out=_held_out(proxy),
        method=method,
        curve=curve,
        signs_start={name: values[start] for name, values in signs.items() if start in values},
        signs_peak={name: values[peak] for name, values in signs.items() if peak in values},
    )


def _held_out(proxy: RunData) -> int:
    """Number of comparisons that the accuracy of a reward model was measured on."""
    params = proxy.params
    if Metric.RM_PAIRS in proxy.metrics:
        return int(proxy.metrics[Metric.RM_PAIRS])
    return int(params["held_out"]) if "held_out" in params else round(HELD_OUT * int(params["n_comparisons"]))


def _peak(run: Run) -> float:
    return run.data.metrics[Metric.PEAK_GOLD]


def _has_options_of(config: Config, run: Run, but: Collection[str] = ()) -> bool:
    """Whether a policy run has the options that the configuration gives to its method, but for some of them."""
    method = METHODS.get(run.data.tags.get(Tag.METHOD, ""))
    if method is None:
        return False
    options = {name: as_text(value) for name, value in config.of_method(method.name).params().items()}
    params = {name: run.data.params[name] for name in method.config_class.names() if name in run.data.params}
    return all(params.get(name) == options.get(name) for name in {*params, *options}.difference(but))
