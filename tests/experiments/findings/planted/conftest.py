"""Worlds whose truth is planted: curves that follow a law, with prompts that differ and points that scatter."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlproject.curve import Curve
from mlproject.experiments.findings.claims import VERDICTS, Finding, finding_function
from mlproject.experiments.results import Cell, Result
from mlproject.models.sizes import SIZES

Array = NDArray[np.float64]
PROMPTS, POINTS = 64, 21


def quadratic(a: float, b: float) -> Callable[[Array], Array]:
    """The law of best-of-n: d (a - b d)."""
    return lambda d: d * (a - b * d)


def logarithmic(a: float, b: float) -> Callable[[Array], Array]:
    """The law of RL: d (a - b log d)."""
    return lambda d: d * (a - b * np.log(np.maximum(d, 1e-9)))


def scatter(rng: np.random.Generator, d_S: Array, sd: float) -> Array:
    """Differences among prompts that last over all points, and a little of every point's own; both of mean 0."""
    own_SP = rng.normal(size=(len(d_S), PROMPTS))
    values_SP = np.minimum(d_S, 1.0)[:, None] * (rng.normal(size=PROMPTS) + 0.1 * own_SP)
    return sd * (values_SP - values_SP.mean(axis=1, keepdims=True))


def hill(height: float, peak_d: float) -> Callable[[Array], Array]:
    """The law of best-of-n whose peak is here."""
    return quadratic(2 * height / peak_d, height / peak_d**2)


class Planter:
    """Makes cells; every call draws on its own numbers."""

    quadratic = staticmethod(quadratic)
    logarithmic = staticmethod(logarithmic)
    hill = staticmethod(hill)

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def cell(
        self,
        gold: Callable[[Array], Array],
        proxy: Callable[[Array], Array] = lambda d: d,
        human: Callable[[Array], Array] | None = None,
        d_S: Array | None = None,
        sd: float = 0.2,
        wobble: float = 0.0,
        metrics: dict[str, float] | None = None,
        **settings: Any,
    ) -> Cell:
        """One policy run.

        Args:
            gold, proxy, human: mean scores over d.
            d_S: square-root nats of the points; from 0 to 3 unless told.
            sd: spread among prompts, whose mean is 0 at every point.
            wobble: standard deviation by which the mean over prompts leaves `gold` from point to point.
            metrics: beside those that follow from the curve.
            settings: beside or in place of what is usual.
        """
        d_S = np.linspace(0.0, 3.0, POINTS) if d_S is None else d_S
        rng = self._rng
        noise_SP = scatter(rng, d_S, sd)
        gold_S = gold(d_S) + wobble * rng.normal(size=len(d_S)) * (d_S > 0)
        peak_d = max(float(d_S[gold_S.argmax()]), 0.1)
        shared_S = 0.6 * np.maximum(1 - (d_S / peak_d) ** 3 / 2, 0)[:, None]  # how proxy and gold go together
        proxy_SP = shared_S * noise_SP + np.sqrt(1 - shared_S**2) * scatter(rng, d_S, sd)
        curve = Curve(
            steps_S=np.arange(len(d_S)),
            kl_S=d_S**2,
            proxy_SP=proxy(d_S)[:, None] + proxy_SP,
            gold_SP=gold_S[:, None] + noise_SP,
            human_SP=None if human is None else human(d_S)[:, None] + 0.9 * noise_SP,
        )
        usual = {"method": "best-of-n", "rm_size": "3k", "seed": 0, "n_comparisons": 8000, "rm_epochs": 1.0}
        usual |= {"policy_size": "100k", "kl_coef": 0.0, "label_noise": 0.0, "labels": "hard"}
        usual |= {"round": 1, "rounds_from": "", "rounds_data": "", "eval_samples": 1} | settings
        usual["rm_params"] = SIZES[usual["rm_size"]].reward_model_parameters
        peak = int(gold_S.argmax())
        follows = {"peak/gold": gold_S[peak], "peak/kl": d_S[peak] ** 2, "curve/gold": gold_S[-1]}
        return Cell(usual, {name: float(x) for name, x in (follows | (metrics or {})).items()}, curve)


def peak_gold(cell: Cell) -> float:
    """Peak gold the long way: each half of the prompts at the point that the other half likes best."""
    rows = cell.curve.gold_SP.tolist()
    halves = [[row[0::2] for row in rows], [row[1::2] for row in rows]]
    total = 0.0
    for mine, other in (halves, halves[::-1]):
        best = max(range(len(rows)), key=lambda i: (sum(other[i]), -i))
        total += sum(mine[best])
    return total / len(rows[0])


def peak_kl(cell: Cell) -> float:
    """KL of the point of the highest mean gold, nats."""
    means = [sum(row) / len(row) for row in cell.curve.gold_SP.tolist()]
    return float(cell.curve.kl_S[means.index(max(means))])


T_975 = {2: 4.302653, 5: 2.570582, 6: 2.446912, 8: 2.306004, 10: 2.228139}
"""97.5th percentiles of Student's t, from a printed table."""


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % t-interval, the long way."""
    n = len(values)
    mean = sum(values) / n
    half = T_975[n - 1] * (sum((x - mean) ** 2 for x in values) / (n - 1) / n) ** 0.5
    return mean, mean - half, mean + half


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope of y over log10 x with its 95 % t-interval, by the textbook's sums."""
    u = np.log10(np.asarray(x, float))
    v = np.asarray(y, float)
    du = u - u.mean()
    found = float((du * v).sum() / (du**2).sum())
    left = v - v.mean() - found * du
    half = T_975[len(u) - 2] * float(np.sqrt((left**2).sum() / (len(u) - 2) / (du**2).sum()))
    return found, found - half, found + half


def ranks(values: Sequence[float]) -> Array:
    """Ranks by counting; ties share."""
    x = np.asarray(values, float)
    return np.array([(x < v).sum() + ((x == v).sum() + 1) / 2 for v in x])


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's, as Pearson's of the ranks."""
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def numbers(text: str) -> list[float]:
    """All numbers in a text, percentages as shares."""
    found = re.findall(r"(?<![\w.])([+-]?\d+(?:\.\d+)?)( ?%)?", text)
    return [float(number) / (100 if percent else 1) for number, percent in found]


class LongWay:
    """What readers compute, computed otherwise."""

    peak_gold = staticmethod(peak_gold)
    peak_kl = staticmethod(peak_kl)
    interval = staticmethod(interval)
    slope = staticmethod(slope)
    rank_correlation = staticmethod(rank_correlation)
    numbers = staticmethod(numbers)


@pytest.fixture(scope="session")
def plant() -> Callable[[], Planter]:
    """A planter, with its generator at the start."""
    return Planter


@pytest.fixture(scope="session")
def read() -> Callable[[str, Sequence[Cell]], Finding]:
    """What the reader of an experiment finds; its verdicts are known words, and none of its texts lacks a number."""

    def found_by(name: str, cells: Sequence[Cell]) -> Finding:
        found = finding_function(name)(Result(name, {"preset": "planted"}, cells))
        tables = [str(text) for table in found.tables.values() for text in [*table.columns, *table.to_numpy().ravel()]]
        for text in [*(f"{c.paper} {c.measured}" for c in found.claims), *found.notes, *found.tables, *tables]:
            assert not re.search(r"\b(nan|inf|None)\b", text), text
        assert found.claims and {claim.verdict for claim in found.claims} <= set(VERDICTS)
        return found

    return found_by


@pytest.fixture(scope="session")
def long_way() -> type[LongWay]:
    return LongWay
