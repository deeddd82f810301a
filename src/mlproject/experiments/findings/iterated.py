"""Rounds of new comparisons: continuing from the current policy, or restarting with all comparisons so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, listed, verdict
from mlproject.experiments.findings.evidence import law_of, mean_interval, seeds_of
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.names import Metric


def analyse(result: Result) -> Finding:
    """Arm 1 against the conjecture of Gao et al. (section 4.3), arm 2 against Wolf et al. 2025."""
    first = [cell for cell in result.cells if cell.settings["round"] == 1]
    seeds = seeds_of(first)
    continued = {1: first} | _by_round(result.cells, "current")
    restarted = {1: first} | _by_round(result.cells, "initial")
    tables = {
        "Arm 1: the same total number of updates, in k rounds from the current policy": _arm_one(continued, seeds),
        "Arm 2: all comparisons so far, the policy restarted in each round": _arm_two(restarted),
    }
    gains = {k: mean_interval(_gain(continued, k, seed) for seed in seeds) for k in list(continued)[1:]}
    conjectured = {k: mean_interval(_conjectured(continued, k, seed) for seed in seeds) for k in gains}
    sums = {k: mean_interval(_d_sum_ratio(continued, k, seed) for seed in seeds) for k in gains}
    peaks = {k: mean_interval(cell.curve.peak().gold for cell in cells) for k, cells in restarted.items()}
    steps = np.diff([peak.value for peak in peaks.values()])
    final = {k: mean_interval(_end(cell) for cell in cells) for k, cells in restarted.items()}
    reset = mean_interval(
        _of(restarted, max(restarted), seed).curve.peak().gold - _end(_of(continued, max(continued), seed))
        for seed in seeds
    )
    claims = [
        Claim(
            "k rounds of d/k each gain beta d log k over one round of d (conjecture, section 4.3)",
            "final gold, k rounds minus one round: " + _rounds(gains) + "; conjectured " + _rounds(conjectured),
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
            "d adds up over rounds (assumption of that conjecture)",
            "sum of d over the rounds, relative to d from the initial policy: " + _rounds(sums),
            verdict(all(0.9 < s.value < 1.1 for s in sums.values()), all(s.low > 1.1 for s in sums.values())),
        ),
        Claim(
            "With all comparisons and a reset policy, gold rises over rounds, up to the third (Wolf et al. 2025)",
            f"peak gold by round {_rounds(peaks)}; final gold {_rounds(final)}",
            verdict(steps[0] > 0 and steps[-1] < 0.5 * steps[0], bool(steps[0] <= 0)),
        ),
        Claim(
            "Resetting the policy is more robust than continuing from an over-optimized one (Wolf et al. 2025)",
            f"gold after the last round: peak of arm 2 minus end of arm 1 {reset}",
            verdict(reset.low > 0, reset.high < 0),
        ),
    ]
    return Finding(claims=claims, tables=tables)


def _by_round(cells: Sequence[Cell], start: str) -> dict[int, list[Cell]]:
    by_round: dict[int, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.settings["round"], cell.settings["seed"])):
        if cell.settings["rounds_from"] == start:
            by_round.setdefault(cell.settings["round"], []).append(cell)
    return by_round


def _of(arm: dict[int, list[Cell]], k: int, seed: int) -> Cell:
    return next(cell for cell in arm[k] if cell.settings["seed"] == seed)


def _end(cell: Cell) -> float:
    return float(cell.curve.gold_S[-1])


def _gain(arm: dict[int, list[Cell]], k: int, seed: int) -> float:
    """Final gold of k rounds minus that of one round with the same number of updates."""
    return _end(_of(arm, k, seed)) - _end(_of(arm, 1, seed))


def _conjectured(arm: dict[int, list[Cell]], k: int, seed: int) -> float:
    """beta d log k, with beta of the single round and d summed over the k rounds."""
    return law_of(_of(arm, 1, seed)).beta * _of(arm, k, seed).metrics[Metric.ROUND_SQRT_KL_SUM] * float(np.log(k))


def _d_sum_ratio(arm: dict[int, list[Cell]], k: int, seed: int) -> float:
    cell = _of(arm, k, seed)
    return cell.metrics[Metric.ROUND_SQRT_KL_SUM] / float(cell.curve.sqrt_kl_S[-1])


def _arm_one(arm: dict[int, list[Cell]], seeds: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rounds": k,
            "final gold": str(mean_interval(_end(cell) for cell in cells)),
            "d from the initial policy": f"{np.mean([cell.curve.sqrt_kl_S[-1] for cell in cells]):.2f}",
            "d summed over rounds": f"{np.mean([cell.metrics[Metric.ROUND_SQRT_KL_SUM] for cell in cells]):.2f}",
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
            "final gold": str(mean_interval(_end(cell) for cell in cells)),
            "validation accuracy": f"{np.mean([cell.metrics[Metric.RM_VAL_ACCURACY] for cell in cells]):.3f}",
        }
        for k, cells in arm.items()
    )


def _rounds(estimates: dict[int, Estimate]) -> str:
    return listed(estimates, "k={}".format, ", ")
