"""Findings on what the size of a reward model does: rm_size, forecast."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlproject.experiments.findings.claims import Finding
from mlproject.experiments.findings.forecast import analyse as analyse_forecast
from mlproject.experiments.findings.proxy_line import proxy_claims
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Forecast, Prior
from mlproject.models.sizes import SIZES

Analyse = Callable[[str, Sequence[Cell]], Finding]
OPPOSITE = {True: "agree", False: "disagree"}
METHODS = ("best-of-n", "ppo")
RM_SIZES = ("1k", "3k", "25k", "100k")
SEEDS = (0, 1)


def verdicts(finding: Finding) -> list[str]:
    return [claim.verdict for claim in finding.claims]


def along(size: str) -> float:
    """About 0 for the smallest reward model, 1 for the largest: log10 of the parameters."""
    return (np.log10(SIZES[size].reward_model_parameters) - 3) / 2


def rm_size(plant: Any, holds: bool) -> list[Cell]:
    """The paper's trends, or each of them the other way round and every method with the other one's law."""
    planter, cells = plant(), []
    for method, size, seed in itertools.product(METHODS, RM_SIZES, SEEDS):
        t, nudge = along(size), 0.02 * (seed - 0.5)
        settings = {"method": method, "rm_size": size, "seed": seed, "sd": 0.05, "wobble": 0.004}
        if holds and method == "best-of-n":
            gold = planter.quadratic(0.7 + 0.3 * t + nudge, 0.25 - 0.12 * t)
            cells.append(planter.cell(gold, planter.quadratic(1.3, 0.02), d_S=np.linspace(0, 3.2, 21), **settings))
        elif holds:
            gold = planter.logarithmic(1.0 + nudge, 0.65 - 0.25 * t)
            cells.append(planter.cell(gold, planter.logarithmic(1.5, 0.05), d_S=np.linspace(0, 6, 31), **settings))
        elif method == "best-of-n":
            gold = planter.logarithmic(1.2 - 0.5 * t + nudge, 0.4 + 0.1 * t)
            proxy = planter.logarithmic(0.8 - 0.5 * t, 0.45 + 0.1 * t)
            cells.append(planter.cell(gold, proxy, d_S=np.linspace(0, 4.5, 21), **settings))
        else:
            gold = planter.quadratic(1.5 - 0.6 * t + nudge, 0.13 + 0.03 * t)
            proxy = planter.quadratic(1.0 - 0.6 * t + nudge, 0.15 + 0.03 * t)
            cells.append(planter.cell(gold, proxy, d_S=np.linspace(0, 6, 31), **settings))
    return cells


@pytest.fixture(scope="module")
def sizes(plant: Any, analyse: Analyse) -> dict[bool, tuple[list[Cell], Finding]]:
    """Cells and finding, where the claims hold and where their opposites do."""
    return {holds: (cells, analyse("rm_size", cells)) for holds in (True, False) for cells in [rm_size(plant, holds)]}


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_sizes_follow_the_planted_data(sizes: dict, holds: bool) -> None:
    assert verdicts(sizes[holds][1])[:20] == [OPPOSITE[holds]] * 20


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        (lambda d: 0.8 * d, {0: "agree", 2: "agree"}),  # straight
        (lambda d: np.sqrt(d), {0: "disagree"}),  # curved from the start
        (lambda d: d * (1.0 - 0.1 * d) + 0.02 * d**3, {1: "agree"}),  # rises more than its beginning predicts
        (
            lambda d: d * (1.0 - 0.1 * d) - 0.02 * d**3,
            {1: "disagree", 2: "disagree"},
        ),  # rises less; curved like gold
    ],
)
def test_verdicts_on_the_shape_of_the_proxy_curve_follow_the_planted_data(
    plant: Any, proxy: Any, expected: dict[int, str]
) -> None:
    planter, d_S = plant(), np.linspace(0, 4, 31)
    gold = planter.quadratic(1.0, 0.2)
    cells = [planter.cell(gold, proxy, d_S=d_S, sd=0.01, seed=seed) for seed in range(6)]
    results = [claim.verdict for claim in proxy_claims("best-of-n", cells)]
    assert {index: results[index] for index in expected} == expected


def fitted(cell: Cell, scores_SP: np.ndarray, form: str, least_d: float, most_d: float = np.inf) -> np.ndarray:
    """Coefficients (alpha, -beta) by the normal equations."""
    d = np.sqrt(cell.curve.kl_S)
    used = (d > least_d) & (d <= most_d)
    X = columns(d[used], form)
    return np.linalg.solve(X.T @ X, X.T @ scores_SP.mean(axis=1)[used])


def columns(d: np.ndarray, form: str) -> np.ndarray:
    return np.column_stack([d, d**2 if form == "quadratic" else d * np.log(d)])


def rmse(cell: Cell, coefficients: np.ndarray, form: str, above_d: float) -> float:
    d = np.sqrt(cell.curve.kl_S)
    used = d > above_d
    residual = cell.curve.gold_SP.mean(axis=1)[used] - columns(d[used], form) @ coefficients
    return float(np.sqrt((residual**2).mean()))


@pytest.mark.parametrize("holds", [True, False])
def test_numbers_on_trends_are_those_of_the_normal_equations(sizes: dict, reference: Any, holds: bool) -> None:
    cells, finding = sizes[holds]
    for method, form, start in (("best-of-n", "quadratic", 0.0), ("ppo", "log", 0.3)):
        group = [cell for cell in cells if cell.settings["method"] == method]
        params = [cell.settings["rm_params"] for cell in group]
        claims = [
            claim for claim in finding.claims if method in claim.paper or (" RL " in claim.paper and method == "ppo")
        ]
        texts = iter(claim.measured for claim in claims)
        peaks = [reference.peak_gold(cell) for cell in group]
        height, peak_kl = next(texts), next(texts)
        assert reference.numbers(height)[:3] == pytest.approx(reference.slope(params, peaks), abs=0.0051)
        for text, values in ((height, peaks), (peak_kl, [reference.peak_kl(cell) for cell in group])):
            expected = [reference.rank_correlation(params[seed::2], values[seed::2]) for seed in SEEDS]
            assert reference.numbers(text.split("by seed")[1]) == pytest.approx(expected, abs=0.0051)
        laws = np.array([fitted(cell, cell.curve.gold_SP, form, start) for cell in group])
        alpha, beta = reference.slope(params, laws[:, 0]), reference.slope(params, -laws[:, 1])
        if method == "best-of-n":
            assert reference.numbers(next(texts)) == pytest.approx(alpha, abs=0.0051)
            assert reference.numbers(next(texts)) == pytest.approx(beta, abs=0.0051)
        else:
            assert reference.numbers(next(texts).split("per curve")[1]) == pytest.approx(beta, abs=0.0051)
            assert reference.numbers(next(texts).split("change by")[1])[:3] == pytest.approx(alpha, abs=0.0051)


@pytest.mark.parametrize("holds", [True, False])
def test_a_shared_alpha_is_one_column_for_all_sizes_of_a_seed(sizes: dict, reference: Any, holds: bool) -> None:
    cells, finding = sizes[holds]
    shared_beta, sharing = (c.measured for c in finding.claims if "shared" in c.paper)
    betas, errors, aic = {}, {True: [], False: []}, []
    for seed in SEEDS:
        group = [c for c in cells if c.settings["method"] == "ppo" and c.settings["seed"] == seed]
        points = [
            (i, d, y) for i, c in enumerate(group) for d, y in zip(c.curve.sqrt_kl_S, c.curve.gold_S, strict=True)
        ]
        points = [(i, d, y) for i, d, y in points if d > 0.3]
        gold = np.array([y for *_, y in points])
        for shared in (True, False):
            X = np.zeros((len(points), 4 + (1 if shared else 4)))
            for row, (i, d, _) in zip(X, points, strict=True):
                row[i] = -d * np.log(d)
                row[4 if shared else 4 + i] = d
            coef_A = np.linalg.lstsq(X, gold, rcond=None)[0]
            squares = ((gold - X @ coef_A) ** 2).sum()
            errors[shared].append(np.sqrt(squares / len(gold)))
            aic.append((1 if shared else -1) * (len(gold) * np.log(squares / len(gold)) + 2 * X.shape[1]))
            if shared:
                betas |= {(c.settings["rm_params"], seed): beta for c, beta in zip(group, coef_A, strict=False)}
    expected = reference.slope([params for params, _ in betas], list(betas.values()))
    assert reference.numbers(shared_beta.split(";")[0]) == pytest.approx(expected, abs=0.0051)
    quoted = reference.numbers(sharing)
    assert quoted[:2] == pytest.approx([np.mean(errors[True]), np.mean(errors[False])], abs=0.00051)
    assert quoted[2] == pytest.approx(sum(aic) / len(SEEDS), abs=0.51)


@pytest.mark.parametrize("holds", [True, False])
def test_numbers_on_forms_and_extrapolation_are_those_of_the_normal_equations(
    sizes: dict, reference: Any, holds: bool
) -> None:
    cells, finding = sizes[holds]
    for method, form, rival in (("best-of-n", "quadratic", "log"), ("ppo", "log", "quadratic")):
        group = [cell for cell in cells if cell.settings["method"] == method]
        fits = next(c.measured for c in finding.claims if f"fits {method}" in c.paper)
        predicts = next(c.measured for c in finding.claims if "predicts the rest" in c.paper and method in c.paper)
        errors = {
            name: [rmse(cell, fitted(cell, cell.curve.gold_SP, name, 0.3), name, 0.3) for cell in group]
            for name in (form, rival)
        }
        wins = sum(a < b for a, b in zip(errors[form], errors[rival], strict=True))
        expected = [np.mean(errors[form]), np.mean(errors[rival]), wins, len(group)]
        assert reference.numbers(fits)[:4] == pytest.approx(expected, abs=0.00051)
        own, last = [], []
        for cell in group:
            cut = np.sqrt(0.6) * cell.curve.sqrt_kl_S.max()
            own.append(rmse(cell, fitted(cell, cell.curve.gold_SP, form, 0.3, cut), form, cut))
            d, gold = cell.curve.sqrt_kl_S, cell.curve.gold_S
            last.append(np.sqrt(((gold[d > cut] - gold[d <= cut][-1]) ** 2).mean()))
        better = sum(a < b for a, b in zip(own, last, strict=True))
        expected = [np.mean(own), np.mean(last), better, len(group)]
        assert reference.numbers(predicts)[:4] == pytest.approx(expected, abs=0.00051)
        table = next(t for title, t in finding.tables.items() if "extrapolation" in title and f"KL, {method}" in title)
        assert table["RM size"].tolist() == [*RM_SIZES, "all"]
        assert float(table["last value"].iloc[-1]) == pytest.approx(np.mean(last), abs=0.00051)


def test_numbers_on_goodhart_are_those_of_the_planted_laws(sizes: dict, reference: Any) -> None:
    cells, finding = sizes[True]
    for method, form, start in (("best-of-n", "quadratic", 0.0), ("ppo", "log", 0.3)):
        group = [cell for cell in cells if cell.settings["method"] == method]
        params = [cell.settings["rm_params"] for cell in group]
        regressional, excess, extremal, gamma = (c.measured for c in finding.claims[-14:-6] if method in c.paper)
        assert regressional == "significantly on 8 of 8 curves, significantly lower on 0"
        assert excess == "significantly on 8 of 8 curves"
        gold, proxy = (
            np.array([fitted(c, getattr(c.curve, y), form, start) for c in group]) for y in ("gold_SP", "proxy_SP")
        )
        assert reference.numbers(extremal)[:3] == pytest.approx(reference.slope(params, -gold[:, 1]), abs=0.0051)
        X = columns(np.linspace(1e-6, group[0].curve.sqrt_kl_S.max(), 20001), form)
        gammas = [np.abs(X @ (g - p)).mean() / (X @ g).mean() for g, p in zip(gold, proxy, strict=True)]
        assert reference.numbers(gamma)[:3] == pytest.approx(reference.slope(params, gammas), abs=0.0051)


def test_a_note_counts_the_curves_that_peak_before_their_end(sizes: dict) -> None:
    cells, finding = sizes[True]
    inside = sum(cell.curve.gold_S.tolist().index(cell.curve.gold_S.max()) < len(cell.curve) - 1 for cell in cells)
    assert finding.notes[0].startswith(f"{inside} of {len(cells)} curves peak before")


def test_seeds_without_a_trend_of_peak_kl_give_cannot_tell(plant: Any, analyse: Analyse) -> None:
    planter = plant()
    cells = [
        planter.cell(planter.hill(1 + 0.1 * along(size), 1.5 + 0.5 * along(size) * seed), rm_size=size, seed=seed)
        for seed, size in itertools.product(SEEDS[::-1], RM_SIZES)
    ]
    later = analyse("rm_size", cells).claims[1]
    assert later.measured == "rank correlation by seed +0.00, +1.00"
    assert later.verdict == "cannot tell"


def forecast(plant: Any, holds: bool) -> list[Cell]:
    """Laws that change smoothly with size; or kinks that no law describes, with a random height for every size."""
    planter, cells = plant(), []
    rng = np.random.default_rng(3)
    for method, size, seed in itertools.product(METHODS, RM_SIZES, SEEDS):
        t, nudge = along(size), 1 + 0.01 * (seed - 0.5)
        settings = {"method": method, "rm_size": size, "seed": seed, "sd": 0.1}
        if method == "best-of-n":
            gold, end = planter.hill((0.7 + 0.2 * t) * nudge, 1.6 + 0.4 * t), 3.5
        else:
            beta, peak_d = 0.45, 1.8 + 0.5 * t  # peak d is exp(a/b - 1), and gold there b d
            gold, end = planter.logarithmic(beta * (np.log(peak_d) + 1) * nudge, beta * nudge), 5.0
        if not holds:
            height = rng.uniform(0.2, 1.5)
            bend = planter.hill(height, 1.2)

            def gold(d: np.ndarray, bend: Any = bend, height: float = height) -> np.ndarray:
                return np.where(d < 1.8, bend(d), bend(np.array(1.8)) + height * (d - 1.8)) - 2 * np.maximum(d - 3.3, 0)

            end = 3.5
        cells.append(planter.cell(gold, planter.quadratic(0.9, 0.02), d_S=np.linspace(0, end, 21), **settings))
    return cells


@pytest.fixture(scope="module")
def forecasts(plant: Any, analyse: Analyse) -> dict[bool, tuple[list[Cell], Finding]]:
    return {holds: (cells, analyse("forecast", cells)) for holds in (True, False) for cells in [forecast(plant, holds)]}


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_forecasts_follow_the_planted_data(forecasts: dict, holds: bool) -> None:
    assert verdicts(forecasts[holds][1]) == [OPPOSITE[holds]] * 6


def predictions(cells: Sequence[Cell], cell: Cell, with_prior: bool) -> list[Any]:
    """Predictions after every point, with a prior from all curves of other sizes."""
    others: dict[int, list[Any]] = {}
    for other in cells:
        if other.settings["rm_params"] != cell.settings["rm_params"]:
            others.setdefault(other.settings["rm_params"], []).append(other.curve)
    method, params = cell.settings["method"], cell.settings["rm_params"]
    forecast = Forecast(method, Prior.from_curves(method, others, params) if with_prior else None)
    return [forecast.update(point) for point in cell.curve]


def test_numbers_on_forecasts_compare_them_with_measured_points(forecasts: dict, reference: Any) -> None:
    cells, finding = forecasts[False]
    for method, (half, first, worth) in zip(METHODS, (finding.claims[:3], finding.claims[3:]), strict=True):
        group = [cell for cell in cells if cell.settings["method"] == method]
        near_kl, near_gold, near_first, covered, lost, free = [], [], [], [], [], []
        for cell in group:
            gold = cell.curve.gold_SP.mean(axis=1)
            peak_kl, peak_gold = reference.peak_kl(cell), reference.peak_gold(cell)
            assert gold.argmax() < len(gold) - 1
            forecasts = predictions(group, cell, with_prior=True)
            at = forecasts[max(i for i, kl in enumerate(cell.curve.kl_S) if kl <= peak_kl / 2)]
            near_kl.append(abs(at.peak_kl / peak_kl - 1) < 0.25)
            near_gold.append(abs(at.peak_gold / peak_gold - 1) < 0.05)
            near_first.append(abs(forecasts[0].peak_gold / peak_gold - 1) < 0.05)
            covered.append(forecasts[0].peak_gold_interval[0] <= peak_gold <= forecasts[0].peak_gold_interval[1])
            for regrets, each in ((lost, forecasts), (free, predictions(group, cell, with_prior=False))):
                stops = (i for i, p in enumerate(each) if cell.curve.kl_S[i] >= p.loses_beyond_kl)
                regrets.append(gold.max() - gold[next(stops, -1)])
        assert half.measured == f"{np.mean(near_kl):.0%} and {np.mean(near_gold):.0%} of {len(group)} curves"
        assert reference.numbers(first.measured)[1] == pytest.approx(np.mean(near_first), abs=0.0051)
        assert reference.numbers(first.measured)[-1] == pytest.approx(np.mean(covered), abs=0.0051)
        golds = [cell.curve.gold_SP.mean(axis=1) for cell in group]
        last = np.mean([gold.max() - gold[-1] for gold in golds])
        proxy = np.mean(
            [g.max() - g[c.curve.proxy_SP.mean(axis=1).argmax()] for g, c in zip(golds, group, strict=True)]
        )
        fixed = min(np.mean([gold.max() - gold[i] for gold in golds]) for i in range(len(golds[0])))  # the same KLs
        quoted = reference.numbers(worth.measured)
        assert quoted == pytest.approx([np.mean(lost), np.mean(free), last, fixed, proxy], abs=0.0011)


def test_a_forecast_from_half_of_the_way_counts_its_gold_scored_responses(forecasts: dict) -> None:
    cells, finding = forecasts[True]
    table = next(table for title, table in finding.tables.items() if "first half" in title and "best-of-n" in title)
    half_way = [
        sum(kl <= cell.curve.kl_S[cell.curve.gold_S.argmax()] / 2 for kl in cell.curve.kl_S) for cell in cells[:8]
    ]
    assert table["curves"].tolist() == [8] * 4
    counts = table["gold-scored responses (median)"].tolist()
    assert counts == [int(np.median(half_way) * 64)] * 3 + [64]


def test_curves_without_a_peak_are_refused(plant: Any) -> None:
    planter = plant()
    cells = [planter.cell(planter.quadratic(1.0, 0.0), rm_size=size) for size in RM_SIZES]
    with pytest.raises(ValueError, match="no curve peaks before its last point"):
        analyse_forecast(Result("forecast", {}, cells))
