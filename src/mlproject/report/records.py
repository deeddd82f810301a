"""What a report is made from: everything about a study, read from its runs and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlproject.curve import Curve


@dataclass(frozen=True)
class PolicyRunRecord:
    """One policy run.

    Attributes:
        run_id: of the MLflow run.
        method: `best-of-n`, `ppo`, ...
        rm_size, rm_params: name and number of parameters of the proxy.
        seed, kl_coef: of the run; `kl_coef` is 0 where the method has none.
        curve: gold, proxy and human against KL.
        metrics: summaries by name (`peak/gold`, `law/alpha`, `drop/gold`, `drop/gold_se`, ...).
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


@dataclass(frozen=True)
class ProxyRecord:
    """One proxy RM: `metrics` has `rm/val_accuracy`, `rm/val_loss`, `rm/ece`, `rm/scale`."""

    run_id: str
    rm_size: str
    rm_params: int
    seed: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes:
        title: of the page.
        facts: facts about the study, in order (preset, world seed, comparisons, wall time, ...), as texts.
        proxies: all proxy RMs of the study.
        policy_runs: the study's curves (the search's apart).
        laws: content of the law run's `laws.json`, see `mlproject.pipeline.law`.
        trials: one row per search trial (number, state, rm_size, kl_coef, peak_gold, peak_gold_se, peak_kl, reused).
        promotion: facts about the champion (name, version, rm_size, seed, peak gold, ...), as texts; empty without one.
        link: where the tracking UI shows the curves.
        gold: what plays gold, in words: `gold`, or `test RM` where nothing better was to be had.
    """

    title: str
    facts: Mapping[str, str]
    proxies: Sequence[ProxyRecord]
    policy_runs: Sequence[PolicyRunRecord]
    laws: Mapping[str, Any]
    trials: Sequence[Mapping[str, Any]] = field(default_factory=list)
    promotion: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    gold: str = "gold"
