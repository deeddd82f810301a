"""The data of a report: everything about a study, read from its runs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlproject.curve import Curve
from mlproject.laws.intervals import Estimate
from mlproject.optimization import find_method
from mlproject.recommendation.outcome import Outcome


@dataclass(frozen=True)
class PolicyRunRecord:
    """One policy run.

    Attributes:
        run_id: id of the MLflow run.
        method: `best-of-n`, `ppo`, ...
        rm_size, rm_params: name and number of parameters of the proxy.
        seed, kl_coef: options of the run; `kl_coef` is 0 if the method has none.
        curve: gold, proxy and human score over KL.
        metrics: summaries by name (`peak/gold`, `law/alpha`, `drop/gold`, `drop/gold_se`, ...).
        options: options of run and reward model that may tell settings apart, as text by name.
        samples: rows of its sample table: stage (start, peak, end), prompt, response, step, kl, proxy, gold, human.
    """

    run_id: str
    method: str
    rm_size: str
    rm_params: int
    seed: int
    kl_coef: float
    curve: Curve
    metrics: Mapping[str, float]
    samples: Sequence[Mapping[str, Any]]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProxyRecord:
    """One proxy RM; `metrics` contains `rm/val_accuracy`, `rm/val_loss`, `rm/ece` and `rm/scale`."""

    run_id: str
    rm_size: str
    rm_params: int
    seed: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Report:
    """Everything on the page.

    Attributes:
        title: title of the page.
        facts: facts about the study (world, gold, comparisons, ...), as text by label, in order.
        proxies: all proxy RMs of the study.
        policy_runs: the study's policy runs, without those of the search.
        laws: content of the law run's `laws.json`, see `mlproject.pipeline.law`.
        trials: one row per search trial (number, state, rm_size, kl_coef, peak_gold, peak_gold_se, peak_kl, reused).
        promotion: facts about the promotion (model, version, ...), as text by label; empty if there was none.
        gates: one row for each gate of the promotion (gate, wanted, holds, value, low, high).
        link: link to the curves in the tracking UI.
        gold: what serves as gold: `gold`, or `test RM` if the study has no gold.
        search_runs: whole policy runs of the search.
        outcome: of the study's promotion; None without one.
        audits: gold on the audit prompts at the peak of a policy run, by its run id.
        samples: how a user's table of scored samples was read (see `mlproject.samples.stored`); empty for studies of
            other kinds.
        timeline: content of the study's `timeline.json`; empty where it has none.
    """

    title: str
    facts: Mapping[str, str]
    proxies: Sequence[ProxyRecord]
    policy_runs: Sequence[PolicyRunRecord]
    laws: Mapping[str, Any]
    trials: Sequence[Mapping[str, Any]] = field(default_factory=list)
    promotion: Mapping[str, str] = field(default_factory=dict)
    gates: Sequence[Mapping[str, Any]] = field(default_factory=list)
    link: str = ""
    gold: str = "gold"
    search_runs: Sequence[PolicyRunRecord] = field(default_factory=list)
    outcome: Outcome | None = None
    audits: Mapping[str, Estimate] = field(default_factory=dict)
    samples: Mapping[str, Any] = field(default_factory=dict)
    timeline: Mapping[str, Any] = field(default_factory=dict)

    @property
    def knows_sizes(self) -> bool:
        """Whether there are reward models, of known numbers of parameters."""
        has_some = not self.policy_runs or any(find_method(run.method).needs_proxy for run in self.policy_runs)
        return has_some and all(run.rm_params > 0 for run in self.policy_runs)
