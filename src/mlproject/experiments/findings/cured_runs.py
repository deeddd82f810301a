"""Runs with cures beside runs without, by regime of labels and RM size: what is compared, and how.

Axis letters: C curves, S curve points, P prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mlproject.cures.cure import PLAIN
from mlproject.curve import Array
from mlproject.experiments.findings.evidence import mean_interval
from mlproject.experiments.findings.frontier import window
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.laws.intervals import Z_975
from mlproject.models.sizes import SIZES
from mlproject.optimization import find_method
from mlproject.preferences import POLICY, RANDOM


class Regime(NamedTuple):
    """Comparisons that each reward model learned from, and the share of flipped labels."""

    n_comparisons: int
    label_noise: float

    def __str__(self) -> str:
        labels = f"{self.label_noise:.0%} flipped" if self.label_noise else "clean"
        return f"{self.n_comparisons:,} {labels}"


class CuredRuns:
    """Runs that differ in reward, regime, RM size, seed and the start of the RM, and in nothing else.

    Args:
        cells: the runs.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = sorted(cells, key=lambda cell: (cell.settings["rm_params"], cell.settings["seed"]))
        self.sizes = list(dict.fromkeys(cell.settings["rm_size"] for cell in self._cells))
        self.rewards = sorted({cell.settings["reward"] for cell in self._cells})

    @property
    def regimes(self) -> list[Regime]:
        """Those in which there are cures, the noisy ones first."""
        cured = {regime_of(cell) for cell in self._cells if cell.settings["reward"] != PLAIN}
        return sorted(cured, key=lambda regime: (-regime.label_noise, regime))

    def of(self, regime: Regime, size: str, reward: str = PLAIN, start: str = RANDOM) -> list[Cell]:
        """Runs by seed; none where there are none."""
        wanted = (regime, size, reward, start)
        return [
            cell
            for cell in self._cells
            if (regime_of(cell), cell.settings["rm_size"], cell.settings["reward"], start_of(cell)) == wanted
        ]

    def compared(
        self, regime: Regime, reward: str, other: str, value: Callable[[Cell], Array], start: str = RANDOM
    ) -> dict[str, Estimate]:
        """A value of a reward less that of another, by RM size; sizes that lack one of the two are left out.

        Args:
            regime, reward, other: what is compared with what.
            value: of one run, see `difference`.
            start: where the other's reward model starts.
        """
        of_size = {
            size: difference(self.of(regime, size, reward), self.of(regime, size, other, start), value)
            for size in self.sizes
        }
        return {size: estimate for size, estimate in of_size.items() if not math.isnan(estimate.value)}

    def larger(self, size: str, times: int) -> str:
        """The size of about so many times the parameters."""
        wanted = times * SIZES[size].reward_model_parameters
        return min(SIZES, key=lambda name: abs(math.log(SIZES[name].reward_model_parameters / wanted)))


def regime_of(cell: Cell) -> Regime:
    """The regime of a run's reward model."""
    return Regime(cell.settings["n_comparisons"], cell.settings["label_noise"])


def start_of(cell: Cell) -> str:
    """Where the reward model of a run started: from random weights or from the policy's trunk."""
    return str(cell.settings.get("rm_start", RANDOM))


def labelled(result: Result) -> Result:
    """The result with two settings more, for its figure and table: `cure`, what a run does about over-optimization or
    which control it is, and `regime`, that of the cures that it is compared with."""
    regimes = CuredRuns(result.cells).regimes
    members = max((cell.settings.get("ensemble_members", 1) for cell in result.cells), default=1)

    def settings(cell: Cell) -> dict[str, str]:
        regime, cure = regime_of(cell), str(cell.settings["reward"])
        if regime not in regimes:  # only a control has so many comparisons
            regime, cure = Regime(regime.n_comparisons // members, regime.label_noise), f"{members} x comparisons"
        elif start_of(cell) == POLICY and cure == PLAIN:
            cure = "from the policy"
        return {"regime": str(regime), "cure": ", ".join(filter(None, (cure, variant_of(cell))))}

    return result.with_settings(settings)


def variant_of(cell: Cell) -> str:
    """What tells how a run optimizes its reward from the method as it is published; mostly empty."""
    return find_method(cell.settings["method"]).config_class.from_params(cell.settings).variant


def difference(cells: Sequence[Cell], others: Sequence[Cell], value: Callable[[Cell], Array]) -> Estimate:
    """Mean of value - other's value, paired over seeds and, where a value has one number per prompt, over prompts; its
    interval is that over seeds (t) and that over prompts, added in quadrature.

    Args:
        cells, others: runs; those whose seed the other side lacks are left out.
        value: of one run, shape (P,), or (1,) where it is one number.
    """
    pairs = paired(cells, others)
    if not pairs:
        return Estimate(math.nan, math.nan, math.nan)
    difference_CP = np.array([value(cell) - value(other) for cell, other in pairs])
    over_seeds = mean_interval(difference_CP.mean(axis=1))
    mean_P = difference_CP.mean(axis=0)
    prompts = Z_975 * float(mean_P.std(ddof=1)) / math.sqrt(len(mean_P)) if len(mean_P) > 1 else 0.0
    half = math.hypot(over_seeds.high - over_seeds.value, prompts)
    return Estimate(over_seeds.value, over_seeds.value - half, over_seeds.value + half)


def paired(cells: Sequence[Cell], others: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Runs of equal seeds."""
    by_seed = {cell.settings["seed"]: cell for cell in others}
    return [(cell, by_seed[cell.settings["seed"]]) for cell in cells if cell.settings["seed"] in by_seed]


def at_peak(cell: Cell) -> Array:
    """Gold at the point of the highest mean gold. Shape: (P,)."""
    return cell.curve.gold_SP[int(cell.curve.gold_S.argmax())]


def at_end(cell: Cell) -> Array:
    """Gold at the last point. Shape: (P,)."""
    return cell.curve.gold_SP[-1]


def width(cell: Cell) -> Array:
    """Nats between the first and the last point near the peak. Shape: (1,)."""
    return np.array([window(cell.curve)])


def gold_at_proxy(cell: Cell, proxy: float) -> float:
    """Gold where the proxy score first reaches a value, linear between points."""
    proxy_S, gold_S = cell.curve.proxy_S, cell.curve.gold_S
    after = int((proxy_S >= proxy - 1e-9).argmax())
    if after == 0:
        return float(gold_S[0])
    return float(np.interp(proxy, proxy_S[after - 1 : after + 1], gold_S[after - 1 : after + 1]))


def human(cells: Sequence[Cell], index: Callable[[Cell], int]) -> str:
    """Mean human judgement at a point of each curve; empty in a world without it."""
    humans = [cell.curve.human_S for cell in cells]
    if any(human_S is None for human_S in humans):
        return ""
    values = [human_S[index(cell)] for cell, human_S in zip(cells, humans, strict=True) if human_S is not None]
    return f"{np.mean(values):.2f}"
