"""Which of many reward models should be shipped: the regret of choosing by the gates, and by what people choose by."""

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

RESAMPLINGS, SHORTLIST = 200, 8
NEAR = 0.01
_RESAMPLES = 200  # behind each interval of each resampling
_SEEN, _AUDITED = 0.25, 0.25  # shares of the prompts; the rest is fresh

Indices = NDArray[np.int64]
Rule = Callable[[Mapping[int, Evidence], np.random.Generator], int | None]


def analyse(result: Result) -> Finding:
    """Regret over resamplings of the prompts, of all candidates and of shortlists."""
    cells = select(result, method="best-of-n")
    gates = _judgeable(read_gates())
    rules: dict[str, Rule] = {
        "our gates, all candidates at once": lambda known, rng: _at_once(gates, known),
        "our gates, one candidate after another": lambda known, rng: _one_by_one(gates, known, rng),
        "peak gold, no gates": lambda known, rng: rank_by_peak_gold(known)[0],
        "validation accuracy": lambda known, rng: max(known, key=lambda i: known[i].trained[Metric.RM_VAL_ACCURACY]),
        "validation loss": lambda known, rng: min(known, key=lambda i: known[i].trained[Metric.RM_VAL_LOSS]),
        "proxy score": lambda known, rng: max(known, key=lambda i: float(known[i].curve.proxy_S[-1])),
        "any": lambda known, rng: int(rng.choice(list(known))),
    }
    pools = {f"all {len(cells)}": len(cells), f"shortlist of {SHORTLIST}": min(SHORTLIST, len(cells))}
    regret = {(rule, pool): np.empty(RESAMPLINGS) for rule in rules for pool in pools}
    for b in range(RESAMPLINGS):
        rng = np.random.default_rng(b)
        evidence, truth = _resample(cells, rng)
        for pool, size in pools.items():
            members = rng.permutation(len(cells))[:size].tolist()
            known, oracle = {i: evidence[i] for i in members}, max(truth[i] for i in members)
            for name, rule in rules.items():
                chosen = rule(known, rng)
                regret[name, pool][b] = 1 - (0.0 if chosen is None else truth[chosen]) / oracle
    rows = [
        {"chosen by": rule, "among": pool, **_summary(values_W)} for (rule, pool), values_W in sorted(regret.items())
    ]
    ours, accuracy, proxy = (
        regret[rule, next(iter(pools))]
        for rule in ("our gates, all candidates at once", "validation accuracy", "proxy score")
    )
    of_eight = {rule: regret[rule, f"shortlist of {SHORTLIST}"] for rule in rules}
    near = float((ours <= NEAR).mean())
    claims = [
        Claim(
            f"Aim: the gates choose within {NEAR:.0%} of the best true peak in 95 % of resamplings",
            f"{near:.0%} of {RESAMPLINGS} among all {len(cells)}, "
            f"{(of_eight['our gates, all candidates at once'] <= NEAR).mean():.0%} among {SHORTLIST}",
            verdict(near >= 0.95, near < 0.85),
        ),
        Claim(
            "Validation accuracy is a poor guide to the reward model that holds up best",
            f"mean regret {accuracy.mean():.1%} of the oracle's peak against {ours.mean():.1%} by the gates among all; "
            f"{of_eight['validation accuracy'].mean():.1%} against "
            f"{of_eight['our gates, all candidates at once'].mean():.1%} among {SHORTLIST}",
            verdict(accuracy.mean() > ours.mean() + 0.02, accuracy.mean() < ours.mean() + 0.01),
        ),
        Claim(
            "The proxy's own score says nothing of true quality",
            f"mean regret {proxy.mean():.1%} (choosing blindly: {regret['any', next(iter(pools))].mean():.1%})",
            verdict(proxy.mean() > 0.5 * regret["any", next(iter(pools))].mean(), proxy.mean() < 0.02),
        ),
    ]
    notes = [
        f"Each resampling splits the {cells[0].curve.gold_SP.shape[1]} prompts: a quarter for the curves, a quarter "
        "for the audit, and a fresh half on which the true peak is measured; prompts of the curves and of the audit "
        "are a sample of what a study has. The gates on length and repetition are left out: kept curves lack them. "
        "Accuracy and loss are measured on the gold RM's own labels without noise, which flatters them. Choosing one "
        "after another, a candidate that is better by less than the audit can tell is refused: that is the price."
    ]
    tables = {"Regret, share of the oracle's true peak gold": pd.DataFrame(rows)}
    return Finding(claims=claims, tables=tables, notes=notes)


def _summary(regret_W: NDArray[np.float64]) -> dict[str, str]:
    return {
        "mean regret": f"{regret_W.mean():.1%}",
        "95th percentile": f"{np.percentile(regret_W, 95):.1%}",
        f"within {NEAR:.0%}": f"{(regret_W <= NEAR).mean():.0%}",
    }


def _resample(cells: Sequence[Cell], rng: np.random.Generator) -> tuple[list[Evidence], list[float]]:
    """Evidence on some prompts, and each candidate's true peak gold on others; all candidates on the same."""
    prompts = cells[0].curve.gold_SP.shape[1]
    order = rng.permutation(prompts)
    seen, audited, fresh = np.split(order, [int(_SEEN * prompts), int((_SEEN + _AUDITED) * prompts)])
    evidence = []
    for cell in cells:
        curve = _on(cell.curve, seen)
        at = int(curve.gold_S.argmax())
        evidence.append(
            Evidence(
                trained=cell.metrics,
                held_out=round(HELD_OUT * int(cell.settings["n_comparisons"])),
                method="best-of-n",
                curve=curve,
                audit_P=cell.curve.gold_SP[at, audited],
                resamples=_RESAMPLES,
            )
        )
    return evidence, [_on(cell.curve, fresh).peak().gold for cell in cells]


def _on(curve: Curve, prompts: Indices) -> Curve:
    return Curve(curve.steps_S, curve.kl_S, curve.proxy_SP[:, prompts], curve.gold_SP[:, prompts])


def _judgeable(gates: Gates) -> Gates:
    """Those whose figures kept curves have."""
    return replace(gates, gates=tuple(g for g in gates.gates if g.metric not in ("length_ratio", "repetition_rise")))


def _at_once(gates: Gates, known: Mapping[int, Evidence]) -> int | None:
    """One promotion, with every candidate's curve at hand."""
    challenger = select_challenger(gates, known)[0]
    if challenger is None:
        return None
    passes = all(result.passed for result in gates.check(known[challenger], audit=True))
    return challenger if passes else None


def _one_by_one(gates: Gates, known: Mapping[int, Evidence], rng: np.random.Generator) -> int | None:
    """A promotion whenever a candidate arrives, in any order."""
    champion: int | None = None
    for name in rng.permutation(list(known)).tolist():
        if champion is not None and known[name].curve.peak().gold <= known[champion].curve.peak().gold:
            continue  # the margin cannot be sure
        audit_P = None if champion is None else known[champion].audit_P
        if all(result.passed for result in gates.check(replace(known[name], champion_audit_P=audit_P), audit=True)):
            champion = name
    return champion
