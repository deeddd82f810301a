"""Gold compared with human judgement, on which only the gold RM was trained: not measurable in the paper."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlproject.curve import mean_and_se
from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import mean_interval, methods_of, ratio_interval, select, values_of
from mlproject.experiments.results import Cell, Result


def analyse(result: Result) -> Finding:
    """Where human judgement peaks relative to gold, and how far it falls below gold."""
    claims, tables = [], {}
    for method in methods_of(result):
        cells = [cell for cell in select(result, method=method) if cell.curve.human_SP is not None]
        ratio = ratio_interval(np.log(_human_peak_kl(cell) / _gold_peak_kl(cell)) for cell in cells)
        gaps = [_gap_at_peak(cell) for cell in cells]
        ends = mean_interval(_gap(cell, -1) for cell in cells)
        significant = sum(gap > 2 * se for gap, se in gaps)
        claims += [
            Claim(
                f"Human judgement falls below gold as the policy is optimized, {method}",
                f"gold minus human at the gold peak {mean_interval(gap for gap, _ in gaps)} (more than 2 SE "
                f"for {significant} of {len(cells)} curves), at the end {ends}",
                verdict(ends.low > 0, ends.high < 0),
            ),
            Claim(
                f"Human judgement peaks no later than gold, {method}",
                f"ratio of the KL of the human peak to that of the gold peak: {ratio}",
                verdict(ratio.value <= 1, ratio.low > 1),
            ),
        ]
        tables[f"Gold minus human, {method}"] = pd.DataFrame(
            {
                "RM size": size,
                "at the gold peak": str(
                    mean_interval(_gap_at_peak(c)[0] for c in cells if c.settings["rm_size"] == size)
                ),
                "at the end": str(mean_interval(_gap(c, -1) for c in cells if c.settings["rm_size"] == size)),
            }
            for size in values_of(result, "rm_size")
        )
    notes = [
        "The claims are our own expectation, since the paper has no human judgement: gold is itself a learned proxy of "
        "human judgement, so it should be over-optimized too, later than the proxies.",
        "Both in standard deviations of the initial policy's scores.",
    ]
    return Finding(claims=claims, tables=tables, notes=notes)


def _human_S(cell: Cell) -> np.ndarray:
    human_S = cell.curve.human_S
    assert human_S is not None  # cells without human judgement were excluded
    return human_S


def _gap(cell: Cell, index: int) -> float:
    return float(cell.curve.gold_S[index] - _human_S(cell)[index])


def _gap_at_peak(cell: Cell) -> tuple[float, float]:
    """Gold minus human at the gold peak, with its standard error paired over prompts."""
    best, human_SP = int(cell.curve.gold_S.argmax()), cell.curve.human_SP
    assert human_SP is not None
    return mean_and_se(cell.curve.gold_SP[best] - human_SP[best])


def _gold_peak_kl(cell: Cell) -> float:
    return float(cell.curve.kl_S[cell.curve.gold_S.argmax()])


def _human_peak_kl(cell: Cell) -> float:
    return max(float(cell.curve.kl_S[_human_S(cell).argmax()]), 0.01)
