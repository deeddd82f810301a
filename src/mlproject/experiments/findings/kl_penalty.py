"""PPO with a KL penalty: a better frontier, or equivalent to early stopping?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, listed, verdict
from mlproject.experiments.findings.evidence import gold_at, mean_interval, proxy_at, seeds_of, values_of
from mlproject.experiments.findings.frontier import RELEVANT, gold_gain, matched_kl, none_higher
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate


def analyse(result: Result) -> Finding:
    """Each coefficient against coefficient 0 with the same seed, at matched KL."""
    coefs = values_of(result, "kl_coef")
    cells = {(cell.settings["kl_coef"], cell.settings["seed"]): cell for cell in result.cells}
    seeds = seeds_of(result.cells)
    rows, frontier, gaps = [], {}, {}
    for coef in coefs[1:]:
        pairs = [(cells[coef, seed], cells[coefs[0], seed]) for seed in seeds if (coef, seed) in cells]
        frontier[coef] = mean_interval(gold_gain(a.curve, b.curve) for a, b in pairs)
        gaps[coef] = mean_interval(_gap(a, b) for a, b in pairs)
        ended = mean_interval(_early_stop(a, b) for a, b in pairs)
        rows.append(
            {
                "coefficient": f"{coef:g}",
                "final KL (nats)": str(mean_interval(float(a.curve.kl_S[-1]) for a, _ in pairs)),
                "gold at matched KL, minus coefficient 0": str(frontier[coef]),
                "proxy minus gold at matched KL, minus coefficient 0": str(gaps[coef]),
                "final gold, minus coefficient 0 stopped at that KL": str(ended),
            }
        )
    finals = [np.mean([cells[coef, seed].curve.kl_S[-1] for seed in seeds if (coef, seed) in cells]) for coef in coefs]
    stops = [
        _early_stop(cells[coef, seed], cells[coefs[0], seed])
        for coef in coefs[1:]
        for seed in seeds
        if (coef, seed) in cells
    ]
    stop, peaks = mean_interval(stops), _peak_gain(cells, coefs, seeds)
    claims = [
        Claim(
            "A larger penalty ends at a smaller KL (fig. 14)",
            "final KL: " + ", ".join(f"{c:g}: {kl:.1f}" for c, kl in zip(coefs, finals, strict=True)),
            verdict(finals == sorted(finals, reverse=True), finals == sorted(finals)),
        ),
        Claim(
            "Gold at a given KL does not improve (fig. 9; the RLHF book: a larger penalty over-optimizes less)",
            listed(frontier, "{:g}".format),
            none_higher(frontier.values()),
        ),
        Claim(
            "The proxy score at a given KL is higher: the gap to gold is strictly larger (section 3.6)",
            listed(gaps, "{:g}".format),
            verdict(all(g.sign > 0 for g in gaps.values()), any(g.sign < 0 for g in gaps.values())),
        ),
        Claim(
            "A penalty acts like early stopping: its final policy is as good as that of coefficient 0 at the same KL",
            f"final gold minus gold of coefficient 0 at the same KL, over all coefficients and seeds: {stop}",
            verdict(
                stop.sign == 0 and abs(stop.value) < 2 * RELEVANT, stop.sign != 0 and abs(stop.value) > 2 * RELEVANT
            ),
        ),
        Claim(
            "So no coefficient raises peak gold",
            f"highest peak gold of any coefficient above 0, minus that of coefficient 0: {peaks}",
            verdict(peaks.value < RELEVANT, peaks.sign > 0 and peaks.value > RELEVANT),
        ),
    ]
    return Finding(claims=claims, tables={"Against coefficient 0, at matched KL": pd.DataFrame(rows)})


def _gap(a: Cell, b: Cell) -> float:
    proxy = float(np.mean([proxy_at(a.curve, kl) - proxy_at(b.curve, kl) for kl in matched_kl(a.curve, b.curve)]))
    return proxy - gold_gain(a.curve, b.curve)


def _early_stop(a: Cell, b: Cell) -> float:
    """Mean gold of the last quarter of a run minus that of coefficient 0 at the same KL; nan if it never got there."""
    last = range(3 * len(a.curve) // 4, len(a.curve))
    return float(np.mean([a.curve.gold_S[i] - gold_at(b.curve, float(a.curve.kl_S[i])) for i in last]))


def _peak_gain(cells: dict[tuple[float, int], Cell], coefs: list[float], seeds: list[int]) -> Estimate:
    """The best coefficient's gain in peak gold over coefficient 0."""

    def gain(coef: float) -> Estimate:
        paired = [seed for seed in seeds if (coef, seed) in cells]
        peaks = ([cells[c, seed].curve.peak().gold for seed in paired] for c in (coef, coefs[0]))
        return mean_interval(a - b for a, b in zip(*peaks, strict=True))

    return max((gain(coef) for coef in coefs[1:]), key=lambda estimate: estimate.value)
