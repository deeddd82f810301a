"""What the runs of the store say of each candidate reward model: its curves, and the evidence that gates judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.config.rules import NONE, TRAINED
from mlproject.config.schema import parse
from mlproject.names import Metric, MetricPrefix, Role, Split, Tag
from mlproject.optimization import METHODS
from mlproject.pipeline.comparisons import HELD_OUT
from mlproject.pipeline.policy_run import policy_run
from mlproject.pipeline.pool import pool
from mlproject.pipeline.step import RunRef, Step
from mlproject.pipeline.study import plan_roots
from mlproject.registry.metrics import SIGNS, Evidence
from mlproject.tracking.runs import as_text, curve_of, values_by_step
from mlproject.tracking.store import Store, all_runs
from mlproject.worlds import FILES
from mlproject.worlds.files.snapshot import READ_OPTIONS

if TYPE_CHECKING:
    from mlproject.config.schema import Config


@dataclass(frozen=True)
class Ground:
    """What all candidates of a promotion are measured on: one initial policy, one gold RM, the same prompts.

    Attributes:
        config: of the methods.
        pool: the initial policy's samples on the curve prompts.
    """

    config: Config
    pool: Step

    @property
    def audit_pool(self) -> Step:
        """Likewise on the audit prompts."""
        return pool(self.config, self.pool.inputs[Role.INITIAL_POLICY], self.pool.inputs[Role.GOLD_RM], Split.AUDIT)

    def curve(self, proxy: Run, method: str, prior: RunRef | None = None, kl_budget: float | None = None) -> Step:
        """The policy run against a proxy RM that exists, also one of another world."""
        seed = int(proxy.data.params["seed"])
        return policy_run(self.config, run_ref(proxy), self.pool, method, seed, prior=prior, kl_budget=kl_budget)


def ground_of(config: Config) -> Ground:
    """What a study with this configuration measures on."""
    return Ground(config, plan_roots(config).pool)


def ground_of_proxy(client: MlflowClient, config: Config, proxy: Run) -> Ground:
    """A proxy RM's own world: the initial policy and gold RM that it was trained from."""
    p, sources = proxy.data.params, {}
    for role, run_id in json.loads(proxy.data.tags[Tag.INPUTS]).items():
        found = client.get_run(run_id)
        sources[role] = RunRef(run_id, found.data.tags[Tag.FINGERPRINT], found.data.params)
    policy, gold = sources[Role.INITIAL_POLICY], sources[Role.GOLD_RM]
    own = {"world": p["world"], "world_seed": int(p["world_seed"]), **_files_of(sources), **_gold_of(gold.params)}
    config = config.replace(**own)
    return Ground(config, pool(config, policy, gold))


def _files_of(sources: Mapping[str, RunRef]) -> dict[str, Any]:
    """The options that a user's own policy and files were taken over with; of the embedded world none."""
    policy = sources[Role.INITIAL_POLICY].params
    if policy["world"] != FILES:
        return {"policy": "", "prompts": "", "preferences": ""}
    labelled = sources[Role.COMPARISONS].params if Role.COMPARISONS in sources else policy
    return {
        **{name: parse(name, policy[name]) for name in READ_OPTIONS},
        "policy": policy["policy"],
        "prompts": policy.get("prompts_path", ""),
        "preferences": labelled.get("preferences_path", ""),
    }


def _gold_of(gold: Mapping[str, str]) -> dict[str, Any]:
    """The options that say what plays gold."""
    kind = gold.get("gold", TRAINED)
    return {"gold": kind, **({"gold_size": gold["gold_size"]} if kind == NONE else {})}


def run_ref(run: Run) -> RunRef:
    """A run as an input of a step."""
    return RunRef(run.info.run_id, run.data.tags[Tag.FINGERPRINT], run.data.params)


@dataclass(frozen=True)
class Candidate:
    """A proxy RM and its curves on one ground.

    Attributes:
        proxy: its run.
        curves: policy run drawn with the configuration's own options, the newest, by method.
        best: policy run of the highest peak gold, whatever its options (KL coefficient, ...), by method: what to use.
    """

    proxy: Run
    curves: dict[str, Run] = field(default_factory=dict)
    best: dict[str, Run] = field(default_factory=dict)

    @property
    def name(self) -> str:
        p = self.proxy.data.params
        return f"{p['rm_size']} seed {p['seed']}"


def candidates_on(client: MlflowClient, store: Store, config: Config, pool_run_id: str) -> dict[str, Candidate]:
    """All proxy RMs with a whole curve on a pool, by run id."""
    found: dict[str, Candidate] = {}
    for run in all_runs(client, [store.policy_runs], "attributes.status = 'FINISHED'"):
        tags = run.data.tags
        if json.loads(tags.get(Tag.INPUTS, "{}")).get(Role.POOL) != pool_run_id or tags.get(Tag.COMPLETE) == "false":
            continue
        proxy_run_id, method = tags[Tag.PROXY_RUN_ID], tags[Tag.METHOD]
        if proxy_run_id not in found:
            found[proxy_run_id] = Candidate(client.get_run(proxy_run_id))
        candidate = found[proxy_run_id]
        if method not in candidate.best or _peak(run) > _peak(candidate.best[method]):
            candidate.best[method] = run
        if _has_options_of(config, run):
            candidate.curves.setdefault(method, run)
    return found


def evidence_of(client: MlflowClient, candidate: Candidate, method: str) -> Evidence:
    """Evidence on a candidate with a curve by the method, but for the audit."""
    run, proxy = candidate.curves[method], candidate.proxy.data
    curve = curve_of(client, run.info.run_id)
    start, peak = int(curve.steps_S[0]), curve.peak().step
    signs = {name: values_by_step(client, run.info.run_id, MetricPrefix.SIGNS + name) for name in SIGNS}
    return Evidence(
        trained=proxy.metrics,
        held_out=_held_out(proxy.params),
        method=method,
        curve=curve,
        signs_start={name: values[start] for name, values in signs.items() if start in values},
        signs_peak={name: values[peak] for name, values in signs.items() if peak in values},
    )


def _held_out(params: Mapping[str, str]) -> int:
    """How many comparisons an RM's accuracy rests on."""
    return int(params["held_out"]) if "held_out" in params else round(HELD_OUT * int(params["n_comparisons"]))


def _peak(run: Run) -> float:
    return run.data.metrics[Metric.PEAK_GOLD]


def _has_options_of(config: Config, run: Run) -> bool:
    """Whether a curve was drawn with the configuration's own options of its method: others are another experiment."""
    method = METHODS.get(run.data.tags.get(Tag.METHOD, ""))
    if method is None:
        return False
    wanted = {name: as_text(value) for name, value in config.of_method(method.name).items()}
    drawn = {name: run.data.params[name] for name in (*method.options, *method.further) if name in run.data.params}
    return drawn == wanted
