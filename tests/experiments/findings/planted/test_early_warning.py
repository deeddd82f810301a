"""Planted signals that jump at the peak, follow gold or the proxy, or are uninformative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlproject.experiments.findings.claims import Finding
from mlproject.experiments.results import Cell

ALARMS = "Alarms with the threshold of least regret"
PEAKS = {"1k": 1.0, "3k": 1.5, "25k": 2.1, "100k": 9.0}
"""Square-root nats; runs end at 3, so that those against the largest proxy never lose gold."""


def planted(plant: Callable[[], Any], largest_follows: str = "gold") -> list[Cell]:
    planter, cells = plant(), []
    for size, peak_d in PEAKS.items():
        for seed in range(4):
            shifted_d = peak_d + 0.15 * (seed % 3 - 1)
            cell = planter.cell(
                planter.hill(1.0, shifted_d), proxy=lambda d: 2 * d, sd=0.1, method="ppo", rm_size=size, seed=seed
            )
            curve = cell.curve
            d_S = curve.sqrt_kl_S
            past_S = (np.arange(len(d_S)) > curve.gold_S.argmax()).astype(float)
            tests = {size: 0.9 * curve.proxy_S}
            tests["100k"] = curve.gold_S if largest_follows == "gold" else 0.9 * curve.proxy_S
            statistics_S = {
                "repetition": 0.2 + 0.3 * past_S,
                "length": 20 + 5 * d_S,
                "distinct-2": np.full(len(d_S), 0.9),
                "entropy": 2 - 0.2 * d_S,
                "rm_disagreement": 0.1 + 0.2 * d_S / 3,
                "member.1": curve.proxy_S,
                **{f"test_rm.{name}": values_S for name, values_S in tests.items()},
                **{f"rm_gap.{name}": curve.proxy_S - values_S for name, values_S in tests.items()},
            }
            cells.append(replace(cell, curve=replace(curve, statistics_S=statistics_S)))
    return cells


@pytest.fixture(scope="module")
def cells(plant) -> list[Cell]:
    return planted(plant)


@pytest.fixture(scope="module")
def finding(analyse, cells) -> Finding:
    return analyse("early_warning", cells)


def row(finding: Finding, title: str, first: str) -> dict[str, str]:
    table = finding.tables[title]
    return table[table.iloc[:, 0] == first].iloc[0].to_dict()


def test_a_signal_that_jumps_after_the_peak_lags_by_one_point_without_false_alarms(finding, cells, reference) -> None:
    scores = row(finding, ALARMS, "repetition")
    fell = [cell for cell in cells if cell.settings["rm_size"] != "100k"]
    lags, regrets = [], []
    for cell in fell:
        kls, golds = cell.curve.kl_S.tolist(), [sum(r) / len(r) for r in cell.curve.gold_SP.tolist()]
        peak = golds.index(max(golds))
        lags.append(kls[peak] - kls[peak + 1])
        regrets.append(golds[peak] - golds[peak + 1])
    assert scores["fires at or before the peak"].startswith("0 of 12")
    assert scores["never fires"].startswith("0 of 12")
    assert scores["false alarms"].startswith("0 of 16")
    assert reference.numbers(scores["lead (nats)"])[0] == pytest.approx(sum(lags) / 12, abs=0.06)
    regret = reference.numbers(scores["regret (sd of gold)"])[0]
    assert regret == pytest.approx(sum(regrets) / 16, abs=6e-4)  # the four that never fell have no regret


def test_an_uninformative_signal_never_fires(finding) -> None:
    scores, end = row(finding, ALARMS, "distinct-2"), row(finding, ALARMS, "none: run to the end")
    assert scores["never fires"].startswith("12 of 12")
    assert scores["lead (nats)"] == ""
    assert scores["regret (sd of gold)"] == end["regret (sd of gold)"]


def test_a_signal_that_only_depends_on_kl_does_as_well_as_kl(finding, reference) -> None:
    length, kl = (row(finding, ALARMS, name) for name in ("length", "KL"))
    assert length["regret (sd of gold)"] == kl["regret (sd of gold)"]
    assert length["false alarms"] == kl["false alarms"]


def test_a_test_rm_that_follows_gold_finds_its_peak_and_one_that_follows_the_proxy_does_not(
    finding, cells, reference
) -> None:
    title = "Checkpoints selected without gold"
    right = row(finding, title, "test RM largest, highest point")
    assert reference.numbers(right["lead on the gold peak (nats)"]) == [0, 0, 0]
    assert right["largest regret"] == "0.00"
    wrong = row(finding, title, "test RM of the proxy's size, highest point")
    leads = [0 if c.settings["rm_size"] == "100k" else reference.peak_kl(c) - c.curve.kl_S[-1] for c in cells]
    assert reference.numbers(wrong["lead on the gold peak (nats)"])[0] == pytest.approx(sum(leads) / 16, abs=0.06)
    by_size = finding.tables["The point with the highest test RM score, by RM size"]
    assert by_size["proxy"].tolist() == list(PEAKS)
    assert by_size["regret, test RM largest"].tolist() == ["0.00"] * 4


def test_verdicts_follow_the_planted_data(finding, analyse, plant, cells, reference) -> None:
    same_gap, largest_gap, wrong, right, coste, _, aim = finding.claims
    assert wrong.verdict == "disagree" and right.verdict == "agree"
    assert right.measured.startswith("mean regret 0.000, median 0.000")
    shares = [1 - reference.peak_kl(c) ** 0.5 / 3 for c in cells if c.settings["rm_size"] != "100k"]
    share = float(same_gap.measured.split(": ")[1].split(" ")[0])  # the gap is proportional to d
    assert share == pytest.approx(sum(shares) / 12, abs=0.006) and same_gap.verdict == "cannot tell"
    assert largest_gap.verdict == "agree"
    assert coste.verdict == "agree" and coste.measured.endswith("3.00 [3.00, 3.00]")
    assert aim.verdict == "agree" and "repetition" in aim.measured and "length" not in aim.measured
    blind = analyse("early_warning", planted(plant, largest_follows="proxy"))
    assert blind.claims[3].verdict == "disagree"
    assert "test RM, largest" not in blind.claims[-1].measured


def test_no_run_is_evaluated_with_a_threshold_from_its_own_half(analyse, cells) -> None:
    """Odd seeds given a repetition three times as strong: a threshold from their own half would still serve them."""
    odd = [
        replace(cell, curve=replace(cell.curve, statistics_S={**cell.curve.statistics_S, "repetition": 3 * values_S}))
        if cell.settings["seed"] % 2
        else replace(cell, curve=replace(cell.curve, statistics_S={**cell.curve.statistics_S, "repetition": values_S}))
        for cell in cells
        for values_S in [cell.curve.statistics_S["repetition"]]
    ]
    scores = row(analyse("early_warning", odd), ALARMS, "repetition")
    fired = [c for c in odd if c.settings["rm_size"] != "100k" and c.settings["seed"] % 2]
    assert scores["never fires"].startswith(f"{12 - len(fired)} of 12")
