"""The findings on methods and on what holds a policy, from planted curves."""

from __future__ import annotations

import numpy as np
import pytest

D_S = np.linspace(0, 5, 21)
METHODS = {"best-of-n": 0.0, "ppo": 0.0, "grpo": 0.0, "rloo": 0.3}
"""How much higher each lies than PPO at every distance, as a share."""


def test_methods_are_compared_at_equal_distance(plant, analyse, reference) -> None:
    planter = plant()
    law = lambda share: lambda d: (1 + share) * planter.logarithmic(1.0, 0.8)(d)  # noqa: E731
    ends = {"rloo": 15}  # it has come less far after the same number of updates
    cells = [
        planter.cell(law(share), d_S=D_S[: ends.get(method, 21)], method=method, rm_size=size, seed=seed, sd=0.05)
        for method, share in METHODS.items()
        for size in ("1k", "25k")
        for seed in (0, 1, 2)
    ]
    finding = analyse("optimizers", cells)
    logarithmic, distance, peak, *lost = finding.claims
    assert logarithmic.verdict == "agree" and len(reference.numbers(logarithmic.measured)) == 9
    assert (distance.verdict, peak.verdict) == ("disagree", "disagree")
    assert [claim.verdict for claim in lost][-1] == "agree"
    rows = finding.tables["Curves by method, mean over RM sizes and seeds"].set_index("method")
    assert list(rows.index) == ["best-of-n", "GRPO", "PPO", "RLOO"]
    best = planter.logarithmic(1.0, 0.8)(D_S).max()
    assert reference.numbers(rows.loc["PPO", "peak gold"])[0] == pytest.approx(best, abs=0.03)
    same = [cell for cell in cells if cell.settings["method"] != "rloo"]
    assert [claim.verdict for claim in analyse("optimizers", same).claims][1:3] == ["agree", "agree"]


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
