"""The findings on methods and on what holds a policy, from planted curves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mlproject.config.schema import load_config
from mlproject.experiments.findings.claims import Claim, Finding
from mlproject.experiments.results import Cell
from mlproject.models.sizes import SIZES
from mlproject.optimization import METHODS

D_S = np.linspace(0, 5, 21)
RM_SIZES, SEEDS = ("1k", "3k", "25k"), (0, 1, 2)
ON_POLICY = {"ppo": 1.0, "grpo": 1.0, "rloo": 1.3}
"""Gold of each at every distance, as a multiple of PPO's."""
DIRECT = ("dpo", "chi-po")


@pytest.fixture(scope="module")
def options() -> Mapping[str, Mapping[str, Any]]:
    """Options of every method, as its runs have them."""
    config = load_config("laptop", {})
    return {name: config.of_method(name).params() for name in METHODS}


@pytest.fixture(scope="module")
def cells(plant: Any, options: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    """A store of the experiment: laws that are the methods' own, larger reward models peak higher and later, RLOO comes
    less far, direct alignment is below PPO and falls with the smaller beta alone."""
    planter = plant()
    cells = []
    for (i, size), seed in itertools.product(enumerate(RM_SIZES), SEEDS):
        a, b = 1.0 + 0.02 * seed, 0.8 - 0.1 * i
        for method, share in ON_POLICY.items():
            gold = lambda d, s=share, a=a, b=b: s * planter.logarithmic(a, b)(d)  # noqa: E731
            d_S = D_S[: 15 if method == "rloo" else 21]
            cells.append(
                planter.cell(
                    gold,
                    win=lambda d, g=gold: 0.5 + 0.2 * g(d),
                    d_S=d_S,
                    sd=0.05,
                    **{**options[method], "method": method, "rm_size": size, "seed": seed},
                )
            )
        select = planter.quadratic(1.3, 0.45 - 0.1 * i)
        cells.append(
            planter.cell(
                select,
                win=lambda d, g=select: 0.5 + 0.2 * g(d),
                d_S=D_S[:10],
                sd=0.05,
                **{**options["best-of-n"], "method": "best-of-n", "rm_size": size, "seed": seed},
            )
        )
    for method, beta, seed in itertools.product(DIRECT, (0.1, 0.3), SEEDS):
        gold = planter.logarithmic(0.5 + 0.02 * seed, 0.5)
        settings = {**options[method], "method": method, "align_beta": beta, "rm_size": "implicit", "seed": seed}
        cells.append(
            planter.cell(
                gold, win=lambda d, g=gold: 0.5 + 0.2 * g(d), d_S=D_S[: 21 if beta == 0.1 else 5], sd=0.05, **settings
            )
        )
    return cells


@pytest.fixture(scope="module")
def finding(cells: list[Cell], analyse: Any) -> Finding:
    return analyse("optimizers", cells)


def claim(finding: Finding, part: str) -> Claim:
    [found] = [each for each in finding.claims if part in each.paper]
    return found


@pytest.mark.parametrize(
    ("part", "verdict"),
    [
        ("Gold follows d (a - b d) for best-of-n", "agree"),
        ("Win rate follows d (a - b d) for best-of-n", "agree"),
        ("Gold follows d (a - b log d) for PPO, GRPO, RLOO, DPO, χPO", "agree"),
        ("Win rate follows d (a - b log d) for PPO", "agree"),
        ("at equal KL all on-policy methods have the same gold", "disagree"),
        ("the same alpha and beta against the same reward model", "disagree"),
        ("No method raises peak gold", "disagree"),
        ("RLOO has lost less gold than PPO", "agree"),
        ("Over-optimization needs no reward model", "agree"),
        ("Direct alignment peaks no higher than PPO", "agree"),
        ("At equal KL, direct alignment has the gold of PPO", "disagree"),
        ("beta of GRPO falls with log parameters", "agree"),
    ],
)
def test_what_is_planted_is_found(finding: Finding, part: str, verdict: str) -> None:
    assert claim(finding, part).verdict == verdict


def test_methods_of_one_law_are_alike_and_noise_is_no_answer(cells: list[Cell], analyse: Any, plant: Any) -> None:
    same = [cell for cell in cells if cell.settings["method"] in ("ppo", "grpo")]
    finding = analyse("optimizers", same)
    for part in ("at equal KL all", "the same alpha and beta", "No method raises"):
        assert claim(finding, part).verdict == "agree"
    planter, rng = plant(), np.random.default_rng(0)
    noisy = [
        planter.cell(planter.logarithmic(rng.normal(1, 0.3), 0.7), d_S=D_S, sd=0.05, **cell.settings) for cell in same
    ]
    finding = analyse("optimizers", noisy)
    for part in ("at equal KL all", "the same alpha and beta", "No method raises", "GRPO has lost less"):
        assert claim(finding, part).verdict == "cannot tell"


def test_differences_from_ppo_are_paired_over_sizes_and_seeds(
    finding: Finding, cells: list[Cell], reference: Any
) -> None:
    by_key = {(c.settings["method"], c.settings["rm_size"], c.settings["seed"]): c for c in cells}
    keys = list(itertools.product(RM_SIZES, SEEDS))
    gains = [reference.peak_gold(by_key["rloo", *key]) - reference.peak_gold(by_key["ppo", *key]) for key in keys]
    quoted = claim(finding, "No method raises").measured.split("RLOO: ")[1].split(";")[0]
    assert reference.numbers(quoted) == pytest.approx(reference.interval(gains), abs=0.0051)
    betas = {}
    for method in ("ppo", "grpo"):
        for key in keys:
            curve = by_key[method, *key].curve
            d_S, gold_S = np.sqrt(curve.kl_S[curve.kl_S > 0.09]), curve.gold_SP.mean(axis=1)[curve.kl_S > 0.09]
            X = np.column_stack([d_S, -d_S * np.log(d_S)])
            betas[method, key] = np.linalg.solve(X.T @ X, X.T @ gold_S)[1]
    expected = np.exp(reference.interval([np.log(betas["grpo", key] / betas["ppo", key]) for key in keys]))
    quoted = claim(finding, "the same alpha and beta").measured.split("beta of GRPO: ")[1].split(";")[0]
    assert reference.numbers(quoted) == pytest.approx(expected, abs=0.0051)
    params = [SIZES[size].reward_model_parameters for size, _ in keys]
    expected = reference.slope(params, [betas["grpo", key] for key in keys])
    assert reference.numbers(claim(finding, "beta of GRPO").measured)[:3] == pytest.approx(expected, abs=0.0051)


def test_direct_alignment_stands_beside_ppo_of_each_size_by_seed(
    finding: Finding, cells: list[Cell], reference: Any
) -> None:
    peaks = {
        (c.settings["method"], c.settings.get("align_beta"), c.settings["rm_size"], c.settings["seed"]): (
            reference.peak_gold(c)
        )
        for c in cells
    }
    table = finding.tables["Direct alignment beside PPO against each RM, paired by seed"]
    rows = table.set_index(["method", "RM of the other"])["peak gold, less its"]
    for size in RM_SIZES:
        expected = reference.interval(
            [peaks["dpo", 0.1, "implicit", seed] - peaks["ppo", None, size, seed] for seed in SEEDS]
        )
        assert reference.numbers(rows["DPO beta 0.1", size]) == pytest.approx(expected, abs=0.0051)
    part = claim(finding, "peaks no higher").measured.split("against the 25k RM: DPO beta 0.1: ")[1].split(";")[0]
    assert part == rows["DPO beta 0.1", "25k"]


def test_the_table_has_every_variant_with_its_peak_its_win_rate_and_its_cost(finding: Finding, reference: Any) -> None:
    rows = finding.tables["By method, mean over RM sizes and seeds"].set_index("method")
    assert list(rows.index) == [
        *("best-of-n", "PPO", "GRPO", "RLOO", "DPO beta 0.1", "DPO beta 0.3", "χPO beta 0.1", "χPO beta 0.3")
    ]
    assert rows.loc["best-of-n", "cost to the peak"].startswith("n = ")
    sampled, scored, trained = (float(x) for x in re.findall(r"([\d.]+)k", rows.loc["GRPO", "cost to the peak"]))
    assert sampled == scored and trained == pytest.approx(2 * sampled, abs=0.11)  # two passes over each rollout
    assert "sampled" not in rows.loc["DPO beta 0.1", "cost to the peak"]
    heights = [0.5 * np.exp((0.5 + 0.02 * seed) / 0.5 - 1) for seed in SEEDS]
    wins = reference.numbers(rows.loc["DPO beta 0.1", "win rate at the peak"])[0]
    assert wins == pytest.approx(0.5 + 0.2 * np.mean(heights), abs=0.01)


def test_the_law_of_grpo_and_its_forecasts_stand_by_rm_size(finding: Finding, reference: Any) -> None:
    [table] = [table for title, table in finding.tables.items() if title.startswith("The law by RM size")]
    grpo = table[table.method == "GRPO"]
    assert list(grpo.RM) == list(RM_SIZES)
    assert [reference.numbers(text)[0] for text in grpo.beta] == pytest.approx([0.8, 0.7, 0.6], abs=0.03)
    assert all(text.endswith("%") for text in grpo["forecast half way: KL off by"])


def test_what_holds_a_policy_is_told_from_what_does_not(plant, analyse) -> None:
    planter = plant()
    law = planter.logarithmic(1.0, 0.8)
    ways = {
        "plain": (21, {"kl_coef": 0}),
        "k1 in loss": (21, {"kl_coef": 0.1, "kl_in": "loss"}),
        "k2 in loss": (12, {"kl_coef": 0.1, "kl_in": "loss", "kl_estimator": "k2"}),
        "target": (9, {"kl_coef": 0.1, "kl_target": "4"}),
        "regularized": (10, {"kl_coef": 0, "gradient_penalty": 0.01}),
    }
    cells = [
        planter.cell(law, d_S=D_S[:end], method="ppo", rm_size="3k", seed=seed, sd=0.05, **options)
        for end, options in ways.values()
        for seed in (0, 1, 2)
    ]
    finding = analyse("kl_control", cells)
    verdicts = {claim.paper.split(":")[0].split(" (")[0]: claim.verdict for claim in finding.claims}
    assert verdicts == {
        "k1 in the loss holds nothing": "agree",
        "k2 and k3 in the loss do hold the policy, though their gradients are not that of KL": "agree",
        "Whatever holds the policy, gold at a given KL is the same": "agree",
        "... and none raises peak gold": "agree",
        "The controller ends at its target KL": "agree",
        "Gradient regularization keeps the policy nearer": "agree",
    }
    (table,) = finding.tables.values()
    assert list(table["held by"]) == [
        "none",
        "k1 in the loss, 0.1",
        "k2 in the loss, 0.1",
        "k1 in the reward, 0.1, to 4 nats",
        "gradient penalty 0.01",
    ]
