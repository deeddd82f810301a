"""The finding on rewards with cures: verdicts follow what is planted, differences are paired."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mlproject.experiments.results import Cell

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
