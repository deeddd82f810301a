"""Direct alignment and losses of the reward model, with planted truths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.experiments.findings import direct_alignment, rm_losses
from mlproject.experiments.results import Cell, Result

STEPS_S = np.array([1, 5, 10, 30, 60, 90, 120, 150])


def aligned(method: str, beta: float, seed: int, falls: float, accuracy: float, n_comparisons: int = 16000) -> Cell:
    """Gold and win rate follow the logarithmic law in d; `falls` is beta of the law; final KL is 4 / beta nats."""
    d_S = np.linspace(0.4, 2 / beta**0.5, 8)
    shape_S = d_S * (0.5 - falls * np.log(d_S))
    noise_P = np.linspace(-0.1, 0.1, 12) + 0.01 * seed
    win_SP = 0.5 + 0.1 * shape_S[:, None] + 0 * noise_P
    curve = Curve(STEPS_S, d_S**2, d_S[:, None] + noise_P, shape_S[:, None] + noise_P, win_SP=win_SP)
    settings = {
        "method": method, "align_beta": beta, "seed": seed, "n_comparisons": n_comparisons, "align_batch_size": 64,
        "rm_size": "implicit", "rm_params": 100160,
    }  # fmt: skip
    metrics = {
        f"{method}/preference_accuracy": accuracy, f"{method}/chosen_log_ratio": -3.0 - seed,
        "curve/win_rate": float(curve.win_SP[-1].mean()),
    }  # fmt: skip
    return Cell(settings, metrics, curve)


@pytest.fixture(scope="module")
def verdicts() -> dict[str, str]:
    """Runs that fall the more the smaller beta is, the sooner the fewer the comparisons, with rising accuracy."""
    cells = [
        aligned(method, beta, seed, falls=0.5 * more, accuracy=0.8 - beta / 10)
        for method, more in (("dpo", 1.0), ("ipo", 1.0), ("slic", 1.0), ("chi-po", 0.8))
        for beta in (0.1, 0.3, 1.0)
        for seed in (0, 1, 2)
    ]
    cells += [aligned("dpo", 0.3, seed, falls=0.6, accuracy=0.8, n_comparisons=4000) for seed in range(3)]
    finding = direct_alignment.analyse(Result("direct_alignment", {}, cells))
    return {claim.paper: claim.verdict for claim in finding.claims}


@pytest.mark.parametrize(
    "claim",
    ["over-optimizes as RL does", "before a single epoch", "early in the epoch", "the larger KL",
     "the more gold is lost", "the earlier the peak", "fits gold", "fits win rate", "does not tell the win rate",
     "become less likely", "chi-PO loses less"],
)  # fmt: skip
def test_a_claim_that_is_planted_is_found(verdicts: dict[str, str], claim: str) -> None:
    assert [verdict for paper, verdict in verdicts.items() if claim in paper] == ["agree"]


def test_a_claim_whose_opposite_is_planted_is_refused() -> None:
    cells = [
        aligned("dpo", beta, seed, falls=0.5, accuracy=0.6 + beta / 10)  # the more accurate, the more wins
        for beta in (0.1, 0.3, 1.0)
        for seed in (0, 1, 2)
    ]
    finding = direct_alignment.analyse(Result("direct_alignment", {}, cells))
    found = {claim.paper: claim.verdict for claim in finding.claims}
    assert found["The smaller beta, the larger KL"] == "agree"
    assert found["The accuracy of the implicit reward does not tell the win rate"] == "disagree"


def test_runs_that_differ_by_chance_alone_give_no_verdict() -> None:
    betas, rng = (0.1, 0.3, 1.0), np.random.default_rng(2)
    cells = []
    for method, seed in itertools.product(("dpo", "ipo", "slic", "chi-po"), (0, 1, 2)):
        runs = [aligned(method, beta, seed, falls=0.5, accuracy=0.8 - beta / 10) for beta in betas]
        for beta, i, wins in zip(betas, rng.permutation(3), rng.uniform(0.4, 0.8, 3), strict=True):
            metrics = {**runs[i].metrics, "curve/win_rate": wins}
            cells.append(Cell({**runs[i].settings, "align_beta": beta}, metrics, runs[i].curve))
    finding = direct_alignment.analyse(Result("direct_alignment", {}, cells))
    for claim in finding.claims:
        if "smaller beta" in claim.paper or "chi-PO" in claim.paper or "does not tell" in claim.paper:
            assert claim.verdict == "cannot tell", claim


def test_a_loss_is_compared_with_the_plain_one_of_the_same_seed(cell) -> None:
    cells = []
    for seed in range(3):
        same = {"rm_size": "3k", "seed": seed, "label_noise": 0}
        cells += [
            cell(1 + 0.2 * seed, **same),
            cell(1.3 + 0.2 * seed + 0.01 * seed, rm_margin=1.0, **same),
            cell(1 + 0.2 * seed, center_rewards_coefficient=0.01, **same),
            cell(0.7 + 0.2 * seed + 0.01 * seed, rm_text_weight=0.1, **same),
            cell(2 + 0.2 * seed, ranked_responses=4, **same),
            cell(2.2 + 0.2 * seed - 0.01 * seed, ranked_responses=4, rm_loss="plackett-luce", **same),
        ]
    finding = rm_losses.analyse(Result("rm_losses", {}, cells))
    table = finding.tables["Against the plain loss"].set_index("loss")
    assert table.loc["rm_margin=1", "peak gold, minus plain"].startswith(
        "0.30"
    )  # of the grid point nearest to the peak, .96 of it
    assert finding.claims[0].verdict == "agree"
    assert [claim.verdict for claim in finding.claims if "Centring" in claim.paper] == ["agree"]
    assert table.loc["rm_loss=plackett-luce", "peak gold, minus plain"].startswith("0.18")  # not of the pairs apart
    by_words = {claim.paper.partition(" ")[2]: claim.verdict for claim in finding.claims}
    assert by_words["likelihood of rankings is better than that of their pairs"] == "agree"
    assert table.loc["rm_text_weight=0.1", "peak gold, minus plain"].startswith("-0.28")
    assert (
        by_words["share of text keeps a reward model from being exploited (Yang et al. 2024)"] == "cannot tell"
    )  # at the end
    assert not any("in one batch" in claim.paper for claim in finding.claims), "no run has that loss"
