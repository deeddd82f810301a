"""Findings on what data does: rm_data, epochs_vs_data, val_loss, label_noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlproject.experiments.findings.claims import Finding
from mlproject.experiments.results import Cell
from mlproject.models.sizes import SIZES

Analyse = Callable[[str, Sequence[Cell]], Finding]
OPPOSITE = {True: "agree", False: "disagree"}
COUNTS = (250, 500, 1000, 2000, 4000, 8000, 16000, 32000)
RM_SIZES = ("1k", "3k", "25k", "100k")


def verdicts(finding: Finding) -> list[str]:
    return [claim.verdict for claim in finding.claims]


def rm_data(plant: Any, holds: bool) -> list[Cell]:
    """Data helps past 1,000 comparisons, large models most; or it hurts, and every size has a threshold of its own."""
    planter, cells = plant(), []
    for (i, size), count, seed in itertools.product(enumerate(RM_SIZES), COUNTS, (0, 1)):
        threshold = 1000 if holds else (8000, 4000, 1000, 500)[i]
        gain = 0.1 + 0.1 * i if holds else -0.02 - 0.05 * i
        height = 0.5 + gain * math.log10(count / 250) + 0.01 * seed
        loss = 0.69 if count < threshold else 0.65
        cells.append(
            planter.cell(
                planter.hill(height, 1.8),
                rm_size=size,
                n_comparisons=count,
                seed=seed,
                sd=0.05,
                metrics={"rm/val_loss": loss, "rm/val_loss_calibrated": loss},
            )
        )
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_data_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    expected = OPPOSITE[holds]
    assert verdicts(analyse("rm_data", rm_data(plant, holds)))[:3] == [expected] * 3


def test_numbers_on_data_are_those_of_normal_equations(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = rm_data(plant, True)
    value, threshold, gain, _ = analyse("rm_data", cells).claims
    peaks = np.array([reference.peak_gold(cell) for cell in cells])
    logs = np.log10([[cell.settings["rm_params"], cell.settings["n_comparisons"]] for cell in cells])
    X = np.column_stack([np.ones(len(cells)), logs])
    slopes = np.linalg.solve(X.T @ X, X.T @ peaks)[1:]
    assert reference.numbers(value.measured)[0] == pytest.approx(slopes[1], abs=0.0051)
    assert "1k 1000, 3k 1000, 25k 1000, 100k 1000" in threshold.measured
    poor, rich = reference.numbers(threshold.measured.split("mean peak gold")[1])[::3]
    learned = [cell.settings["n_comparisons"] >= 1000 for cell in cells]
    assert (poor, rich) == (pytest.approx(peaks.mean(), abs=0.0051), pytest.approx(peaks[learned].mean(), abs=0.0051))
    for size in RM_SIZES:
        group = [c.settings["rm_size"] == size and c.settings["n_comparisons"] >= 1000 for c in cells]
        expected = reference.slope(10 ** logs[group, 1], peaks[group])
        quoted = gain.measured.split(f"{size} ")[1].split(";")[0]
        assert reference.numbers(quoted) == pytest.approx(expected, abs=0.0051)


def test_the_tables_on_data_contain_means_over_seeds_and_end_with_the_last_point(plant: Any, analyse: Analyse) -> None:
    cells = rm_data(plant, True)
    table = analyse("rm_data", cells).tables["Gold at the largest n"]
    assert table["comparisons"].tolist() == list(COUNTS)
    for size in RM_SIZES:
        ends = [
            [c.curve.gold_SP[-1].mean() for c in cells if c.settings["rm_size"] == size][2 * i :][:2] for i in range(8)
        ]
        assert table[size].astype(float).tolist() == pytest.approx(np.mean(ends, axis=1).tolist(), abs=0.00051)


def test_models_no_better_than_chance_give_no_verdict_on_gains(plant: Any, analyse: Analyse) -> None:
    cells = [
        Cell(cell.settings, {**cell.metrics, "rm/val_loss": 0.693}, cell.curve)
        for cell in rm_data(plant, True)
        if cell.settings["n_comparisons"] < 4000
    ]
    cells += [c for c in rm_data(plant, True) if (c.settings["rm_size"], c.settings["n_comparisons"]) == ("1k", 32000)]
    finding = analyse("rm_data", cells)
    assert finding.claims[1].verdict != "agree" and "3k none" in finding.claims[1].measured
    assert finding.claims[2].verdict == "cannot tell"


def epochs_vs_data(plant: Any, epochs_gain: float, data: float) -> list[Cell]:
    """Shares of .1 by which epochs_gain and data lower the loss, and of .3 by which they lift the peak."""
    planter, cells = plant(), []
    arms = {(4000, 1.0): 0.0, (4000, 4.0): epochs_gain, (16000, 1.0): data}
    rng = np.random.default_rng(5)
    for size, seed, ((count, epochs), better) in itertools.product(("3k", "25k", "100k"), (0, 1, 2), arms.items()):
        metrics = {
            "rm/val_loss_calibrated": 0.6 - 0.1 * better + rng.normal(scale=0.003),
            "peak/gold": 0.5 + 0.3 * better + rng.normal(scale=0.01),
        }
        settings = {"rm_size": size, "seed": seed, "n_comparisons": count, "rm_epochs": epochs}
        cells.append(planter.cell(planter.hill(1.0, 1.5), metrics=metrics, **settings))
    return cells


@pytest.mark.parametrize(
    ("epochs_gain", "data", "expected"),
    [(0.1, 1.0, "agree"), (1.1, 1.0, "disagree"), (0.65, 1.0, "cannot tell"), (0.0, 0.0, "cannot tell")],
)
def test_verdicts_on_epochs_and_data_follow_the_planted_data(
    plant: Any, analyse: Analyse, epochs_gain: float, data: float, expected: str
) -> None:
    assert verdicts(analyse("epochs_vs_data", epochs_vs_data(plant, epochs_gain, data))) == [expected] * 2


def test_gains_of_epochs_and_data_are_paired_over_sizes_and_seeds(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = epochs_vs_data(plant, 0.1, 1.0)
    for claim, key in zip(
        analyse("epochs_vs_data", cells[::-1]).claims, ("rm/val_loss_calibrated", "peak/gold"), strict=True
    ):
        start, epochs_gain, data = (np.array([cell.metrics[key] for cell in cells[arm::3]]) for arm in range(3))
        quoted = claim.measured.split("1xD ", 1)[1]
        gains = [float(x) for x in reference.numbers(quoted) if abs(x) not in (1.0, 4.0, 4000.0)]
        expected = [*reference.interval(epochs_gain - start), *reference.interval(data - start)]
        assert gains == pytest.approx(expected, abs=0.00051)
        assert "4xD - 1xD" in claim.measured and "(D = 4000)" in claim.measured


def val_loss(plant: Any, holds: bool) -> list[Cell]:
    """Gold is a hinge of the loss; or only good models have an order, and gold is anything for the others."""
    planter, rng, cells = plant(), np.random.default_rng(2), []
    places = itertools.product(range(4), COUNTS[::2], (0, 1))
    for i, count, seed in places:
        loss = 0.5 + 0.19 * (1 - (i + math.log2(count / 250) / 2) / 6.5) + rng.uniform(-0.02, 0.02)
        end = 0.9 - 9 * max(loss - 0.6, 0) + rng.normal(scale=0.03)
        lift = 0.2
        if not holds:
            end = 0.9 - 5 * (loss - 0.5) if loss < 0.6 else rng.uniform(-0.6, 1.0) + 0.4 * math.log10(count / 250)
            lift = rng.uniform(0.1, 3.0)
        a = (end + 1.35) / 3
        cells.append(
            planter.cell(
                planter.quadratic(a, 0.15),
                planter.quadratic(a + lift if not holds else 1.0, 0.02 if holds else 0.15),
                rm_size=RM_SIZES[i],
                n_comparisons=count,
                seed=seed,
                metrics={"rm/val_loss_calibrated": loss, "rm/val_loss": loss + 0.02, "rm/val_accuracy": 1.2 - loss},
            )
        )
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_the_loss_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    assert verdicts(analyse("val_loss", val_loss(plant, holds))) == [OPPOSITE[holds]] * 3


@pytest.mark.parametrize("holds", [True, False])
def test_numbers_on_the_loss_are_those_of_plain_numpy(
    plant: Any, analyse: Analyse, reference: Any, holds: bool
) -> None:
    cells = val_loss(plant, holds)
    equal, within, gammas = (claim.measured for claim in analyse("val_loss", cells).claims)
    loss = np.array([cell.metrics["rm/val_loss_calibrated"] for cell in cells])
    gold = np.array([cell.curve.gold_SP[-1].mean() for cell in cells])
    cubic = np.polyval(np.polyfit(loss, gold, 3), loss)
    logs = np.log10(
        [[SIZES[c.settings["rm_size"]].reward_model_parameters, c.settings["n_comparisons"]] for c in cells]
    )
    u = (loss - loss.mean()) / loss.std()
    X = np.column_stack([np.ones_like(u), u, u**2, u**3, logs - logs.mean(axis=0)])
    more = X @ np.linalg.solve(X.T @ X, X.T @ gold)
    explained = [1 - ((gold - fitted) ** 2).mean() / gold.var() for fitted in (cubic, more)]
    rho = reference.rank_correlation(loss, gold)
    assert reference.numbers(equal)[:3] == pytest.approx([rho, rho, -rho], abs=0.0051)
    assert reference.numbers(equal)[3:5] == pytest.approx(explained, abs=0.0051)
    good = loss <= np.median(loss)
    assert f"({good.sum()})" in within
    assert reference.numbers(within)[-1] == pytest.approx(
        reference.rank_correlation(loss[good], gold[good]), abs=0.0051
    )
    gamma_values = []
    d = np.linspace(0.0, 3.0, 4001)
    for cell in cells:
        d_S = np.sqrt(cell.curve.kl_S)
        X = np.column_stack([d_S, d_S**2])
        g, p = (np.linalg.lstsq(X, y.mean(axis=1), rcond=None)[0] for y in (cell.curve.gold_SP, cell.curve.proxy_SP))
        area = np.mean(g[0] * d + g[1] * d**2)
        gamma_values.append(np.mean(np.abs((g - p)[0] * d + (g - p)[1] * d**2)) / area if area > 0 else np.nan)
    finite = np.isfinite(gamma_values)
    expected = reference.rank_correlation(np.array(gamma_values)[finite], gold[finite])
    assert reference.numbers(gammas.split(":")[1])[:3] == pytest.approx(
        [expected, finite.sum(), len(cells)], abs=0.0051
    )


def label_noise(plant: Any, holds: bool) -> list[Cell]:
    """Noise lowers the peak and brings it earlier, or the other way round."""
    planter, cells, way = plant(), [], -1 if holds else 1
    kinds = [("hard", 0.0), ("hard", 0.1), ("hard", 0.25), ("hard", 0.35), ("sampled", 0.0)]
    for method, (labels, noise), seed in itertools.product(("best-of-n", "ppo"), kinds, (0, 1, 2)):
        harm = noise if labels == "hard" else 0.3
        height = 1 + way * harm + (0.02 if labels == "hard" else 0.05 if holds else 0.01) * (seed - 1)
        gold = planter.hill(height, 1.7 + way * 2 * harm)
        cells.append(planter.cell(gold, method=method, labels=labels, label_noise=noise, seed=seed, sd=0.05))
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_label_noise_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    assert verdicts(analyse("label_noise", label_noise(plant, holds))) == [OPPOSITE[holds]] * 6


def test_noise_without_an_effect_gives_cannot_tell(plant: Any, analyse: Analyse) -> None:
    planter, rng = plant(), np.random.default_rng(0)
    cells = [
        planter.cell(planter.hill(1 + rng.normal(scale=0.1), rng.uniform(1.2, 2.0)), **cell.settings)
        for cell in label_noise(plant, True)
    ]
    assert set(verdicts(analyse("label_noise", cells))) == {"cannot tell"}


def test_losses_to_noise_are_paired_by_seed(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = label_noise(plant, True)
    lower, earlier, sampled, *_ = analyse("label_noise", cells).claims

    def peaks(labels: str, noise: float, peak: Callable[[Cell], float] = reference.peak_gold) -> np.ndarray:
        kind = {"method": "best-of-n", "labels": labels, "label_noise": noise}
        return np.array([peak(c) for c in cells if kind.items() <= c.settings.items()])

    lost = reference.interval(peaks("hard", 0.0) - peaks("hard", 0.35))
    assert lower.measured.startswith("35% flipped labels")
    assert reference.numbers(lower.measured)[1:4] == pytest.approx(lost, abs=0.0051)
    noises = (0.0, 0.1, 0.25, 0.35)
    for claim, peak in ((lower, reference.peak_gold), (earlier, reference.peak_kl)):
        by_noise = [peaks("hard", noise, peak) for noise in noises]
        expected = [reference.rank_correlation(noises, [each[seed] for each in by_noise]) for seed in range(3)]
        assert reference.numbers(claim.measured)[-3:] == pytest.approx(expected, abs=0.0051)
    both = [float(np.std(peaks(labels, 0.0), ddof=1)) for labels in ("sampled", "hard")]
    assert reference.numbers(sampled.measured)[-2:] == pytest.approx(both, abs=0.00051)
    lost = reference.interval(peaks("hard", 0.0) - peaks("sampled", 0.0))
    assert reference.numbers(sampled.measured)[:3] == pytest.approx(lost, abs=0.0051)
