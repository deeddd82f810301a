"""Rewards with cures by best-of-n: what they gain where labels are plenty, scarce or noisy, and against which controls.

Axis letters: C curves, S curve points, P prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlproject.cures.cure import PLAIN
from mlproject.curve import Array
from mlproject.experiments.findings.claims import Claim, Finding, sign_verdict, verdict
from mlproject.experiments.findings.evidence import mean_interval, seeds_of, select, values_of
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.laws.intervals import Z_975
from mlproject.models.sizes import SIZES
from mlproject.preferences import POLICY, RANDOM

TOLERANCE = 0.05
"""Gold within this of its peak counts as no worse, standard deviations."""

ENSEMBLES = ("mean", "worst-case", "uncertainty-weighted")


class Regime(NamedTuple):
    """Comparisons that each reward model learned from, and the share of flipped labels."""

    n_comparisons: int
    label_noise: float

    def __str__(self) -> str:
        labels = f"{self.label_noise:.0%} flipped" if self.label_noise else "clean"
        return f"{self.n_comparisons:,} {labels}"


def analyse(result: Result) -> Finding:
    """Claims about ensembles, conservative rewards and averages of weights, each with its regimes and RM sizes."""
    regimes = _regimes(result)
    return Finding(
        claims=[claim for regime in regimes for claim in _claims(result, regime)],
        tables={f"{regime}: means over seeds": _table(result, regime) for regime in regimes},
        notes=[
            f"Seeds {', '.join(map(str, seeds_of(result.cells)))}; ensembles of different seeds share no member. "
            "Differences are paired over seeds and prompts; their intervals are those over seeds (t) and over prompts, "
            "added in quadrature. The window is what lies between the first and the last point whose gold is within "
            f"{TOLERANCE} of the peak. One RM is read once for each response, an ensemble once for each member.",
            "Gold at equal proxy: at the proxy score that all rewards of a size reach, the lowest of their highest; "
            "human likewise, at the peak of gold and at the largest n.",
        ],
    )


def labelled(result: Result) -> Result:
    """The result with two settings more, for its figure: `cure`, what a run does about over-optimization or which
    control it is, and `regime`, that of the cures that it is compared with."""
    regimes = _regimes(result)
    members = max((cell.settings.get("ensemble_members", 1) for cell in result.cells), default=1)

    def settings(cell: Cell) -> dict[str, str]:
        regime, cure = _regime(cell), str(cell.settings["reward"])
        if regime not in regimes:  # only a control has so many comparisons
            regime, cure = Regime(regime.n_comparisons // members, regime.label_noise), f"{members} x comparisons"
        elif _start(cell) == POLICY:
            cure = "from the policy"
        return {"regime": str(regime), "cure": cure}

    return replace(result, cells=[replace(each, settings={**each.settings, **settings(each)}) for each in result.cells])


def _claims(result: Result, regime: Regime) -> list[Claim]:
    def compared(reward: str, other: str, value: Callable[[Cell], Array], start: str = RANDOM) -> dict[str, Estimate]:
        of_size = {
            size: _difference(_cells(result, regime, size, reward), _cells(result, regime, size, other, start), value)
            for size in values_of(result, "rm_size")
        }
        return {size: estimate for size, estimate in of_size.items() if not math.isnan(estimate.value)}

    claims = []
    for reward in (*ENSEMBLES, "laplace"):
        ends, peaks = (compared(reward, PLAIN, value) for value in (_end, _peak))
        windows = compared(reward, PLAIN, _window)
        if ends:
            claims.append(
                Claim(
                    f"{reward} loses less gold to optimization than one RM, {regime} (Coste et al. 2023, figure 2)",
                    f"gold at the largest n {_of_sizes(ends)}; peak gold {_of_sizes(peaks)}; nats by which the window "
                    f"is wider {_of_sizes(windows)}",
                    _verdict(ends),
                )
            )
    for reward in ("worst-case", "uncertainty-weighted"):
        if over_mean := compared(reward, "mean", _end):
            claims.append(
                Claim(
                    f"{reward} holds gold where the mean of the ensemble does not, {regime} (Coste et al. 2023, 5.2)",
                    f"gold at the largest n less that of the mean {_of_sizes(over_mean)}",
                    _verdict(over_mean),
                )
            )
    if warm := compared("warm", "mean", _end):
        peaks = compared("warm", "mean", _peak)
        claims.append(
            Claim(
                f"An average of weights holds gold better than the mean of an ensemble, {regime} (Rame et al. 2024)",
                f"gold at the largest n less that of the mean {_of_sizes(warm)}; peak gold {_of_sizes(peaks)}; the "
                "members of the average start from the policy's trunk, those of the ensemble from random weights",
                _verdict(warm),
            )
        )
    if alone := compared("warm", PLAIN, _end, start=POLICY):
        peaks = compared("warm", PLAIN, _peak, start=POLICY)
        claims.append(
            Claim(
                f"An average of weights holds gold better than one RM from the same start, {regime} (Rame et al. 2024)",
                f"gold at the largest n less that of one RM from the policy's trunk {_of_sizes(alone)}; peak gold "
                f"{_of_sizes(peaks)}",
                _verdict(alone),
            )
        )
    return [*claims, *_controls(result, regime)]


def _controls(result: Result, regime: Regime) -> list[Claim]:
    """The mean of K members against one RM on K times the data, and one of about K times the parameters."""
    claims = []
    for size in values_of(result, "rm_size"):
        ensemble = _cells(result, regime, size, "mean")
        if not ensemble or not _cells(result, regime, size, PLAIN):
            continue
        members = ensemble[0].settings["ensemble_members"]
        more = Regime(members * regime.n_comparisons, regime.label_noise)
        larger = min(
            SIZES, key=lambda name: abs(math.log(SIZES[name].reward_model_parameters / members / _params(size)))
        )
        controls = {
            f"one RM on {members} times the comparisons": _cells(result, more, size, PLAIN),
            f"one RM of {members} times the parameters ({larger})": _cells(result, regime, larger, PLAIN),
        }
        for name, cells in controls.items():
            peak, end = (_difference(cells, ensemble, value) for value in (_peak, _end))
            if not math.isnan(peak.value):
                claims.append(
                    Claim(
                        f"{name} does better than the mean of {members} RMs, {size}, {regime} (a control of ours)",
                        f"peak gold less that of the ensemble {_signed(peak)}, gold at the largest n {_signed(end)}",
                        sign_verdict(peak, 1),
                    )
                )
    return claims


def _params(size: str) -> int:
    return SIZES[size].reward_model_parameters


def _regime(cell: Cell) -> Regime:
    return Regime(cell.settings["n_comparisons"], cell.settings["label_noise"])


def _regimes(result: Result) -> list[Regime]:
    """Those in which there are cures, the noisy ones first."""
    cured = {_regime(cell) for cell in result.cells if cell.settings["reward"] != PLAIN}
    return sorted(cured, key=lambda regime: (-regime.label_noise, regime))


def _start(cell: Cell) -> str:
    return str(cell.settings.get("rm_start", RANDOM))


def _cells(result: Result, regime: Regime, size: str, reward: str, start: str = RANDOM) -> list[Cell]:
    cells = select(result, **regime._asdict(), rm_size=size, reward=reward)
    return [cell for cell in cells if _start(cell) == start]


def _difference(cells: Sequence[Cell], others: Sequence[Cell], value: Callable[[Cell], Array]) -> Estimate:
    """Mean of value - other's value, paired over seeds and, where a value has one number per prompt, over prompts."""
    by_seed = {cell.settings["seed"]: cell for cell in others}
    pairs = [(cell, by_seed[cell.settings["seed"]]) for cell in cells if cell.settings["seed"] in by_seed]
    if not pairs:
        return Estimate(math.nan, math.nan, math.nan)
    difference_CP = np.array([value(cell) - value(other) for cell, other in pairs])
    over_seeds = mean_interval(difference_CP.mean(axis=1))
    mean_P = difference_CP.mean(axis=0)
    prompts = Z_975 * float(mean_P.std(ddof=1)) / math.sqrt(len(mean_P)) if len(mean_P) > 1 else 0.0
    half = math.hypot(over_seeds.high - over_seeds.value, prompts)
    return Estimate(over_seeds.value, over_seeds.value - half, over_seeds.value + half)


def _peak(cell: Cell) -> Array:
    """Gold at the point of the highest mean gold. Shape: (P,)."""
    return cell.curve.gold_SP[int(cell.curve.gold_S.argmax())]


def _end(cell: Cell) -> Array:
    """Gold at the last point. Shape: (P,)."""
    return cell.curve.gold_SP[-1]


def _window(cell: Cell) -> Array:
    """Nats between the first and the last point within `TOLERANCE` of the peak. Shape: (1,)."""
    within_S = cell.curve.kl_S[cell.curve.gold_S >= cell.curve.gold_S.max() - TOLERANCE]
    return np.array([within_S.max() - within_S.min()])


def _verdict(of_sizes: dict[str, Estimate]) -> str:
    """By all sizes together: `agree` where one is above 0 and none below, and the other way round."""
    signs = [estimate.sign for estimate in of_sizes.values()]
    return verdict(max(signs) > 0 and min(signs) >= 0, min(signs) < 0 and max(signs) <= 0)


def _of_sizes(of_sizes: dict[str, Estimate]) -> str:
    return ", ".join(f"{_signed(estimate)} ({size})" for size, estimate in of_sizes.items())


def _signed(estimate: Estimate) -> str:
    return f"{'+' if estimate.value >= 0 else ''}{estimate}"


def _table(result: Result, regime: Regime) -> pd.DataFrame:
    rows = []
    for size in values_of(result, "rm_size"):
        kinds = [(reward, start) for reward in values_of(result, "reward") for start in (RANDOM, POLICY)]
        of_size = {kind: cells for kind in kinds if (cells := _cells(result, regime, size, *kind))}
        proxy = min((float(c.curve.proxy_S.max()) for cells in of_size.values() for c in cells), default=math.nan)
        for (reward, start), cells in of_size.items():
            members = cells[0].settings.get("ensemble_members", 1)
            rows.append(
                {
                    "RM": size,
                    "reward": reward if start == RANDOM else f"{reward}, from the policy",
                    "peak gold": f"{np.mean([_peak(cell).mean() for cell in cells]):.2f}",
                    "KL of the peak": f"{np.mean([cell.curve.kl_S[cell.curve.gold_S.argmax()] for cell in cells]):.2f}",
                    "gold at the end": f"{np.mean([_end(cell).mean() for cell in cells]):.2f}",
                    "window, nats": f"{np.mean([_window(cell)[0] for cell in cells]):.2f}",
                    "gold at equal proxy": f"{np.mean([_gold_at_proxy(c, proxy) for c in cells]):.2f} at {proxy:.2f}",
                    "human at the peak": _human(cells, lambda cell: int(cell.curve.gold_S.argmax())),
                    "human at the end": _human(cells, lambda cell: -1),
                    "RMs trained": members,
                    "forward passes": 1 if reward in (PLAIN, "laplace", "warm") else members,
                }
            )
    return pd.DataFrame(rows)


def _gold_at_proxy(cell: Cell, proxy: float) -> float:
    """Gold where the proxy score first reaches a value, linear between points."""
    proxy_S, gold_S = cell.curve.proxy_S, cell.curve.gold_S
    after = int((proxy_S >= proxy - 1e-9).argmax())
    if after == 0:
        return float(gold_S[0])
    return float(np.interp(proxy, proxy_S[after - 1 : after + 1], gold_S[after - 1 : after + 1]))


def _human(cells: Sequence[Cell], index: Callable[[Cell], int]) -> str:
    """Mean human judgement at a point of each curve; empty in a world without it."""
    humans = [cell.curve.human_S for cell in cells]
    if any(human_S is None for human_S in humans):
        return ""
    values = [human_S[index(cell)] for cell, human_S in zip(cells, humans, strict=True) if human_S is not None]
    return f"{np.mean(values):.2f}"
