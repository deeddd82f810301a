"""Direct alignment: a hump over sqrt(KL), when it turns, which form fits it, and what its own quantities tell of it.

The claims are those of Rafailov et al. 2024, "Scaling laws for reward model overoptimization in direct alignment
algorithms", and one of Huang et al. 2024 on chi-PO.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, listed, sign_verdict, verdict
from mlproject.experiments.findings.evidence import (
    law_of,
    mean_interval,
    rank_correlations,
    seeds_of,
    select,
    values_of,
)
from mlproject.experiments.findings.form_fits import CUT, SCORES, FormFits, form_table
from mlproject.experiments.findings.frontier import RELEVANT
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.names import Diagnostic, Metric
from mlproject.optimization import METHODS, find_method

_TRAINED = 0.9
"""Share of the comparisons that is learned from; the others are held out."""


DPO, IPO, SLIC, CHI_PO = "dpo", "ipo", "slic", "chi-po"
"""The methods that the claims are about, as the grid of the experiment names them."""
_PAPERS = (DPO, IPO, SLIC)
"""Those of Rafailov et al. 2024."""

_WEAK = 0.5
"""Rank correlation below which one quantity does not tell the other."""
_EARLY = 0.5
"""Share of the epoch before which a peak is early."""


def analyse(result: Result) -> Finding:
    """Every method with its betas and seeds, at the largest number of comparisons; DPO at all of them."""
    most = max(values_of(result, "n_comparisons"))
    full = [cell for cell in result.cells if cell.settings["n_comparisons"] == most]
    names = [name for name in METHODS if _of(full, name)]
    dpo, fits = _of(full, DPO), {name: FormFits.of(_of(full, name)) for name in names}
    data = mean_interval(rank_correlations(select(result, method=DPO), _drop, by="n_comparisons"))
    accuracy = mean_interval(_accuracy_and_wins(dpo))
    chosen = mean_interval(_diagnostic(cell, Diagnostic.CHOSEN_LOG_RATIO) for cell in dpo)
    claims = [
        *_of_the_smallest_beta(full, names),
        *_over_betas(full, names),
        *_form_claims(fits),
        Claim(
            "More comparisons, less over-optimization",
            f"rank correlation of gold that DPO loses with the number of comparisons at equal updates: {data}",
            sign_verdict(data, -1),
        ),
        Claim(
            "The accuracy of the implicit reward does not tell the win rate",
            f"rank correlation of held-out accuracy with the final win rate over betas of DPO: {accuracy}",
            verdict(accuracy.high < _WEAK, accuracy.low > 0),
        ),
        Claim(
            "Preferred responses become less likely, too",
            f"final log-ratio of held-out preferred responses under DPO: {chosen} nats",
            sign_verdict(chosen, -1),
        ),
    ]
    if CHI_PO in names:
        kept = mean_interval(_kept(full))
        claims.append(
            Claim(
                "chi-PO loses less than DPO (Huang et al. 2024)",
                f"final gold of chi-PO minus DPO, at equal beta and seed: {kept}",
                sign_verdict(kept, 1),
            )
        )
    tables = {
        "By method and beta": _table(full, names),
        "Forms by method": form_table({_label(name): each for name, each in fits.items()}),
    }
    return Finding(claims=claims, tables=tables)


def _of_the_smallest_beta(cells: Sequence[Cell], names: Sequence[str]) -> list[Claim]:
    """What happens within the one epoch of these runs, where a method is held least."""
    least = {name: _of_beta(_of(cells, name), min(_betas(_of(cells, name)))) for name in names}
    drops = {name: mean_interval(map(_drop, runs)) for name, runs in least.items()}
    epochs = {name: mean_interval(map(_epoch_of_peak, runs)) for name, runs in least.items()}
    papers = [name for name in names if name in _PAPERS]
    fall = all(drops[name].sign > 0 for name in papers)
    return [
        Claim(
            "Direct alignment over-optimizes as RL does: gold falls past a peak, for DPO, IPO and SLiC",
            f"gold lost from the peak to the end with the smallest beta: {listed(drops, _label)}",
            verdict(fall, any(drops[name].sign < 0 or drops[name].high < RELEVANT for name in papers)),
        ),
        Claim(
            "It begins to lose before a single epoch is over",
            f"the runs are at most one epoch long; gold peaks at these epochs with the smallest beta: "
            f"{listed(epochs, _label)}",
            verdict(
                fall and all(epochs[name].high < 1 for name in papers), any(epochs[name].low > 1 for name in papers)
            ),
        ),
        Claim(
            "Intermediate checkpoints are the best: with a small beta, gold peaks early in the epoch",
            f"epochs at the peak with the smallest beta: {listed(epochs, _label)}",
            verdict(all(epochs[n].high < _EARLY for n in papers), any(epochs[n].low > _EARLY for n in papers)),
        ),
    ]


def _over_betas(cells: Sequence[Cell], names: Sequence[str]) -> list[Claim]:
    """Rank correlations with beta, of every method and seed."""

    def trend(value: Callable[[Cell], float]) -> Estimate:
        of_methods = (rank_correlations(_of(cells, name), value, by="align_beta") for name in names)
        return mean_interval(rho for each in of_methods for rho in each)

    kl, lost, peak, epoch = (trend(value) for value in (_final_kl, _drop, _peak, _epoch_of_peak))
    return [
        Claim(
            f"The smaller beta, {effect}",
            f"rank correlation of {quantity} with beta, by method and seed: {rho}",
            sign_verdict(rho, sign),
        )
        for effect, quantity, rho, sign in (
            ("the larger KL", "final KL", kl, -1),
            ("the more gold is lost", "gold lost", lost, -1),
            ("the lower the peak", "peak gold", peak, 1),
            ("the earlier the peak", "the epoch of the peak", epoch, 1),
        )
    ]


def _form_claims(fits: Mapping[str, FormFits]) -> list[Claim]:
    claims = []
    for score in SCORES:
        inside, beyond = ({name: each.ratio(score, b) for name, each in fits.items()} for b in (False, True))
        papers = [inside[name] for name in fits if name in _PAPERS]
        claims.append(
            Claim(
                f"d (a - b log d) fits {score} over sqrt(KL) better than a quadratic, with about half its error",
                f"error as a multiple of that of d (a - b d), over all betas: {listed(inside, _label)}; beyond "
                f"{CUT:g} of the largest sqrt(KL): {listed(beyond, _label)}",
                verdict(all(each.high < 1 for each in papers), any(each.low > 1 for each in papers)),
            )
        )
    return claims


def _of(cells: Sequence[Cell], method: str) -> list[Cell]:
    return [cell for cell in cells if cell.settings["method"] == method]


def _betas(cells: Sequence[Cell]) -> list[float]:
    return sorted({cell.settings["align_beta"] for cell in cells})


def _of_beta(cells: Sequence[Cell], beta: float) -> list[Cell]:
    return [cell for cell in cells if cell.settings["align_beta"] == beta]


def _label(name: str) -> str:
    return find_method(name).label


def _drop(cell: Cell) -> float:
    return cell.curve.drop_after_peak()[0]


def _peak(cell: Cell) -> float:
    return cell.curve.peak().gold


def _final_kl(cell: Cell) -> float:
    return float(cell.curve.kl_S[-1])


def _epoch_of_peak(cell: Cell) -> float:
    learned = _TRAINED * cell.settings["n_comparisons"]
    return cell.curve.peak().step * cell.settings["align_batch_size"] / learned


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
        float(gold - ends[DPO, beta, seed])
        for (name, beta, seed), gold in ends.items()
        if name == CHI_PO and (DPO, beta, seed) in ends
    ]


def _table(cells: Sequence[Cell], names: Sequence[str]) -> pd.DataFrame:
    """Peak, end and win rate, means over seeds with intervals."""
    rows = []
    for name in names:
        for beta in _betas(_of(cells, name)):
            of_beta = _of_beta(_of(cells, name), beta)
            rows.append(
                {
                    "method": _label(name),
                    "beta": f"{beta:g}",
                    "peak gold": str(mean_interval(cell.curve.peak().gold for cell in of_beta)),
                    "peak KL (nats)": str(mean_interval(cell.curve.peak().kl for cell in of_beta)),
                    "final KL (nats)": str(mean_interval(map(_final_kl, of_beta))),
                    "epoch of the peak": str(mean_interval(map(_epoch_of_peak, of_beta))),
                    "gold lost": str(mean_interval(map(_drop, of_beta))),
                    "alpha": _coefficient(of_beta, "alpha"),
                    "beta of the law": _coefficient(of_beta, "beta"),
                    "final win rate": str(_final_wins(of_beta)),
                    "seeds": len(seeds_of(of_beta)),
                }
            )
    return pd.DataFrame(rows)


def _final_wins(cells: Sequence[Cell]) -> Estimate:
    return mean_interval(math.nan if c.curve.win_S is None else float(np.asarray(c.curve.win_S)[-1]) for c in cells)


def _coefficient(cells: Sequence[Cell], name: str) -> str:
    """A coefficient of the law on gold; empty where a curve has too few points for it."""
    try:
        return str(mean_interval(getattr(law_of(cell), name) for cell in cells))
    except ValueError:
        return ""
