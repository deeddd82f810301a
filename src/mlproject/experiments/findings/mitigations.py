"""Cures while a policy is trained: what they gain at equal updates, and whether they gain anything at equal KL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlproject.cures import CURES, SHAPE, parse_reward, passes_of
from mlproject.cures.cure import PLAIN
from mlproject.experiments.findings.claims import Claim, Finding, listed, sign_verdict, signs_verdict, verdict
from mlproject.experiments.findings.cure_claims import ENSEMBLES, CureClaims, of_sizes
from mlproject.experiments.findings.cured_runs import (
    CuredRuns,
    Regime,
    at_end,
    at_peak,
    difference,
    gold_at_proxy,
    human,
    labelled,
    paired,
    variant_of,
    width,
)
from mlproject.experiments.findings.evidence import mean_interval, seeds_of
from mlproject.experiments.findings.frontier import (
    NEAR_PEAK,
    RELEVANT,
    all_alike,
    gold_gain,
    gold_lost,
    none_higher,
    window,
    window_steps,
)
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate, spearman
from mlproject.optimization import find_method
from mlproject.preferences import POLICY, RANDOM

__all__ = ["analyse", "labelled"]

END = "after the last update"

PUBLISHED_ENDS = {"min-max": 0.712, "par": 0.649, "log-sigmoid": 0.613, "clip": 0.479, PLAIN: 0.229}
"""Judge's win rate at the end of PPO by reward (Fu et al. 2025, their figures), mean of three of their four pairs of
policy and data; in the fourth, proxy and win rate collapse together."""

Groups = Mapping[str, Sequence[Cell]]
"""Runs by what holds their policy beside the reward; those that nothing holds under the empty text."""


def analyse(result: Result) -> Finding:
    """Claims about rewards with cures, thresholds and penalties against PPO on one reward model."""
    groups: dict[str, list[Cell]] = {}
    for cell in result.cells:
        groups.setdefault(variant_of(cell), []).append(cell)
    runs = CuredRuns(groups.get("", []))
    claims = []
    for regime in runs.regimes:
        common = CureClaims(runs, regime, END)
        claims += [*_of_all(runs, regime), *common.of_cures(), *_of_shapes(runs, regime), *common.of_controls()]
    held = {name: CuredRuns(cells) for name, cells in groups.items() if name}
    claims += [claim for name, others in held.items() for claim in _of_held(runs, others, name)]
    return Finding(
        claims=claims,
        tables={f"{regime}: means over seeds": _table(runs, held, regime) for regime in runs.regimes},
        notes=[
            f"Seeds {', '.join(map(str, seeds_of(result.cells)))}. All runs make the same updates. Differences of "
            "peaks and ends are paired over seeds and prompts, their intervals those over seeds (t) and over prompts, "
            "added in quadrature; gold at matched KL is the mean over KL values from 1 nat to the largest that both "
            f"reach, paired by seed. The window: from the first to the last point within {NEAR_PEAK} of the peak.",
            "Gold at equal proxy: at the highest proxy score that all runs of a size and regime reach; shaped rewards "
            "have no such score. Passes: responses scored up to the peak, once by each reward model that reads them.",
        ],
    )


def _of_all(runs: CuredRuns, regime: Regime) -> list[Claim]:
    """What is said of cures as such: they widen the window, hardly raise the peak, and move the schedule only."""
    pairs = {
        f"{reward} ({size})": (cells, runs.of(regime, size))
        for size in runs.sizes
        for reward in runs.rewards
        if reward != PLAIN and (cells := runs.of(regime, size, reward)) and runs.of(regime, size)
    }
    peaks, windows = ({name: difference(*each, value) for name, each in pairs.items()} for value in (at_peak, width))
    by_seed: dict[int, list[float]] = {}
    for a, b in (pair for each in pairs.values() for pair in paired(*each)):
        by_seed.setdefault(a.settings["seed"], []).append(float(width(a)[0] - width(b)[0]))
    wider = mean_interval(float(np.mean(values)) for values in by_seed.values())
    gains = {name: _gain(*each) for name, each in pairs.items()}
    return [
        Claim(
            f"Cures hardly raise the peak, {regime} (section 5; what published comparisons agree on)",
            f"peak gold less that of one RM: {listed(peaks)}",
            none_higher(peaks.values()),
        ),
        Claim(
            f"... but widen the window before the fall, {regime}",
            f"nats by which the window is wider, mean over cures: {wider}; by cure: {listed(windows)}",
            sign_verdict(wider, 1),
        ),
        Claim(
            f"Cures move the schedule only, {regime}: at equal KL their gold is that of one RM",
            f"gold at matched KL less that of one RM: {listed(gains)}",
            all_alike(gains.values()),
        ),
    ]


def _of_shapes(runs: CuredRuns, regime: Regime) -> list[Claim]:
    claims = []
    shapes = [name for name in runs.rewards if name in CURES and CURES[name].stage == SHAPE]
    for name in shapes:
        ends = runs.compared(regime, name, PLAIN, at_end)
        if ends:
            nearer = {size: _share_of_kl(runs.of(regime, size, name), runs.of(regime, size)) for size in ends}
            claims.append(
                Claim(
                    f"{name} keeps gold that one RM loses, at equal updates, {regime} (Fu et al. 2025)",
                    f"gold {END} {of_sizes(ends)}; final KL as a share of that of one RM: {listed(nearer)}",
                    signs_verdict(ends.values()),
                )
            )
    orders = {size: _order(runs, regime, size) for size in runs.sizes}
    known = {size: each for size, each in orders.items() if not math.isnan(each.value)}
    if known:
        claims.append(
            Claim(
                f"Shaped rewards keep gold in the order that their authors found, {regime} (Fu et al. 2025: "
                f"{', '.join(PUBLISHED_ENDS)})",
                f"rank correlation of gold {END} with their win rate at the end: {listed(known)}",
                signs_verdict(known.values()),
            )
        )
    return claims


def _gain(cells: Sequence[Cell], others: Sequence[Cell]) -> Estimate:
    """Gold at matched KL less that of the others."""
    return mean_interval(gold_gain(a.curve, b.curve) for a, b in paired(cells, others))


def _share_of_kl(cells: Sequence[Cell], others: Sequence[Cell]) -> Estimate:
    return mean_interval(float(a.curve.kl_S[-1] / b.curve.kl_S[-1]) for a, b in paired(cells, others))


def _order(runs: CuredRuns, regime: Regime, size: str) -> Estimate:
    """Rank correlation of our ends with the published ones, mean over seeds; nan where a reward is missing."""
    of_reward = {name: {c.settings["seed"]: c for c in runs.of(regime, size, name)} for name in PUBLISHED_ENDS}
    seeds = set.intersection(*(set(cells) for cells in of_reward.values()))
    published = list(PUBLISHED_ENDS.values())
    return mean_interval(
        spearman([float(cells[seed].curve.gold_S[-1]) for cells in of_reward.values()], published)
        for seed in sorted(seeds)
    )


def _of_held(free: CuredRuns, held: CuredRuns, name: str) -> list[Claim]:
    """Runs that a penalty or a threshold holds beside those with the same reward that nothing holds."""
    claims = []
    for regime in sorted({*free.regimes, *held.regimes}, reverse=True):
        for reward in (PLAIN, *ENSEMBLES):
            sizes = [size for size in held.sizes if held.of(regime, size, reward) and free.of(regime, size, reward)]
            pairs = {size: (held.of(regime, size, reward), free.of(regime, size, reward)) for size in sizes}
            if not pairs:
                continue
            ends, peaks = (
                {size: difference(*each, value) for size, each in pairs.items()} for value in (at_end, at_peak)
            )
            gains = {size: _gain(*each) for size, each in pairs.items()}
            shares = {size: _share_of_kl(*each) for size, each in pairs.items()}
            claims.append(
                Claim(
                    f"{reward} with `{name}` keeps gold that it loses without, at equal updates, {regime} (Moskovitz "
                    "et al. 2023; Coste et al. 2023, figure 4)",
                    f"gold {END} {of_sizes(ends)}; peak gold {of_sizes(peaks)}; gold at matched KL {of_sizes(gains)}; "
                    f"final KL as a share of that without: {listed(shares)}",
                    signs_verdict(ends.values()),
                )
            )
        claims += _of_conservative(held, regime, name)
    return claims


def _of_conservative(held: CuredRuns, regime: Regime, name: str) -> list[Claim]:
    """With a small penalty the mean of an ensemble over-optimizes under noise, conservative rewards do not."""
    claims = []
    for reward in ENSEMBLES:
        lost = {
            size: mean_interval(gold_lost(cell.curve) for cell in cells)
            for size in held.sizes
            if (cells := held.of(regime, size, reward))
        }
        if lost:
            still = all(each.low > RELEVANT for each in lost.values())
            none = all(each.high < RELEVANT for each in lost.values())
            expected = "still over-optimizes" if reward == "mean" else "does not over-optimize"
            claims.append(
                Claim(
                    f"{reward} with `{name}` {expected}, {regime} (Coste et al. 2023, figure 4)",
                    f"gold lost since the peak {listed(lost)}",
                    verdict(still, none) if reward == "mean" else verdict(none, still),
                )
            )
    for other, rewards in {PLAIN: ENSEMBLES, "mean": ENSEMBLES[1:]}.items():
        for reward in rewards:
            if above := held.compared(regime, reward, other, at_end):
                claims.append(
                    Claim(
                        f"{reward} with `{name}` ends above {other} with it, {regime} (Coste et al. 2023, figure 4)",
                        f"gold {END} less that of the other {of_sizes(above)}",
                        signs_verdict(above.values()),
                    )
                )
    return claims


def _table(free: CuredRuns, held: Mapping[str, CuredRuns], regime: Regime) -> pd.DataFrame:
    rows = []
    for size in free.sizes:
        kinds = [
            (reward, start, name, cells)
            for name, runs in {"": free, **held}.items()
            for reward in runs.rewards
            for start in (RANDOM, POLICY)
            if (cells := runs.of(regime, size, reward, start))
        ]
        comparable = [cells for reward, _, _, cells in kinds if not _is_shaped(reward)]
        proxy = min((float(cell.curve.proxy_S.max()) for cells in comparable for cell in cells), default=math.nan)
        alone = free.of(regime, size)
        for reward, start, name, cells in kinds:
            is_alone = (reward, start, name) == (PLAIN, RANDOM, "")
            gain = "" if is_alone or not paired(cells, alone) else _gain(cells, alone)
            members = cells[0].settings.get("ensemble_members", 1)
            passes = passes_of(parse_reward(reward), members)
            rows.append(
                {
                    "RM": size,
                    "cure": ", ".join(filter(None, ("from the policy" if start == POLICY else reward, name))),
                    "window, nats": f"{np.mean([window(cell.curve) for cell in cells]):.1f}",
                    "updates": f"{np.mean([window_steps(cell.curve) for cell in cells]):.0f}",
                    "gold lost at the end": str(mean_interval(gold_lost(cell.curve) for cell in cells)),
                    "gold at matched KL, less one RM": str(gain),
                    "gold at equal proxy": ""
                    if _is_shaped(reward)
                    else f"{np.mean([gold_at_proxy(cell, proxy) for cell in cells]):.2f} at {proxy:.2f}",
                    "human at the peak": human(cells, lambda cell: int(cell.curve.gold_S.argmax())),
                    "human at the end": human(cells, lambda cell: -1),
                    "RMs trained": members,
                    "thousand passes to the peak": f"{passes * _scored(cells) / 1000:.0f}",
                }
            )
    return pd.DataFrame(rows)


def _is_shaped(reward: str) -> bool:
    return any(cure.stage == SHAPE for cure in parse_reward(reward))


def _scored(cells: Sequence[Cell]) -> float:
    """Responses that are scored in training up to the peak, mean over runs."""
    settings = cells[0].settings
    work = find_method(settings["method"]).config_class.from_params(settings).work
    return float(np.mean([cell.curve.peak().step for cell in cells])) * work.scored
