"""Does a reward model's validation loss say how it holds up, whether it was reached by size or by data?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import select
from mlproject.experiments.results import Result
from mlproject.laws import MIN_D, gamma, law_for, spearman
from mlproject.laws.fits import fit
from mlproject.names import Metric


def analyse(result: Result) -> Finding:
    """Rank correlations over all cells, and what size and data still explain beside the loss."""
    cells = select(result, method="best-of-n")
    form = law_for("best-of-n")
    gammas = []
    for cell in cells:
        d_S = cell.curve.sqrt_kl_S
        gold, proxy = (fit(form, d_S, y_S, MIN_D[form.name]) for y_S in (cell.curve.gold_S, cell.curve.proxy_S))
        gammas.append(float(gamma(form, [gold.alpha, gold.beta], [proxy.alpha, proxy.beta], float(d_S.max()))))
    table = pd.DataFrame(
        {
            "loss": [cell.metrics[Metric.RM_VAL_LOSS_CALIBRATED] for cell in cells],
            "hard loss": [cell.metrics[Metric.RM_VAL_LOSS] for cell in cells],
            "accuracy": [cell.metrics[Metric.RM_VAL_ACCURACY] for cell in cells],
            "gold": [float(cell.curve.gold_S[-1]) for cell in cells],
            "peak": [cell.curve.peak().gold for cell in cells],
            "gamma": gammas,
            "params": np.log10([cell.settings["rm_params"] for cell in cells]),
            "data": np.log10([cell.settings["n_comparisons"] for cell in cells]),
        }
    )
    n = int(cells[0].curve.steps_S[-1])
    alone, more = _explained(table, ["loss"]), _explained(table, ["loss", "params", "data"])
    rho = {name: spearman(table[name], table.gold) for name in ("loss", "hard loss", "accuracy")}
    best = table[table.loss <= table.loss.quantile(0.5)]
    within = spearman(best.loss, best.gold)
    usable = table[np.isfinite(table.gamma)]
    rows = [
        {
            "reward models": name,
            "count": len(some),
            "loss with gold": f"{spearman(some.loss, some.gold):+.2f}",
            "hard loss with gold": f"{spearman(some['hard loss'], some.gold):+.2f}",
            "accuracy with gold": f"{spearman(some.accuracy, some.gold):+.2f}",
            "loss with peak gold": f"{spearman(some.loss, some.peak):+.2f}",
            "loss with gamma": f"{_spearman_finite(some.loss, some.gamma):+.2f}",
        }
        for name, some in (("all", table), ("better half by loss", best))
    ]
    claims = [
        Claim(
            f"Equal validation loss means equal gold at n = {n}, however reached (fig. 5: weak support)",
            f"rank correlation of gold with calibrated loss {rho['loss']:+.2f}, as trained {rho['hard loss']:+.2f}, "
            f"accuracy {rho['accuracy']:+.2f}; a cubic in the loss explains {alone:.0%} of the variance, with size and "
            f"data beside it {more:.0%}",
            verdict(alone > 0.9 and more - alone < 0.05, alone < 0.6),
        ),
        Claim(
            "Among good reward models the loss does not rank robustness (Coste et al. 2023)",
            f"better half by loss ({len(best)}): rank correlation {within:+.2f}",
            verdict(within > -0.4, within < -0.7),
        ),
        Claim(
            "gamma goes with how much is lost (Kim et al. 2025)",
            f"rank correlation of gamma with gold at n = {n}: {spearman(usable.gamma, usable.gold):+.2f} "
            f"({len(usable)} of {len(table)} reward models have one)",
            verdict(spearman(usable.gamma, usable.gold) < -0.8, spearman(usable.gamma, usable.gold) > -0.4),
        ),
    ]
    return Finding(claims=claims, tables={"Rank correlations": pd.DataFrame(rows)})


def _spearman_finite(x: pd.Series, y: pd.Series) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    return spearman(x[known], y[known])


def _explained(table: pd.DataFrame, names: list[str]) -> float:
    """R^2 of gold on a cubic in the first and a plane in the others."""
    first = table[names[0]].to_numpy()
    columns = np.column_stack([np.ones_like(first), first, first**2, first**3, *(table[n] for n in names[1:])])
    gold = table.gold.to_numpy()
    residual = gold - columns @ np.linalg.lstsq(columns, gold, rcond=None)[0]
    return 1 - float(residual @ residual) / float(np.square(gold - gold.mean()).sum())
