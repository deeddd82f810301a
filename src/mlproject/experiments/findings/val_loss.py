"""Does the validation loss of a reward model predict its robustness, whether it comes from size or from data?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import select
from mlproject.experiments.results import Result
from mlproject.laws import FORMS, MIN_D, gamma, spearman
from mlproject.laws.fits import fit_form
from mlproject.names import Metric


def analyse(result: Result) -> Finding:
    """Rank correlations over all cells, and what size and data explain in addition to the loss."""
    cells = select(result, method="best-of-n")
    form = FORMS["best-of-n"]
    gammas = []
    for cell in cells:
        d_S = cell.curve.sqrt_kl_S
        gold, proxy = (fit_form(form, d_S, y_S, MIN_D[form.name]) for y_S in (cell.curve.gold_S, cell.curve.proxy_S))
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
    by_loss, by_all = _explained(table, ["loss"]), _explained(table, ["loss", "params", "data"])
    rho = {name: spearman(table[name], table.gold) for name in ("loss", "hard loss", "accuracy")}
    best = table[table.loss <= table.loss.quantile(0.5)]
    within = spearman(best.loss, best.gold)
    with_gamma = table[np.isfinite(table.gamma)]
    rows = [
        {
            "reward models": name,
            "count": len(group),
            "loss with gold": f"{spearman(group.loss, group.gold):+.2f}",
            "hard loss with gold": f"{spearman(group['hard loss'], group.gold):+.2f}",
            "accuracy with gold": f"{spearman(group.accuracy, group.gold):+.2f}",
            "loss with peak gold": f"{spearman(group.loss, group.peak):+.2f}",
            "loss with gamma": f"{_spearman_finite(group.loss, group.gamma):+.2f}",
        }
        for name, group in (("all", table), ("better half by loss", best))
    ]
    claims = [
        Claim(
            f"Equal validation loss means equal gold at n = {n}, however it is reached (fig. 5: weak support)",
            f"rank correlation of gold with calibrated loss {rho['loss']:+.2f}, as trained {rho['hard loss']:+.2f}, "
            f"accuracy {rho['accuracy']:+.2f}; a cubic in the loss explains {by_loss:.0%} of the variance, and with "
            f"size and data {by_all:.0%}",
            verdict(by_loss > 0.9 and by_all - by_loss < 0.05, by_loss < 0.6),
        ),
        Claim(
            "Among good reward models, the loss does not predict robustness (Coste et al. 2023)",
            f"better half by loss ({len(best)}): rank correlation {within:+.2f}",
            verdict(within > -0.4, within < -0.7),
        ),
        Claim(
            "gamma predicts how much gold is lost (Kim et al. 2025)",
            f"rank correlation of gamma with gold at n = {n}: {spearman(with_gamma.gamma, with_gamma.gold):+.2f} "
            f"({len(with_gamma)} of {len(table)} reward models have one)",
            verdict(
                spearman(with_gamma.gamma, with_gamma.gold) < -0.8, spearman(with_gamma.gamma, with_gamma.gold) > -0.4
            ),
        ),
    ]
    return Finding(claims=claims, tables={"Rank correlations": pd.DataFrame(rows)})


def _spearman_finite(x: pd.Series, y: pd.Series) -> float:
    finite = np.isfinite(x) & np.isfinite(y)
    return spearman(x[finite], y[finite])


def _explained(table: pd.DataFrame, names: list[str]) -> float:
    """R^2 of gold on a cubic of the first column and linear terms of the others."""
    first = table[names[0]].to_numpy()
    columns = np.column_stack([np.ones_like(first), first, first**2, first**3, *(table[n] for n in names[1:])])
    gold = table.gold.to_numpy()
    residual = gold - columns @ np.linalg.lstsq(columns, gold, rcond=None)[0]
    return 1 - float(residual @ residual) / float(np.square(gold - gold.mean()).sum())
