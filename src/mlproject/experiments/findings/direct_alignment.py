"""Direct alignment: a hump over sqrt(KL), when it turns, which form fits it, and what its own quantities tell of it.

The claims are those of Rafailov et al. 2024, "Scaling laws for reward model overoptimization in direct alignment
algorithms", and one of Huang et al. 2024 on chi-PO.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, sign_verdict, verdict
from mlproject.experiments.findings.evidence import (
    mean_interval,
    methods_of,
    rank_correlations,
    ratio_interval,
    seeds_of,
    select,
    values_of,
)
from mlproject.experiments.results import Cell, Result
from mlproject.laws import FORMS, Estimate, rmse_by_form
from mlproject.names import Diagnostic, Metric
from mlproject.optimization import find_method

_TRAINED = 0.9
"""Share of the comparisons that is learned from; the others are held out."""

_CLEAR = 2.0
"""Standard errors from which on a drop after the peak counts."""


def analyse(result: Result) -> Finding:
    """Every method with its betas and seeds, at the largest number of comparisons; DPO at all of them."""
    most = max(values_of(result, "n_comparisons"))
    full = [cell for cell in result.cells if cell.settings["n_comparisons"] == most]
    fallen = [cell for cell in full if _falls(cell)]
    names = methods_of(result)
    drops = {name: mean_interval(c.curve.drop_after_peak()[0] for c in select(result, method=name)) for name in names}
    epochs = mean_interval(_epoch_of_peak(cell) for cell in fallen)
    final_kl = [rho for name in names for rho in rank_correlations(_of(full, name), _final_kl, by="align_beta")]
    losses = [rho for name in names for rho in rank_correlations(_of(full, name), _drop, by="align_beta")]
    kl_trend, drop_trend = mean_interval(final_kl), mean_interval(losses)
    fits = ratio_interval(_log_rmse_ratio(cell) for cell in full)
    data = mean_interval(rank_correlations(select(result, method="dpo"), _drop, by="n_comparisons"))
    accuracy = mean_interval(_accuracy_and_wins(_of(full, "dpo")))
    chosen = mean_interval(_diagnostic(cell, Diagnostic.CHOSEN_LOG_RATIO) for cell in _of(full, "dpo"))
    claims = [
        Claim(
            "Direct alignment over-optimizes as RL does: gold falls past a peak, for DPO, IPO and SLiC",
            "gold lost from the peak to the end: " + "; ".join(f"{_label(name)} {drops[name]}" for name in names),
            verdict(
                all(drops[name].sign > 0 for name in names if name in _PAPERS),
                any(drops[name].sign < 0 for name in names if name in _PAPERS),
            ),
        ),
        Claim(
            "It begins to lose before a single epoch is over",
            f"{len(fallen)} of {len(full)} runs fall past their peak; it lies at {epochs} epochs",
            verdict(bool(fallen) and epochs.high < 1, not fallen or epochs.low > 1),
        ),
        Claim(
            "The smaller beta, the larger KL",
            f"rank correlation of final KL with beta, by method and seed: {kl_trend}",
            sign_verdict(kl_trend, -1),
        ),
        Claim(
            "The smaller beta, the more gold is lost",
            f"rank correlation of gold lost with beta, by method and seed: {drop_trend}",
            sign_verdict(drop_trend, -1),
        ),
        Claim(
            "d (a - b log d) fits the win rate over sqrt(KL) with about half the error of a quadratic",
            f"RMSE of the logarithmic law over that of d (a - b d), win rate less one half: {fits}",
            verdict(fits.high < 1, fits.low > 1),
        ),
        Claim(
            "More comparisons, less over-optimization",
            f"rank correlation of gold that DPO loses with the number of comparisons at equal updates: {data}",
            sign_verdict(data, -1),
        ),
        Claim(
            "The accuracy of the implicit reward does not tell the win rate",
            f"rank correlation of held-out accuracy with the final win rate over betas of DPO: {accuracy}",
            verdict(accuracy.sign <= 0, accuracy.sign > 0),
        ),
        Claim(
            "Preferred responses become less likely, too",
            f"final log-ratio of held-out preferred responses under DPO: {chosen} nats",
            sign_verdict(chosen, -1),
        ),
    ]
    if "chi-po" in names:
        kept = mean_interval(_kept(full))
        claims.append(
            Claim(
                "chi-PO loses less than DPO (Huang et al. 2024)",
                f"final gold of chi-PO minus DPO, at equal beta and seed: {kept}",
                sign_verdict(kept, 1),
            )
        )
    return Finding(claims=claims, tables={"By method and beta": _table(full, names)})


_PAPERS = ("dpo", "ipo", "slic")
"""The methods of Rafailov et al. 2024."""


def _of(cells: Sequence[Cell], method: str) -> list[Cell]:
    return [cell for cell in cells if cell.settings["method"] == method]


def _label(name: str) -> str:
    return find_method(name).label


def _drop(cell: Cell) -> float:
    return cell.curve.drop_after_peak()[0]


def _falls(cell: Cell) -> bool:
    drop, se = cell.curve.drop_after_peak()
    return drop > _CLEAR * se


def _final_kl(cell: Cell) -> float:
    return float(cell.curve.kl_S[-1])


def _epoch_of_peak(cell: Cell) -> float:
    learned = _TRAINED * cell.settings["n_comparisons"]
    return cell.curve.peak().step * cell.settings["align_batch_size"] / learned


def _log_rmse_ratio(cell: Cell) -> float:
    """Logarithm of the RMSE of the logarithmic law over that of the quadratic one; nan where neither can be fitted."""
    if cell.curve.win_S is None:
        return math.nan
    try:
        rmse = rmse_by_form((FORMS["rl"], FORMS["best-of-n"]), cell.curve.sqrt_kl_S, cell.curve.win_S - 0.5)
    except ValueError:  # too few points away from the origin
        return math.nan
    return math.log(rmse["rl"] / rmse["best-of-n"])


def _diagnostic(cell: Cell, name: str) -> float:
    return cell.metrics.get(f"{cell.settings['method']}/{name}", math.nan)


def _accuracy_and_wins(cells: Sequence[Cell]) -> list[float]:
    """For each seed, the rank correlation over betas of final accuracy and final win rate."""
    frame = pd.DataFrame(
        {
            "seed": cell.settings["seed"],
            "accuracy": _diagnostic(cell, Diagnostic.PREFERENCE_ACCURACY),
            "wins": cell.metrics.get(Metric.CURVE_WIN_RATE, math.nan),
        }
        for cell in cells
    )
    return [float(part.accuracy.rank().corr(part.wins.rank())) for _, part in frame.groupby("seed") if len(part) > 2]


def _kept(cells: Sequence[Cell]) -> list[float]:
    ends = {(c.settings["method"], c.settings["align_beta"], c.settings["seed"]): c.curve.gold_S[-1] for c in cells}
    return [
        float(gold - ends["dpo", beta, seed])
        for (name, beta, seed), gold in ends.items()
        if name == "chi-po" and ("dpo", beta, seed) in ends
    ]


def _table(cells: Sequence[Cell], names: Sequence[str]) -> pd.DataFrame:
    """Peak, end and win rate, means over seeds with intervals."""
    rows = []
    for name in names:
        for beta in sorted({cell.settings["align_beta"] for cell in _of(cells, name)}):
            of_beta = [cell for cell in _of(cells, name) if cell.settings["align_beta"] == beta]
            rows.append(
                {
                    "method": _label(name),
                    "beta": f"{beta:g}",
                    "peak gold": str(mean_interval(cell.curve.peak().gold for cell in of_beta)),
                    "peak KL (nats)": str(mean_interval(cell.curve.peak().kl for cell in of_beta)),
                    "final KL (nats)": str(mean_interval(map(_final_kl, of_beta))),
                    "gold lost": str(mean_interval(map(_drop, of_beta))),
                    "final win rate": str(_final_wins(of_beta)),
                    "seeds": len(seeds_of(of_beta)),
                }
            )
    return pd.DataFrame(rows)


def _final_wins(cells: Sequence[Cell]) -> Estimate:
    return mean_interval(math.nan if c.curve.win_S is None else float(np.asarray(c.curve.win_S)[-1]) for c in cells)
