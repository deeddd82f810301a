"""Findings on how a policy is optimized: kl_penalty, rl_vs_bon, iterated, human_gap, policy_size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlproject.experiments.findings.claims import Finding
from mlproject.experiments.results import Cell
from mlproject.models.sizes import SIZES

Analyse = Callable[[str, Sequence[Cell]], Finding]
OPPOSITE = {True: "agree", False: "disagree"}
METHODS = ("best-of-n", "ppo")
SEEDS = (0, 1, 2)


def verdicts(finding: Finding) -> list[str]:
    return [claim.verdict for claim in finding.claims]


def at(cell: Cell, scores_SP: np.ndarray, kl: float) -> float:
    """A mean score at a KL, from the two points around it; points are in order of KL."""
    kl_S, mean_S = cell.curve.kl_S, scores_SP.mean(axis=1)
    right = int(np.searchsorted(kl_S, kl - 1e-12))
    if right == 0:
        return float(mean_S[0])
    share = (kl - kl_S[right - 1]) / (kl_S[right] - kl_S[right - 1])
    return float(mean_S[right - 1] * (1 - share) + mean_S[right] * share)


def kl_penalty(plant: Any, holds: bool) -> list[Cell]:
    """Early stopping with a proxy that is higher; or a better frontier that is reached later."""
    planter, cells = plant(), []
    for (i, coef), seed in itertools.product(enumerate((0.0, 0.01, 0.1, 0.3)), SEEDS):
        end = 4 - 0.5 * i if holds else 2 + 0.4 * i
        hill = planter.hill(0.8 + (0 if holds else 0.3 * (i > 0)), 1.5)

        def gold(d: np.ndarray, hill: Any = hill, lift: float = 0.03 * (seed - 1) * (-1) ** i, end: float = end) -> Any:
            return hill(d) + lift * (d / end) ** 4

        d_S = np.linspace(0, end, 31)
        if not holds and i == 0:  # moves far, and returns
            d_S = np.concatenate([np.linspace(0, 5, 26), np.linspace(5, 2, 16)[1:]])
        proxy = planter.quadratic(0.9 + (0.2 if holds and i else 0), 0.02)
        cells.append(planter.cell(gold, proxy, d_S=d_S, sd=0.05, method="ppo", kl_coef=coef, seed=seed))
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_a_kl_penalty_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    assert verdicts(analyse("kl_penalty", kl_penalty(plant, holds))) == [OPPOSITE[holds]] * 5


def test_a_penalty_without_an_order_of_final_kl_gives_cannot_tell(plant: Any, analyse: Analyse) -> None:
    swap = {0.0: 0.01, 0.01: 0.0, 0.1: 0.1, 0.3: 0.3}
    cells = [
        Cell({**c.settings, "kl_coef": swap[c.settings["kl_coef"]]}, c.metrics, c.curve)
        for c in kl_penalty(plant, True)
    ]
    assert analyse("kl_penalty", cells).claims[0].verdict == "cannot tell"


def test_numbers_on_a_penalty_are_means_over_seeds_at_matched_kl(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = kl_penalty(plant, True)
    finals, frontier, gap, stop, peak = (claim.measured for claim in analyse("kl_penalty", cells[::-1]).claims)
    assert reference.numbers(finals) == pytest.approx([0, 16.0, 0.01, 12.2, 0.1, 9.0, 0.3, 6.2], abs=0.051)
    free, stops, gains = cells[:3], [], []
    for i, coef in enumerate(("0.01", "0.1", "0.3"), start=1):
        group = cells[3 * i : 3 * i + 3]
        better, apart = [], []
        for a, b in zip(group, free, strict=True):
            grid = np.linspace(1, 4 - 0.5 * i, 12) ** 2
            gold = np.mean([at(a, a.curve.gold_SP, kl) - at(b, b.curve.gold_SP, kl) for kl in grid])
            proxy = np.mean([at(a, a.curve.proxy_SP, kl) - at(b, b.curve.proxy_SP, kl) for kl in grid])
            better.append(gold)
            apart.append(proxy - gold)
            last = [(kl, gold_P.mean()) for kl, gold_P in zip(a.curve.kl_S, a.curve.gold_SP, strict=True)][
                31 * 3 // 4 :
            ]
            stops.append(np.mean([gold - at(b, b.curve.gold_SP, kl) for kl, gold in last]))
        for text, values in ((frontier, better), (gap, apart)):
            quoted = text.split(f"{coef}: ")[1].split(";")[0]
            assert reference.numbers(quoted) == pytest.approx(reference.interval(values), abs=0.0051)
        peaks = [reference.peak_gold(a) - reference.peak_gold(b) for a, b in zip(group, free, strict=True)]
        gains.append(reference.interval(peaks))
    expected = reference.interval(stops)
    assert reference.numbers(stop.split("seeds:")[1]) == pytest.approx(expected, abs=0.0051)
    assert reference.numbers(peak.split(": ")[1]) == pytest.approx(max(gains), abs=0.0051)


def rl_vs_bon(plant: Any, holds: bool) -> list[Cell]:
    """The observations of the paper; or PPO needs less KL, and the curves differ over the proxy score."""
    planter, cells = plant(), []
    for size, seed, method in itertools.product(("1k", "25k", "100k"), SEEDS, METHODS):
        bon, nudge = method == "best-of-n", 0.02 * (seed - 1) * (-1) ** len(method)
        if holds:
            height, peak_d, end, rise = (0.8, 2.0, 3.0, 1.2) if bon else (0.95, 5.0, 7.0, 1.8)
        else:
            height, peak_d, end, rise = (0.9, 5.0, 6.0, 6.0) if bon else (0.6, 1.4, 2.0, 0.8)
        d_S = end * np.linspace(0, 1, 41) ** (1.0 if holds or bon else 0.5)
        if holds and not bon:  # the second half of the way is slower
            d_S[21:] = d_S[20] + 0.8 * (d_S[21:] - d_S[20])
        proxy = planter.quadratic(rise / peak_d, 0.0)
        gold = planter.hill(height + nudge, peak_d)
        cells.append(planter.cell(gold, proxy, d_S=d_S, sd=0.05, method=method, rm_size=size, seed=seed))
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_ppo_and_best_of_n_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    assert verdicts(analyse("rl_vs_bon", rl_vs_bon(plant, holds))) == [OPPOSITE[holds]] * 5


def test_numbers_on_methods_are_those_of_the_planted_laws(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = rl_vs_bon(plant, True)
    more_kl, alike, early, higher, growth = (claim.measured for claim in analyse("rl_vs_bon", cells[::-1]).claims)
    pairs = list(zip(cells[::2], cells[1::2], strict=True))
    halves, distances, gaps, equal = [], [], [], []
    for bon, ppo in pairs:
        lower = min(reference.peak_gold(cell) for cell in (bon, ppo))
        reached = []
        for cell in (bon, ppo):
            kl = np.linspace(0, reference.peak_kl(cell), 200001)
            gold = np.interp(kl, cell.curve.kl_S, cell.curve.gold_SP.mean(axis=1))
            reached.append(kl[np.argmax(gold >= lower / 2)])
        halves.append(np.log(reached[1] / reached[0]))
        grids = {"kl_S": np.linspace(0, 9, 50), "proxy_S": np.linspace(0, bon.curve.proxy_SP[-1].mean(), 50)}
        distances.append(
            [
                np.mean(
                    np.abs(np.subtract(*(np.interp(x, getattr(c.curve, along), c.curve.gold_S) for c in (bon, ppo))))
                )
                for along, x in grids.items()
            ]
        )
        start = [
            np.interp(0.5, cell.curve.proxy_SP.mean(axis=1), cell.curve.gold_SP.mean(axis=1)) for cell in (bon, ppo)
        ]
        gaps.append(start[0] - start[1])
        equal.append(
            np.mean([at(ppo, ppo.curve.gold_SP, kl) - at(bon, bon.curve.gold_SP, kl) for kl in np.linspace(0.5, 9, 20)])
        )
    ratio, times, significant = more_kl.split(";")
    assert reference.numbers(ratio) == pytest.approx(np.exp(reference.interval(halves)), abs=0.0051)
    peaks = [np.log(reference.peak_kl(ppo) / reference.peak_kl(bon)) for bon, ppo in pairs]
    assert reference.numbers(times) == pytest.approx([np.exp(np.mean(peaks))], abs=0.051)
    assert reference.numbers(significant) == pytest.approx(reference.interval(equal), abs=0.0051)
    over_kl, over_proxy = np.transpose(distances)
    expected = [*reference.interval(over_kl), *reference.interval(over_proxy)]
    assert reference.numbers(alike) == pytest.approx(expected, abs=0.0051)
    assert reference.numbers(early.split(":")[1]) == pytest.approx(reference.interval(gaps), abs=0.0051)
    peaks = [reference.peak_gold(ppo) - reference.peak_gold(bon) for bon, ppo in pairs]
    assert reference.numbers(higher) == pytest.approx(reference.interval(peaks), abs=0.0051)
    assert reference.numbers(growth) == pytest.approx([2.0] * 3, abs=0.0051)


D_END, BETA = 2.5, 0.4


def iterated(plant: Any, holds: bool) -> list[Cell]:
    """The conjectures of both papers, or rounds that only lose gold."""
    planter, cells = plant(), []
    d_S = np.linspace(0, D_END, 26)
    for seed in SEEDS:
        nudge = 0.02 * (seed - 1)
        rounds = {"method": "ppo", "seed": seed, "d_S": d_S, "sd": 0.05}
        law = planter.logarithmic(1.2 + nudge, BETA)
        cells.append(planter.cell(law, metrics={"round/sqrt_kl_sum": D_END, "rm/val_accuracy": 0.7}, **rounds))
        for k in (2, 3, 4):
            gain = BETA * np.log(k) if holds else -0.1 * k
            continued = planter.logarithmic(1.2 + gain + nudge * k, BETA)
            summed = D_END * (1.02 if holds else 1.5 + nudge)
            metrics = {"round/sqrt_kl_sum": summed, "rm/val_accuracy": 0.7}
            cells.append(
                planter.cell(continued, metrics=metrics, round=k, rounds_from="current", rounds_data="last", **rounds)
            )
            height = {2: 3.6, 3: 3.9, 4: 3.95}[k] if holds else 1.4 - 0.3 * k
            restarted = planter.hill(height + nudge, 1.6)
            cells.append(
                planter.cell(restarted, metrics=metrics, round=k, rounds_from="initial", rounds_data="all", **rounds)
            )
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_rounds_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    assert verdicts(analyse("iterated", iterated(plant, holds))) == [OPPOSITE[holds]] * 4


def test_gold_that_keeps_rising_does_not_level_off(plant: Any, analyse: Analyse) -> None:
    planter = plant()
    rising = [
        planter.cell(planter.hill(1.0 + cell.settings["round"], 1.6), metrics=dict(cell.metrics), **cell.settings)
        if cell.settings["rounds_from"] != "current"
        else cell
        for cell in iterated(plant, True)
    ]
    assert analyse("iterated", rising).claims[2].verdict == "cannot tell"


def test_numbers_on_rounds_follow_from_the_planted_law(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = iterated(plant, True)
    gain, adds_up, level, reset = (claim.measured for claim in analyse("iterated", cells[::-1]).claims)
    of = {(c.settings["round"], c.settings["rounds_from"], c.settings["seed"]): c for c in cells}
    measured, conjectured = gain.split("; conjectured ")

    def end(k: int, start: str, seed: int) -> float:
        return float(of[k, start, seed].curve.gold_SP[-1].mean())

    for k in (2, 3, 4):
        values = [end(k, "current", seed) - end(1, "", seed) for seed in SEEDS]
        assert reference.numbers(measured.split(f"k={k}: ")[1])[:3] == pytest.approx(
            reference.interval(values), abs=0.0051
        )
        expected = BETA * D_END * 1.02 * np.log(k)
        assert reference.numbers(conjectured.split(f"k={k}: ")[1])[0] == pytest.approx(expected, abs=0.0051)
        assert reference.numbers(adds_up.split(f"k={k}: ")[1])[0] == pytest.approx(1.02, abs=0.0051)
    peaks, ends = level.split("; final gold ")
    for k in (1, 2, 3, 4):
        start = "initial" if k > 1 else ""
        values = [reference.peak_gold(of[k, start, seed]) for seed in SEEDS]
        assert reference.numbers(peaks.split(f"k={k}: ")[1])[:3] == pytest.approx(
            reference.interval(values), abs=0.0051
        )
        values = [end(k, start, seed) for seed in SEEDS]
        assert reference.numbers(ends.split(f"k={k}: ")[1])[:3] == pytest.approx(reference.interval(values), abs=0.0051)
    values = [reference.peak_gold(of[4, "initial", seed]) - end(4, "current", seed) for seed in SEEDS]
    assert reference.numbers(reset.split("arm 1 ")[1]) == pytest.approx(reference.interval(values), abs=0.0051)


def human_gap(plant: Any, holds: bool) -> list[Cell]:
    """Human judgement falls below gold and peaks earlier; or it is higher, and peaks later."""
    planter, cells = plant(), []
    for method, size, seed in itertools.product(METHODS, ("1k", "25k", "100k"), SEEDS):
        nudge = 0.02 * (seed - 1)
        human = planter.hill(0.7 + nudge, 1.2) if holds else planter.hill(1.4 + nudge, 2.6)
        sd = 30.0 if size == "100k" else 0.2  # so large that the gap at the peak is not significant
        settings = {"method": method, "rm_size": size, "seed": seed, "sd": sd}
        cells.append(planter.cell(planter.hill(1.0, 1.9), human=human, **settings))
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_human_judgement_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    assert verdicts(analyse("human_gap", human_gap(plant, holds))) == [OPPOSITE[holds]] * 4


def test_human_judgement_equal_to_gold_gives_no_verdict_on_the_gap(plant: Any, analyse: Analyse) -> None:
    cells = human_gap(plant, True)
    same = [Cell(c.settings, c.metrics, type(c.curve)(**{**vars(c.curve), "human_SP": c.curve.gold_SP})) for c in cells]
    assert verdicts(analyse("human_gap", same)) == ["cannot tell", "agree"] * 2


def test_runs_without_human_judgement_are_left_out(plant: Any, analyse: Analyse) -> None:
    cells = human_gap(plant, True)
    without = [plant().cell(plant().hill(9.0, 1.0), **cell.settings) for cell in cells[:4]]
    assert analyse("human_gap", [*cells, *without]).claims == analyse("human_gap", cells).claims


def test_numbers_on_human_judgement_are_paired_over_prompts(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = human_gap(plant, True)
    gap, earlier, *_ = (claim.measured for claim in analyse("human_gap", cells).claims)
    differences, significant, ratios = [], 0, []
    for cell in cells[:9]:
        best = int(np.argmax(cell.curve.gold_SP.mean(axis=1)))
        each_P = cell.curve.gold_SP[best] - cell.curve.human_SP[best]
        differences.append(each_P.mean())
        significant += each_P.mean() > 2 * each_P.std(ddof=1) / len(each_P) ** 0.5
        top = int(np.argmax(cell.curve.human_SP.mean(axis=1)))
        ratios.append(np.log(cell.curve.kl_S[top] / cell.curve.kl_S[best]))
    ends = [(cell.curve.gold_SP[-1] - cell.curve.human_SP[-1]).mean() for cell in cells[:9]]
    expected = [*reference.interval(differences), 2, significant, 9, *reference.interval(ends)]
    assert reference.numbers(gap) == pytest.approx(expected, abs=0.0051)
    assert reference.numbers(earlier) == pytest.approx(np.exp(reference.interval(ratios)), abs=0.0051)


def policy_size(plant: Any, holds: bool) -> list[Cell]:
    """The paper's four observations, or the opposite of each."""
    planter, cells = plant(), []
    places = itertools.product(METHODS, enumerate(("25k", "100k", "400k")), ("1k", "13k"), SEEDS)
    for method, (i, policy), rm_size, seed in places:
        nudge = 0.02 * (seed - 1) * i
        height, peak_d = (1.0 - 0.2 * i + nudge, 1.5) if holds else (0.6 + 0.2 * i + nudge, 1.0 + 0.6 * i)
        gold, apart = planter.hill(height, peak_d), 0.3 + (0 if holds else 0.4 * i) + nudge / 10

        def proxy(d: np.ndarray, gold: Any = gold, apart: float = apart) -> np.ndarray:
            return gold(d) + apart * d

        settings = {"method": method, "policy_size": policy, "rm_size": rm_size, "seed": seed}
        metrics = {"pool/gold_mean": 0.1 * i * (1 if holds else -1)}
        cells.append(planter.cell(gold, proxy, sd=0.05, metrics=metrics, **settings))
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_policy_sizes_follow_the_planted_data(plant: Any, analyse: Analyse, holds: bool) -> None:
    assert verdicts(analyse("policy_size", policy_size(plant, holds))) == [OPPOSITE[holds]] * 7


def test_numbers_on_policy_sizes_are_paired_over_proxies(plant: Any, analyse: Analyse, reference: Any) -> None:
    cells = policy_size(plant, False)
    start, less, place, gap, *_ = (claim.measured for claim in analyse("policy_size", cells[::-1]).claims)
    assert start == "initial gold: 25k +0.00, 100k -0.10, 400k -0.20"
    small, _, large = (cells[6 * i : 6 * i + 6] for i in range(3))

    def differences(value: Callable[[Cell], float]) -> tuple[float, float, float]:
        return reference.interval([value(b) - value(a) for a, b in zip(small, large, strict=True)])

    assert reference.numbers(less.split("smallest ")[1]) == pytest.approx(differences(reference.peak_gold), abs=0.0051)
    means = [np.mean([reference.peak_gold(c) for c in cells[6 * i : 6 * i + 6]]) for i in range(3)]
    assert [float(part.split()[-1]) for part in less.split(": ")[1].split(";")[0].split(",")] == pytest.approx(
        means, abs=0.0051
    )
    ratio = np.exp(differences(lambda cell: np.log(reference.peak_kl(cell))))
    assert reference.numbers(place.split("policy:")[1])[:3] == pytest.approx(ratio, abs=0.0051)
    assert gap.startswith("at 9.0 nats:")
    expected = differences(lambda cell: (cell.curve.proxy_SP[-1] - cell.curve.gold_SP[-1]).mean())
    assert reference.numbers(gap.split("smallest ")[1]) == pytest.approx(expected, abs=0.0051)


def test_policies_are_ordered_by_size_not_alphabetically(plant: Any, analyse: Analyse) -> None:
    order = sorted({c.settings["policy_size"] for c in policy_size(plant, True)})
    assert order != sorted(order, key=lambda size: SIZES[size].reward_model_parameters)
    claims = analyse("policy_size", policy_size(plant, True)).claims
    assert "largest to smallest policy: 1.00 [1.00, 1.00]" in claims[2].measured


def kl_by_size(plant: Any, holds: bool) -> list[Cell]:
    """RM size raises the peak and the coefficient only stops; or the coefficient raises it, and size hardly does."""
    planter, cells = plant(), []
    by_size, by_coef = (0.2, 0.02) if holds else (0.02, 0.2)
    places = itertools.product(enumerate(("1k", "13k", "100k")), enumerate((0.0, 0.03, 0.3)), SEEDS)
    for (i, rm_size), (j, coef), seed in places:
        gold = planter.hill(0.6 + by_size * i + by_coef * (j - (j == 1) * 0.5) + 0.01 * seed, 1.5)
        settings = {"method": "ppo", "rm_size": rm_size, "kl_coef": coef, "seed": seed}
        cells.append(planter.cell(gold, sd=0.05, **settings))
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_size_against_coefficient_follow_the_planted_data(
    plant: Any, analyse: Analyse, holds: bool
) -> None:
    assert verdicts(analyse("kl_by_size", kl_by_size(plant, holds))) == [OPPOSITE[holds]] * 2


def test_shares_of_size_and_coefficient_are_those_of_a_two_way_table(
    plant: Any, analyse: Analyse, reference: Any
) -> None:
    cells = kl_by_size(plant, True)
    finding = analyse("kl_by_size", cells[::-1])
    shares, stopped = (claim.measured for claim in finding.claims)
    peaks = np.array([reference.peak_gold(cell) for cell in cells]).reshape(3, 3, 3)  # size, coefficient, seed
    total = peaks.var(axis=(0, 1))
    expected = [reference.interval(peaks.mean(axis=axis).var(axis=0) / total) for axis in (1, 0)]
    assert reference.numbers(shares)[:6] == pytest.approx([*expected[0], *expected[1]], abs=0.0051)
    assert shares.endswith("best cells by seed " + ", ".join(["100k at 0.3"] * 3))
    beyond = []
    for seed in SEEDS:
        each = []
        for i, j in itertools.product(range(3), (1, 2)):
            with_it, free = cells[9 * i + 3 * j + seed], cells[9 * i + seed]
            best = with_it.curve.gold_SP.mean(axis=1).argmax()
            each.append(with_it.curve.gold_SP[best].mean() - at(free, free.curve.gold_SP, with_it.curve.kl_S[best]))
        beyond.append(np.mean(each))
    assert reference.numbers(stopped.split("KL:")[1])[:3] == pytest.approx(reference.interval(beyond), abs=0.0051)
