"""Planted results: curves that follow a law, with variation between prompts and points."""

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
    """Differences between prompts that are shared by all points, plus a small independent part; both with mean 0."""
    point_SP = rng.normal(size=(len(d_S), PROMPTS))
    values_SP = np.minimum(d_S, 1.0)[:, None] * (rng.normal(size=PROMPTS) + 0.1 * point_SP)
    return sd * (values_SP - values_SP.mean(axis=1, keepdims=True))


def hill(height: float, peak_d: float) -> Callable[[Array], Array]:
    """The best-of-n law with this peak."""
    return quadratic(2 * height / peak_d, height / peak_d**2)


class Planter:
    """Creates cells; every call draws new random numbers."""

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
        win: Callable[[Array], Array] | None = None,
        d_S: Array | None = None,
        sd: float = 0.2,
        wobble: float = 0.0,
        metrics: dict[str, float] | None = None,
        **settings: Any,
    ) -> Cell:
        """One policy run.

        Args:
            gold, proxy, human: mean scores over d.
            win: mean win rate over d.
            d_S: square-root nats of the points; 0 to 3 by default.
            sd: spread among prompts, whose mean is 0 at every point.
            wobble: standard deviation by which the mean over prompts leaves `gold` from point to point.
            metrics: in addition to those that follow from the curve.
            settings: override the defaults.
        """
        d_S = np.linspace(0.0, 3.0, POINTS) if d_S is None else d_S
        rng = self._rng
        noise_SP = scatter(rng, d_S, sd)
        gold_S = gold(d_S) + wobble * rng.normal(size=len(d_S)) * (d_S > 0)
        peak_d = max(float(d_S[gold_S.argmax()]), 0.1)
        shared_S = 0.6 * np.maximum(1 - (d_S / peak_d) ** 3 / 2, 0)[:, None]  # correlation of proxy and gold
        proxy_SP = shared_S * noise_SP + np.sqrt(1 - shared_S**2) * scatter(rng, d_S, sd)
        curve = Curve(
            steps_S=np.arange(len(d_S)),
            kl_S=d_S**2,
            proxy_SP=proxy(d_S)[:, None] + proxy_SP,
            gold_SP=gold_S[:, None] + noise_SP,
            human_SP=None if human is None else human(d_S)[:, None] + 0.9 * noise_SP,
            win_SP=None if win is None else win(d_S)[:, None] + 0.1 * noise_SP,
        )
        settings_ = {"method": "best-of-n", "rm_size": "3k", "seed": 0, "n_comparisons": 8000, "rm_epochs": 1.0}
        settings_ |= {"policy_size": "100k", "kl_coef": 0.0, "label_noise": 0.0, "labels": "hard"}
        settings_ |= {"round": 1, "rounds_from": "", "rounds_data": "", "eval_samples": 1} | settings
        size = settings_["policy_size"] if settings_["rm_size"] == "implicit" else settings_["rm_size"]
        settings_["rm_params"] = SIZES[size].reward_model_parameters
        peak = int(gold_S.argmax())
        from_curve = {"peak/gold": gold_S[peak], "peak/kl": d_S[peak] ** 2, "curve/gold": gold_S[-1]}
        return Cell(settings_, {name: float(x) for name, x in (from_curve | (metrics or {})).items()}, curve)


def peak_gold(cell: Cell) -> float:
    """Peak gold by plain loops: each half of the prompts at the best point of the other half."""
    rows = cell.curve.gold_SP.tolist()
    halves = [[row[0::2] for row in rows], [row[1::2] for row in rows]]
    total = 0.0
    for half, other in (halves, halves[::-1]):
        best = max(range(len(rows)), key=lambda i: (sum(other[i]), -i))
        total += sum(half[best])
    return total / len(rows[0])


def peak_kl(cell: Cell) -> float:
    """KL of the point of the highest mean gold, nats."""
    means = [sum(row) / len(row) for row in cell.curve.gold_SP.tolist()]
    return float(cell.curve.kl_S[means.index(max(means))])


T_975 = {2: 4.302653, 5: 2.570582, 6: 2.446912, 7: 2.364624, 8: 2.306004, 10: 2.228139}
"""97.5th percentiles of Student's t, from a printed table."""


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % t-interval by plain sums."""
    n = len(values)
    mean = sum(values) / n
    half = T_975[n - 1] * (sum((x - mean) ** 2 for x in values) / (n - 1) / n) ** 0.5
    return mean, mean - half, mean + half


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope of y over log10 x with its 95 % t-interval, by the textbook's sums."""
    u = np.log10(np.asarray(x, float))
    v = np.asarray(y, float)
    du = u - u.mean()
    slope = float((du * v).sum() / (du**2).sum())
    rest = v - v.mean() - slope * du
    half = T_975[len(u) - 2] * float(np.sqrt((rest**2).sum() / (len(u) - 2) / (du**2).sum()))
    return slope, slope - half, slope + half


def ranks(values: Sequence[float]) -> Array:
    """Ranks by counting; ties share."""
    x = np.asarray(values, float)
    return np.array([(x < v).sum() + ((x == v).sum() + 1) / 2 for v in x])


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's, as Pearson's of the ranks."""
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def numbers(text: str) -> list[float]:
    """All numbers in a text, percentages as shares."""
    matches = re.findall(r"(?<![\w.])([+-]?\d+(?:\.\d+)?)( ?%)?", text)
    return [float(number) / (100 if percent else 1) for number, percent in matches]


class Reference:
    """Independent reference implementations of what findings compute."""

    peak_gold = staticmethod(peak_gold)
    peak_kl = staticmethod(peak_kl)
    interval = staticmethod(interval)
    slope = staticmethod(slope)
    rank_correlation = staticmethod(rank_correlation)
    numbers = staticmethod(numbers)


@pytest.fixture(scope="session")
def plant() -> Callable[[], Planter]:
    """A planter with a fresh generator."""
    return Planter


@pytest.fixture(scope="session")
def analyse() -> Callable[[str, Sequence[Cell]], Finding]:
    """The finding of an experiment; its verdicts are valid, and none of its texts contains a missing number."""

    def run(name: str, cells: Sequence[Cell]) -> Finding:
        finding = finding_function(name)(Result(name, {"preset": "planted"}, cells))
        tables = [
            str(text) for table in finding.tables.values() for text in [*table.columns, *table.to_numpy().ravel()]
        ]
        for text in [*(f"{c.paper} {c.measured}" for c in finding.claims), *finding.notes, *finding.tables, *tables]:
            assert not re.search(r"\b(nan|inf|None)\b", text), text
        assert finding.claims and {claim.verdict for claim in finding.claims} <= set(VERDICTS)
        return finding

    return run


@pytest.fixture(scope="session")
def reference() -> type[Reference]:
    return Reference
