"""Choosing among many reward models: the regret of choosing by the gates, and by common criteria."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlproject.curve import Curve
from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import select
from mlproject.experiments.results import Cell, Result
from mlproject.names import Metric
from mlproject.pipeline.comparisons import HELD_OUT
from mlproject.registry.gates import Gates, read_gates
from mlproject.registry.metrics import Evidence
from mlproject.registry.ranking import rank_by_peak_gold, select_challenger

SPLITS, SHORTLIST = 200, 8
NEAR = 0.01
"""Regret, as a share of the oracle's peak gold, that counts as a good choice."""

AT_ONCE, ACCURACY, PROXY, RANDOM = (
    "our gates, all candidates at once", "validation accuracy", "proxy score", "random choice",
)  # fmt: skip

_RESAMPLES = 200  # bootstrap resamples behind each interval
_CURVE_SHARE, _AUDIT_SHARE = 0.25, 0.25  # shares of the prompts; the true peak is measured on the rest

Indices = NDArray[np.int64]
Rule = Callable[[Mapping[int, Evidence], np.random.Generator], int | None]


def analyse(result: Result) -> Finding:
    """Regret over random splits of the prompts, among all candidates and among shortlists."""
    cells = select(result, method="best-of-n")
    gates = _applicable(read_gates())
    rules: dict[str, Rule] = {
        AT_ONCE: lambda candidates, rng: _at_once(gates, candidates),
        "our gates, one candidate after another": lambda candidates, rng: _one_by_one(gates, candidates, rng),
        "peak gold, no gates": lambda candidates, rng: rank_by_peak_gold(candidates)[0],
        ACCURACY: lambda candidates, rng: _highest(candidates, lambda c: c.trained[Metric.RM_VAL_ACCURACY]),
        "validation loss": lambda candidates, rng: _highest(candidates, lambda c: -c.trained[Metric.RM_VAL_LOSS]),
        PROXY: lambda candidates, rng: _highest(candidates, lambda c: float(c.curve.proxy_S[-1])),
        RANDOM: lambda candidates, rng: int(rng.choice(list(candidates))),
    }
    everyone, shortlist = f"all {len(cells)}", f"shortlist of {SHORTLIST}"
    sizes = {everyone: len(cells), shortlist: min(SHORTLIST, len(cells))}
    regrets = {(rule, pool): np.empty(SPLITS) for rule in rules for pool in sizes}
    for split in range(SPLITS):
        rng = np.random.default_rng(split)
        evidence, true_peaks = _split(cells, rng)
        for pool, size in sizes.items():
            members = rng.permutation(len(cells))[:size].tolist()
            candidates, oracle = {i: evidence[i] for i in members}, max(true_peaks[i] for i in members)
            for name, rule in rules.items():
                chosen = rule(candidates, rng)
                regrets[name, pool][split] = 1 - (0.0 if chosen is None else true_peaks[chosen]) / oracle
    rows = [{"chosen by": rule, "among": pool, **_summary(regret)} for (rule, pool), regret in sorted(regrets.items())]
    near = {pool: float((regrets[AT_ONCE, pool] <= NEAR).mean()) for pool in sizes}
    mean = {key: float(regret.mean()) for key, regret in regrets.items()}
    claims = [
        Claim(
            f"Aim: the gates choose within {NEAR:.0%} of the best true peak in 95 % of the splits",
            f"{near[everyone]:.0%} of {SPLITS} among all {len(cells)}, {near[shortlist]:.0%} among {SHORTLIST}",
            verdict(near[everyone] >= 0.95, near[everyone] < 0.85),
        ),
        Claim(
            "Validation accuracy is a poor guide to the most robust reward model",
            f"mean regret {mean[ACCURACY, everyone]:.1%} of the oracle's peak, with the gates "
            f"{mean[AT_ONCE, everyone]:.1%}, among all; {mean[ACCURACY, shortlist]:.1%} and "
            f"{mean[AT_ONCE, shortlist]:.1%} among {SHORTLIST}",
            verdict(
                mean[ACCURACY, everyone] > mean[AT_ONCE, everyone] + 0.02,
                mean[ACCURACY, everyone] < mean[AT_ONCE, everyone] + 0.01,
            ),
        ),
        Claim(
            "The proxy score says nothing about true quality",
            f"mean regret {mean[PROXY, everyone]:.1%} (random choice: {mean[RANDOM, everyone]:.1%})",
            verdict(mean[PROXY, everyone] > 0.5 * mean[RANDOM, everyone], mean[PROXY, everyone] < 0.02),
        ),
    ]
    notes = [
        f"Each split divides the {cells[0].curve.gold_SP.shape[1]} prompts: a quarter for the curves, a quarter for "
        "the audit, and half for the true peak. The gates on length and repetition are left out, because stored curves "
        "do not contain these statistics. Accuracy and loss are measured on labels of the gold RM without noise, which "
        "favours them. If candidates arrive one after another, one whose advantage is smaller than the audit can "
        "resolve is rejected, which costs some gold."
    ]
    tables = {"Regret, share of the oracle's true peak gold": pd.DataFrame(rows)}
    return Finding(claims=claims, tables=tables, notes=notes)


def _highest(candidates: Mapping[int, Evidence], score: Callable[[Evidence], float]) -> int:
    return max(candidates, key=lambda i: score(candidates[i]))


def _summary(regret: NDArray[np.float64]) -> dict[str, str]:
    return {
        "mean regret": f"{regret.mean():.1%}",
        "95th percentile": f"{np.percentile(regret, 95):.1%}",
        f"within {NEAR:.0%}": f"{(regret <= NEAR).mean():.0%}",
    }


def _split(cells: Sequence[Cell], rng: np.random.Generator) -> tuple[list[Evidence], list[float]]:
    """Evidence on some prompts and true peak gold on others, the same prompts for all candidates."""
    prompts = cells[0].curve.gold_SP.shape[1]
    order = rng.permutation(prompts)
    ends = [int(_CURVE_SHARE * prompts), int((_CURVE_SHARE + _AUDIT_SHARE) * prompts)]
    curve_prompts, audit_prompts, true_prompts = np.split(order, ends)
    evidence = []
    for cell in cells:
        curve = _on(cell.curve, curve_prompts)
        evidence.append(
            Evidence(
                trained=cell.metrics,
                held_out=round(HELD_OUT * int(cell.settings["n_comparisons"])),
                method="best-of-n",
                curve=curve,
                audit_P=cell.curve.gold_SP[int(curve.gold_S.argmax()), audit_prompts],
                resamples=_RESAMPLES,
            )
        )
    return evidence, [_on(cell.curve, true_prompts).peak().gold for cell in cells]


def _on(curve: Curve, prompts: Indices) -> Curve:
    return Curve(curve.steps_S, curve.kl_S, curve.proxy_SP[:, prompts], curve.gold_SP[:, prompts])


def _applicable(gates: Gates) -> Gates:
    """The gates whose metrics can be computed from stored curves."""
    return replace(gates, gates=tuple(g for g in gates.gates if g.metric not in ("length_ratio", "repetition_rise")))


def _at_once(gates: Gates, candidates: Mapping[int, Evidence]) -> int | None:
    """One promotion with all candidates."""
    challenger = select_challenger(gates, candidates)[0]
    if challenger is None:
        return None
    return challenger if _passes(gates, candidates[challenger]) else None


def _one_by_one(gates: Gates, candidates: Mapping[int, Evidence], rng: np.random.Generator) -> int | None:
    """A promotion for each candidate, in random order."""
    champion: int | None = None
    for name in rng.permutation(list(candidates)).tolist():
        if champion is not None and candidates[name].curve.peak().gold <= candidates[champion].curve.peak().gold:
            continue  # the margin cannot be significant
        audit_P = None if champion is None else candidates[champion].audit_P
        if _passes(gates, replace(candidates[name], champion_audit_P=audit_P)):
            champion = name
    return champion


def _passes(gates: Gates, evidence: Evidence) -> bool:
    return all(result.passed for result in gates.check(evidence, audit=True))
