"""Signals planted to leap at the peak, to follow gold or the proxy, or to know nothing: the reader says which."""

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
            here = peak_d + 0.15 * (seed % 3 - 1)
            cell = planter.cell(
                planter.hill(1.0, here), proxy=lambda d: 2 * d, sd=0.1, method="ppo", rm_size=size, seed=seed
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
def found(read, cells) -> Finding:
    return read("early_warning", cells)


def row(found: Finding, title: str, first: str) -> dict[str, str]:
    table = found.tables[title]
    return table[table.iloc[:, 0] == first].iloc[0].to_dict()


def test_a_signal_that_leaps_past_the_peak_lags_by_one_point_and_is_never_false(found, cells, long_way) -> None:
    told = row(found, ALARMS, "repetition")
    fell = [cell for cell in cells if cell.settings["rm_size"] != "100k"]
    lags, regrets = [], []
    for cell in fell:
        kls, golds = cell.curve.kl_S.tolist(), [sum(r) / len(r) for r in cell.curve.gold_SP.tolist()]
        peak = golds.index(max(golds))
        lags.append(kls[peak] - kls[peak + 1])
        regrets.append(golds[peak] - golds[peak + 1])
    assert told["fires before the peak or at it"].startswith("0 of 12")
    assert told["never fires"].startswith("0 of 12")
    assert told["false alarms"].startswith("0 of 16")
    assert long_way.numbers(told["lead (nats)"])[0] == pytest.approx(sum(lags) / 12, abs=0.06)
    regret = long_way.numbers(told["regret (sd of gold)"])[0]
    assert regret == pytest.approx(sum(regrets) / 16, abs=6e-4)  # the four that never fell lose nothing


def test_a_signal_that_knows_nothing_is_never_heeded(found) -> None:
    told, end = row(found, ALARMS, "distinct-2"), row(found, ALARMS, "none: on to the end")
    assert told["never fires"].startswith("12 of 12")
    assert told["lead (nats)"] == ""
    assert told["regret (sd of gold)"] == end["regret (sd of gold)"]


def test_a_signal_that_only_counts_kl_does_as_well_as_kl(found, long_way) -> None:
    length, kl = (row(found, ALARMS, name) for name in ("length", "KL"))
    assert length["regret (sd of gold)"] == kl["regret (sd of gold)"]
    assert length["false alarms"] == kl["false alarms"]


def test_a_test_rm_that_follows_gold_finds_its_peak_and_one_that_follows_the_proxy_does_not(
    found, cells, long_way
) -> None:
    title = "A checkpoint chosen without gold"
    right = row(found, title, "test RM largest, highest point")
    assert long_way.numbers(right["lead on the gold peak (nats)"]) == [0, 0, 0]
    assert right["largest regret"] == "0.00"
    wrong = row(found, title, "test RM of the proxy's size, highest point")
    leads = [0 if c.settings["rm_size"] == "100k" else long_way.peak_kl(c) - c.curve.kl_S[-1] for c in cells]
    assert long_way.numbers(wrong["lead on the gold peak (nats)"])[0] == pytest.approx(sum(leads) / 16, abs=0.06)
    by_size = found.tables["Where the highest score of a test RM lies, by RM size"]
    assert by_size["proxy"].tolist() == list(PEAKS)
    assert by_size["regret, test RM largest"].tolist() == ["0.00"] * 4


def test_verdicts_follow_what_was_planted(found, read, plant, cells, long_way) -> None:
    parting, apart, wrong, right, coste, _, aim = found.claims
    assert wrong.verdict == "disagree" and right.verdict == "agree"
    assert right.measured.startswith("mean regret 0.000, median 0.000")
    ways = [1 - long_way.peak_kl(c) ** 0.5 / 3 for c in cells if c.settings["rm_size"] != "100k"]
    share = float(parting.measured.split(": ")[1].split(" ")[0])  # a gap that is in proportion to d
    assert share == pytest.approx(sum(ways) / 12, abs=0.006) and parting.verdict == "cannot tell"
    assert apart.verdict == "agree"
    assert coste.verdict == "agree" and coste.measured.endswith("3.00 [3.00, 3.00]")
    assert aim.verdict == "agree" and "repetition" in aim.measured and "length" not in aim.measured
    blind = read("early_warning", planted(plant, largest_follows="proxy"))
    assert blind.claims[3].verdict == "disagree"
    assert "test RM, largest" not in blind.claims[-1].measured


def test_no_run_is_judged_with_a_threshold_from_its_own_half(read, cells) -> None:
    """Odd seeds given a repetition three times as strong: a threshold from their own half would still serve them."""
    odd = [
        replace(cell, curve=replace(cell.curve, statistics_S={**cell.curve.statistics_S, "repetition": 3 * values_S}))
        if cell.settings["seed"] % 2
        else replace(cell, curve=replace(cell.curve, statistics_S={**cell.curve.statistics_S, "repetition": values_S}))
        for cell in cells
        for values_S in [cell.curve.statistics_S["repetition"]]
    ]
    told = row(read("early_warning", odd), ALARMS, "repetition")
    fired = [c for c in odd if c.settings["rm_size"] != "100k" and c.settings["seed"] % 2]
    assert told["never fires"].startswith(f"{12 - len(fired)} of 12")
