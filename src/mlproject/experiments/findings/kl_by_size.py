"""The full grid that a search avoids: does RM size or KL coefficient determine peak gold?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import gold_at, mean_interval, seeds_of, select, values_of
from mlproject.experiments.results import Cell, Result


def analyse(result: Result) -> Finding:
    """Explained variance of peak gold, and the effect of the coefficient beyond stopping a run."""
    seeds = seeds_of(result.cells)
    shares = [_shares(result, seed) for seed in seeds]
    size, coef = (mean_interval(share[name] for share in shares) for name in ("rm_size", "kl_coef"))
    best = {s: max(_of_seed(result, s), key=lambda cell: cell.curve.peak().gold).settings for s in seeds}
    stopped = mean_interval(_against_stopping(result, s) for s in seeds)
    claims = [
        Claim(
            "RM size determines peak gold, the KL coefficient hardly does (sections 3.2, 3.6)",
            f"share of the variance of peak gold over the grid: RM size {size}, coefficient {coef}; best cells by seed "
            + ", ".join(f"{settings['rm_size']} at {settings['kl_coef']:g}" for settings in best.values()),
            verdict(size.value > 2 * coef.value, coef.value > size.value),
        ),
        Claim(
            "The coefficient acts as a stopping time: it gains nothing over coefficient 0 stopped at the same KL",
            f"highest gold of a run with a penalty minus gold of coefficient 0 at that KL: {stopped} (mean over sizes "
            "and coefficients)",
            verdict(stopped.high < 0.05, stopped.low > 0.05),
        ),
    ]
    return Finding(claims=claims)


def _of_seed(result: Result, seed: int) -> list[Cell]:
    return [cell for cell in result.cells if cell.settings["seed"] == seed]


def _shares(result: Result, seed: int) -> dict[str, float]:
    """Share of the variance of peak gold that each of the two options explains by itself."""
    cells = _of_seed(result, seed)
    table = pd.DataFrame({**cell.settings, "peak": cell.curve.peak().gold} for cell in cells)
    total = float(table.peak.var(ddof=0))
    return {
        name: float(table.groupby(name).peak.transform("mean").var(ddof=0)) / total for name in ("rm_size", "kl_coef")
    }


def _against_stopping(result: Result, seed: int) -> float:
    """Gain of a penalty over stopping the run without a penalty, mean over sizes and coefficients."""
    gains = []
    for size in values_of(result, "rm_size"):
        cells = {cell.settings["kl_coef"]: cell for cell in select(result, rm_size=size, seed=seed)}
        for coef, cell in cells.items():
            if coef > 0 and 0.0 in cells:
                best = int(cell.curve.gold_S.argmax())
                kl = float(cell.curve.kl_S[best])
                gains.append(float(cell.curve.gold_S[best]) - gold_at(cells[0.0].curve, kl))
    return float(np.nanmean(gains)) if gains else float("nan")
