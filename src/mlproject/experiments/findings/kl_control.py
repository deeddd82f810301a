"""A penalty by its place, its estimator, its controller and its reference, against none, at matched KL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, listed, sign_verdict, verdict
from mlproject.experiments.findings.evidence import mean_interval, seeds_of
from mlproject.experiments.findings.frontier import all_alike, gold_gain, gold_lost, none_higher, window
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.optimization.on_policy.config import K1, LOSS, OFF, SQRT_CHI2, OnPolicyConfig

_LEASH = 0.8
"""Share of the final KL without a penalty above which a penalty holds nothing."""
PLAIN = "none"


def analyse(result: Result) -> Finding:
    """Each way to hold a policy against none, with the same seed."""
    ways: dict[str, dict[int, Cell]] = {}
    for cell in result.cells:
        ways.setdefault(_way(cell), {})[cell.settings["seed"]] = cell
    plain = ways.get(PLAIN, {})
    others = {name: cells for name, cells in ways.items() if name != PLAIN}
    pairs = {
        name: [(cells[s], plain[s]) for s in seeds_of(cells.values()) if s in plain] for name, cells in others.items()
    }
    gains = {name: mean_interval(gold_gain(a.curve, b.curve) for a, b in each) for name, each in pairs.items()}
    peaks = {
        name: mean_interval(a.curve.peak().gold - b.curve.peak().gold for a, b in each) for name, each in pairs.items()
    }
    held = {name: mean_interval(a.curve.kl_S[-1] / b.curve.kl_S[-1] for a, b in each) for name, each in pairs.items()}
    rows = [
        {
            "held by": name,
            "peak gold, less none": str(peaks.get(name, "")),
            "width near the peak (nats)": str(mean_interval(window(cell.curve) for cell in cells.values())),
            "gold lost at the end": str(mean_interval(gold_lost(cell.curve) for cell in cells.values())),
            "gold at matched KL, less none": str(gains.get(name, "")),
        }
        for name, cells in ways.items()
    ]
    claims = [*_of_estimators(held), *_of_frontier(gains, peaks), *_of_control(ways, held)]
    return Finding(claims=claims, tables={"Ways to hold a policy": pd.DataFrame(rows)})


def labelled(result: Result) -> Result:
    """The result with a setting more, for its figure and table: `held by`, what holds the policy of a run."""
    return result.with_settings(lambda cell: {"held by": _way(cell)})


def _way(cell: Cell) -> str:
    """What holds the policy of a run, in the words of the options; a setting that is missing has its default."""
    defaults: Mapping[str, Any] = {option.name: option.default for option in fields(OnPolicyConfig)}
    of = {name: cell.settings.get(name, default) for name, default in defaults.items()}
    if not of["kl_coef"]:
        return f"gradient penalty {of['gradient_penalty']:g}" if of["gradient_penalty"] else PLAIN
    parts = [f"{of['kl_estimator']} in the {of['kl_in']}, {of['kl_coef']:g}"]
    parts += [f"to {of['kl_target']} nats"] if of["kl_target"] != OFF else []
    parts += [f"reset every {of['reference_reset']}"] if of["reference_reset"] else []
    return ", ".join(parts)


def _of_estimators(held: dict[str, Estimate]) -> list[Claim]:
    in_loss = {name: share for name, share in held.items() if f"in the {LOSS}" in name}
    k1 = {name: share for name, share in in_loss.items() if name.startswith(K1)}
    k23 = {name: share for name, share in in_loss.items() if not name.startswith((K1, SQRT_CHI2))}
    claims = []
    if k1:
        claims.append(
            Claim(
                "k1 in the loss holds nothing: its expected gradient is 0",
                f"final KL as a share of that without a penalty: {listed(k1)}",
                verdict(all(share.low > _LEASH for share in k1.values()), any(s.high < _LEASH for s in k1.values())),
            )
        )
    if k23:
        claims.append(
            Claim(
                "k2 and k3 in the loss do hold the policy, though their gradients are not that of KL",
                f"final KL as a share of that without a penalty: {listed(k23)}",
                verdict(all(share.high < 1 for share in k23.values()), any(s.low > _LEASH for s in k23.values())),
            )
        )
    return claims


def _of_frontier(gains: dict[str, Estimate], peaks: dict[str, Estimate]) -> list[Claim]:
    if not gains:
        return []
    return [
        Claim(
            "Whatever holds the policy, gold at a given KL is the same (section 3.6)",
            f"gold at matched KL, less that without a penalty: {listed(gains)}",
            all_alike(gains.values()),
        ),
        Claim(
            "... and none raises peak gold",
            f"peak gold, less that without a penalty: {listed(peaks)}",
            none_higher(peaks.values()),
        ),
    ]


def _of_control(ways: dict[str, dict[int, Cell]], held: dict[str, Estimate]) -> list[Claim]:
    claims = []
    for cells in ways.values():
        target = next(iter(cells.values())).settings.get("kl_target", OFF)
        if target != OFF:
            ratio = mean_interval(float(cell.curve.kl_S[-1]) / float(target) for cell in cells.values())
            claims.append(
                Claim(
                    "The controller ends at its target KL (Ziegler et al. 2019)",
                    f"final KL over the target of {target} nats: {ratio}",
                    verdict(ratio.low > 0.8 and ratio.high < 1.25, ratio.low > 1.25 or ratio.high < 0.8),
                )
            )
    for name, share in held.items():
        if "gradient penalty" in name:
            moved = Estimate(share.value - 1, share.low - 1, share.high - 1)
            measured = f"final KL as a share of that without: {share}"
            claims.append(Claim("Gradient regularization keeps the policy nearer", measured, sign_verdict(moved, -1)))
    return claims
