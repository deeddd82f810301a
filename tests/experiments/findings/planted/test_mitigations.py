"""The finding on rewards with cures: verdicts follow what is planted, differences are paired."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mlproject.config.schema import load_config
from mlproject.experiments.findings.claims import labelled
from mlproject.experiments.results import Cell, Result

SEEDS = (0, 1, 2)
BON, PPO = ({"method": name} | load_config("laptop", {}).of_method(name).params() for name in ("best-of-n", "ppo"))
"""Options of each method, as its runs have them."""


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
    cells = [Cell(BON | cell.settings, cell.metrics, cell.curve) for cell in cells]
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


PUBLISHED = ("min-max", "par", "log-sigmoid", "clip", "single")
"""From the reward that keeps most to the one that keeps least, by PPO (Fu et al. 2025)."""


def trained(plant: Any, holds: bool) -> list[Cell]:
    """PPO: each reward keeps more the earlier it is in `PUBLISHED`, and is held nearer; or the other way round."""
    planter, cells, sign = plant(), [], 1 if holds else -1
    common = PPO | {"kl_coef": 0.0, "label_noise": 0.25, "sd": 0.05, "n_comparisons": 2000}

    def run(reward: str, better: float, reach: float = 3.0, **options: Any) -> None:
        members = {"ensemble_members": 4} if reward in ("mean", "worst-case") else {}
        for size, seed in itertools.product(("3k", "25k"), SEEDS):
            gold = planter.hill(0.6 + 0.01 * seed, 1.5 + sign * better)
            d_S = np.linspace(0.0, reach, 21)
            settings = {"reward": reward, "rm_size": size, "seed": seed, **common, **members, **options}
            cells.append(planter.cell(gold, d_S=d_S, **settings))

    for place, reward in enumerate(reversed(PUBLISHED)):
        run(reward, 0.1 * place)
    run("mean", 0.3)
    run("worst-case", 0.4)
    run("single", 0.0, 1.6 if holds else 3.5, reward_threshold="forecast")
    for reward, reach in (("mean", 3.4 if holds else 1.2), ("worst-case", 1.4 if holds else 3.0)):
        run(reward, 0.0, reach, kl_coef=0.05)
    return cells


@pytest.mark.parametrize("holds", [True, False])
def test_verdicts_on_cures_of_a_trained_policy_follow_the_planted_data(plant: Any, analyse: Any, holds: bool) -> None:
    claims = analyse("mitigations", trained(plant, holds)).claims
    expected = "agree" if holds else "disagree"
    ordered = [claim for claim in claims if "in the order" in claim.paper]
    shaped = [claim for claim in claims if "at equal updates" in claim.paper and "(Fu et al." in claim.paper]
    held = [claim for claim in claims if "single with `hold forecast`" in claim.paper]
    penalty = [claim for claim in claims if "with `KL 0.05`" in claim.paper and "over-optimize" in claim.paper]
    assert [len(each) for each in (ordered, shaped, held, penalty)] == [1, 4, 1, 2]
    assert {claim.verdict for each in (ordered, shaped, held, penalty) for claim in each} == {expected}
    (windows,) = [claim for claim in claims if "widen the window" in claim.paper]
    assert (windows.verdict == "agree") == holds


def test_the_schedule_alone_is_moved_where_gold_per_nat_is_equal(plant: Any, analyse: Any, reference: Any) -> None:
    planter, cells = plant(), []
    for seed, (reward, reach) in itertools.product(SEEDS, {"single": 3.0, "par": 1.9, "clip": 2.5}.items()):
        better = 0.2 if reward == "clip" else 0.0
        gold = planter.hill(0.6 + better, 1.5)
        settings = PPO | {"kl_coef": 0.0, "reward": reward, "seed": seed, "label_noise": 0.25, "sd": 0.0}
        cells.append(planter.cell(gold, d_S=np.linspace(0.0, reach, 61), **settings))
    alike = [cell for cell in cells if cell.settings["reward"] != "clip"]
    for runs, verdict in ((alike, "agree"), (cells, "disagree")):
        (claim,) = [each for each in analyse("mitigations", runs).claims if "schedule only" in each.paper]
        assert claim.verdict == verdict
    (table,) = analyse("mitigations", cells).tables.values()
    rows = table.set_index("cure")
    d = np.linspace(1.0, 2.5, 12)
    expected = float(np.mean(planter.hill(0.2, 1.5)(d)))  # the laws' difference at the KL values that both reach
    assert reference.numbers(rows.loc["clip", "gold at matched KL, less one RM"])[0] == pytest.approx(
        expected, abs=0.006
    )
    assert rows.loc["par", "gold at equal proxy"] == "" and rows.loc["single", "gold at equal proxy"] != ""


def test_runs_are_shown_by_what_they_do_about_over_optimization(plant: Any) -> None:
    cells = trained(plant, True)
    shown = {cell.settings["cure"] for cell in labelled(Result("mitigations", {}, cells)).cells}
    assert {"single", "single, hold forecast", "mean, KL 0.05", "par"} < shown
