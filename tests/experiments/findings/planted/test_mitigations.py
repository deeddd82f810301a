"""The finding on rewards with cures: verdicts follow what is planted, differences are paired."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mlproject.experiments.findings.claims import labelled
from mlproject.experiments.results import Cell, Result

SEEDS = (0, 1, 2)


def planted(plant: Any, holds: bool) -> list[Cell]:
    """One noisy regime of two sizes with its controls; cures peak later and lose less, or the other way round."""
    planter, cells = plant(), []
    late = {"single": 1.2, "mean": 1.5, "laplace": 1.4, "worst-case": 1.9, "uncertainty-weighted": 1.8}
    for (reward, at), size, seed in itertools.product(late.items(), ("3k", "25k"), SEEDS):
        d = at if holds else 3.1 - at
        gold = planter.hill(0.6 + 0.01 * seed, d)
        members = {} if reward in ("single", "laplace") else {"ensemble_members": 4}
        cells.append(planter.cell(gold, reward=reward, rm_size=size, seed=seed, label_noise=0.25, sd=0.05, **members))
    for seed in SEEDS:
        control = planter.hill(1.0 if holds else 0.2, 1.5)
        cells.append(planter.cell(control, reward="single", rm_size="13k", seed=seed, label_noise=0.25))
        more = {"n_comparisons": 32000, "label_noise": 0.25}
        cells.append(planter.cell(control, reward="single", rm_size="25k", seed=seed, **more))
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_cures_follow_the_planted_data(plant: Any, analyse: Any, holds: bool) -> None:
    found = analyse("mitigations_bon", planted(plant, holds))
    assert {claim.verdict for claim in found.claims} == {"agree" if holds else "disagree"}
    assert len(found.claims) == 4 + 2 + 2  # cures, conservative ones against the mean, controls
    (table,) = found.tables.values()
    assert table["reward"].tolist().count("single") == 3
    assert table.set_index(["RM", "reward"]).loc[("3k", "worst-case"), "forward passes"] == 4


def test_intervals_of_paired_differences_have_both_parts(plant: Any, analyse: Any, reference: Any) -> None:
    cells = planted(plant, True)
    claim = next(c for c in analyse("mitigations_bon", cells).claims if c.paper.startswith("worst-case loses"))

    def ends(reward: str) -> np.ndarray:
        chosen = [c for c in cells if c.settings["reward"] == reward and c.settings["rm_size"] == "3k"]
        return np.array([c.curve.gold_SP[-1] for c in chosen])

    difference = ends("worst-case") - ends("single")
    mean, low, _ = reference.interval([row.mean() for row in difference])
    of_prompts = difference.mean(axis=0)
    half = np.hypot(mean - low, 1.96 * of_prompts.std(ddof=1) / len(of_prompts) ** 0.5)
    first = claim.measured.partition("(3k)")[0]
    assert reference.numbers(first)[:3] == pytest.approx([mean, mean - half, mean + half], abs=0.0051)


def test_an_average_of_weights_is_compared_with_one_reward_model_from_the_same_start(plant: Any, analyse: Any) -> None:
    cells, planter = planted(plant, True), plant()
    for seed in SEEDS:
        options = {"rm_size": "100k", "seed": seed, "label_noise": 0.25}
        cells.append(planter.cell(planter.hill(0.8, 1.9), reward="warm", ensemble_members=4, **options))
        cells.append(planter.cell(planter.hill(0.7, 1.5), reward="single", rm_start="policy", **options))
        cells.append(planter.cell(planter.hill(0.9, 2.5), reward="single", **options))
    claims = analyse("mitigations_bon", cells).claims
    (claim,) = [claim for claim in claims if "from the same start" in claim.paper]
    assert claim.verdict == "agree"
    shown = labelled(Result("mitigations_bon", {}, cells)).cells
    kinds = {(cell.settings["cure"], cell.settings["rm_size"]) for cell in shown}
    assert {("from the policy", "100k"), ("single", "100k"), ("warm", "100k"), ("4 x comparisons", "25k")} < kinds
    assert {cell.settings["regime"] for cell in shown} == {"8,000 25% flipped"}


def test_gold_at_equal_proxy_and_human_are_read_off_the_curves(plant: Any, analyse: Any) -> None:
    planter, cells = plant(), []
    for seed in SEEDS:
        options = {"seed": seed, "label_noise": 0.25, "sd": 0.0, "human": lambda d: 2 * d}
        cells.append(planter.cell(lambda d: d, proxy=lambda d: d, reward="single", **options))  # reaches 3
        cells.append(
            planter.cell(lambda d: d, proxy=lambda d: d / 2, reward="mean", ensemble_members=4, **options)
        )  # 1.5
    (table,) = analyse("mitigations_bon", cells).tables.values()
    rows = table.set_index("reward")
    assert rows["gold at equal proxy"].to_dict() == {"mean": "3.00 at 1.50", "single": "1.50 at 1.50"}
    assert set(rows["human at the peak"]) == set(rows["human at the end"]) == {"6.00"}
