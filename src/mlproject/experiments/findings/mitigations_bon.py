"""Rewards with cures by best-of-n: what they gain where labels are plenty, scarce or noisy, beside controls."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mlproject.cures import parse_reward, passes_of
from mlproject.experiments.findings.claims import Finding
from mlproject.experiments.findings.cure_claims import CureClaims
from mlproject.experiments.findings.cured_runs import (
    CuredRuns,
    Regime,
    at_end,
    at_peak,
    gold_at_proxy,
    human,
    labelled,
    width,
)
from mlproject.experiments.findings.evidence import seeds_of
from mlproject.experiments.findings.frontier import NEAR_PEAK
from mlproject.experiments.results import Result
from mlproject.preferences import POLICY, RANDOM

__all__ = ["analyse", "labelled"]


def analyse(result: Result) -> Finding:
    """Claims about ensembles, conservative rewards and averages of weights, each with its regimes and RM sizes."""
    runs = CuredRuns(result.cells)
    regimes = [CureClaims(runs, regime, "at the largest n") for regime in runs.regimes]
    return Finding(
        claims=[claim for regime in regimes for claim in (*regime.of_cures(), *regime.of_controls())],
        tables={f"{regime}: means over seeds": _table(runs, regime) for regime in runs.regimes},
        notes=[
            f"Seeds {', '.join(map(str, seeds_of(result.cells)))}; ensembles of different seeds share no member. "
            "Differences are paired over seeds and prompts; their intervals are those over seeds (t) and over prompts, "
            "added in quadrature. The window is what lies between the first and the last point whose gold is within "
            f"{NEAR_PEAK} of the peak. One RM is read once for each response, an ensemble once for each member.",
            "Gold at equal proxy: at the proxy score that all rewards of a size reach, the lowest of their highest; "
            "human likewise, at the peak of gold and at the largest n.",
        ],
    )


def _table(runs: CuredRuns, regime: Regime) -> pd.DataFrame:
    rows = []
    for size in runs.sizes:
        kinds = [(reward, start) for reward in runs.rewards for start in (RANDOM, POLICY)]
        of_size = {kind: cells for kind in kinds if (cells := runs.of(regime, size, *kind))}
        proxy = min((float(c.curve.proxy_S.max()) for cells in of_size.values() for c in cells), default=math.nan)
        for (reward, start), cells in of_size.items():
            members = cells[0].settings.get("ensemble_members", 1)
            rows.append(
                {
                    "RM": size,
                    "reward": reward if start == RANDOM else f"{reward}, from the policy",
                    "peak gold": f"{np.mean([at_peak(cell).mean() for cell in cells]):.2f}",
                    "KL of the peak": f"{np.mean([cell.curve.kl_S[cell.curve.gold_S.argmax()] for cell in cells]):.2f}",
                    "gold at the end": f"{np.mean([at_end(cell).mean() for cell in cells]):.2f}",
                    "window, nats": f"{np.mean([width(cell)[0] for cell in cells]):.2f}",
                    "gold at equal proxy": f"{np.mean([gold_at_proxy(c, proxy) for c in cells]):.2f} at {proxy:.2f}",
                    "human at the peak": human(cells, lambda cell: int(cell.curve.gold_S.argmax())),
                    "human at the end": human(cells, lambda cell: -1),
                    "RMs trained": members,
                    "forward passes": passes_of(parse_reward(reward), members),
                }
            )
    return pd.DataFrame(rows)
