"""Rounds of new comparisons: from the policy where it is, and from the start with everything collected so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import law_of, mean_interval, seeds_of
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.names import Metric


def analyse(result: Result) -> Finding:
    """Arm 1 against the conjecture of Gao et al. (section 4.3), arm 2 against Wolf et al. 2025."""
    first = [cell for cell in result.cells if cell.settings["round"] == 1]
    seeds = seeds_of(first)
    on = {1: first} | _by_round(result.cells, "current")
    anew = {1: first} | _by_round(result.cells, "initial")
    tables = {
        "Arm 1: the same updates in all, in k rounds from the current policy": _arm_one(on, seeds),
        "Arm 2: all comparisons together, the policy anew in each round": _arm_two(anew),
    }
    gains = {k: mean_interval(_gain(on, k, seed) for seed in seeds) for k in list(on)[1:]}
    conjectured = {k: mean_interval(_conjectured(on, k, seed) for seed in seeds) for k in gains}
    sums = {k: mean_interval(_added_up(on, k, seed) for seed in seeds) for k in gains}
    peaks = {k: mean_interval(cell.curve.peak().gold for cell in cells) for k, cells in anew.items()}
    steps = np.diff([found.value for found in peaks.values()])
    final = {k: mean_interval(float(cell.curve.gold_S[-1]) for cell in cells) for k, cells in anew.items()}
    last_on, last_anew = list(on)[-1], list(anew)[-1]
    reset = mean_interval(
        _of(anew, last_anew, seed).curve.peak().gold - float(_of(on, last_on, seed).curve.gold_S[-1]) for seed in seeds
    )
    claims = [
        Claim(
            "k rounds of d/k each gain beta d log k over one round of d (conjecture, section 4.3)",
            "gold at the end, k rounds less one: " + _worded(gains) + "; conjectured " + _worded(conjectured),
            verdict(
                all(
                    g.value > 0 and abs(g.value - conjectured[k].value) < 0.5 * conjectured[k].value
                    for k, g in gains.items()
                ),
                any(g.sign < 0 for g in gains.values())
                or all(abs(g.value - conjectured[k].value) > 0.5 * conjectured[k].value for k, g in gains.items()),
            ),
        ),
        Claim(
            "d adds up over rounds (assumed there)",
            "sum of the rounds' own d over d from the initial policy: " + _worded(sums),
            verdict(all(0.9 < s.value < 1.1 for s in sums.values()), all(s.low > 1.1 for s in sums.values())),
        ),
        Claim(
            "With all data and a reset policy, gold rises over rounds and is level by the third (Wolf et al. 2025)",
            f"peak gold by round {_worded(peaks)}; gold at the end {_worded(final)}",
            verdict(steps[0] > 0 and steps[-1] < 0.5 * steps[0], bool(steps[0] <= 0)),
        ),
        Claim(
            "Resetting is more robust than going on from an over-optimized policy (Wolf et al. 2025)",
            f"gold after the last round: peak of arm 2 less end of arm 1 {reset}",
            verdict(reset.low > 0, reset.high < 0),
        ),
    ]
    return Finding(claims=claims, tables=tables)


def _by_round(cells: Sequence[Cell], start: str) -> dict[int, list[Cell]]:
    found: dict[int, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.settings["round"], cell.settings["seed"])):
        if cell.settings["rounds_from"] == start:
            found.setdefault(cell.settings["round"], []).append(cell)
    return found


def _of(arm: dict[int, list[Cell]], k: int, seed: int) -> Cell:
    return next(cell for cell in arm[k] if cell.settings["seed"] == seed)


def _end(cell: Cell) -> float:
    return float(cell.curve.gold_S[-1])


def _gain(arm: dict[int, list[Cell]], k: int, seed: int) -> float:
    """Gold at the end of k rounds less that of one round of equal updates."""
    return _end(_of(arm, k, seed)) - _end(_of(arm, 1, seed))


def _conjectured(arm: dict[int, list[Cell]], k: int, seed: int) -> float:
    """beta d log k, with beta of the single round and d added up over the k rounds."""
    return law_of(_of(arm, 1, seed)).beta * _of(arm, k, seed).metrics[Metric.ROUND_SQRT_KL_SUM] * float(np.log(k))


def _added_up(arm: dict[int, list[Cell]], k: int, seed: int) -> float:
    cell = _of(arm, k, seed)
    return cell.metrics[Metric.ROUND_SQRT_KL_SUM] / float(cell.curve.sqrt_kl_S[-1])


def _arm_one(arm: dict[int, list[Cell]], seeds: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rounds": k,
            "gold at the end": str(mean_interval(_end(cell) for cell in cells)),
            "d from the initial policy": f"{np.mean([cell.curve.sqrt_kl_S[-1] for cell in cells]):.2f}",
            "d added up over rounds": f"{np.mean([cell.metrics[Metric.ROUND_SQRT_KL_SUM] for cell in cells]):.2f}",
            "gain over one round": "" if k == 1 else str(mean_interval(_gain(arm, k, seed) for seed in seeds)),
            "conjectured": "" if k == 1 else str(mean_interval(_conjectured(arm, k, seed) for seed in seeds)),
        }
        for k, cells in arm.items()
    )


def _arm_two(arm: dict[int, list[Cell]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "round": k,
            "peak gold": str(mean_interval(cell.curve.peak().gold for cell in cells)),
            "peak KL (nats)": f"{np.mean([cell.curve.peak().kl for cell in cells]):.1f}",
            "gold at the end": str(mean_interval(_end(cell) for cell in cells)),
            "validation accuracy": f"{np.mean([cell.metrics[Metric.RM_VAL_ACCURACY] for cell in cells]):.3f}",
        }
        for k, cells in arm.items()
    )


def _worded(found: dict[int, Estimate]) -> str:
    return ", ".join(f"k={k}: {interval}" for k, interval in found.items())
