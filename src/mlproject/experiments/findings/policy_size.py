"""Policies of several sizes optimized against the same reward models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import (
    gold_at,
    mean_interval,
    methods_of,
    proxy_at,
    ratio_interval,
    select,
    values_of,
)
from mlproject.experiments.results import Cell, Result
from mlproject.models.sizes import SIZES
from mlproject.names import Metric

Measure = Callable[[Cell], float]


def analyse(result: Result) -> Finding:
    """The paper's four observations about its two policy sizes (section 3.4), here with three."""
    sizes = sorted(values_of(result, "policy_size"), key=lambda size: SIZES[size].reward_model_parameters)
    claims = [_start(result, sizes)]
    for method in methods_of(result):
        claims += [_gain(result, method, sizes), _peak_kl(result, method, sizes), _gap(result, method, sizes)]
    notes = [
        "Gold RM and proxies were trained on the responses of a single policy (`rm_policy_size`).",
        "All policies have the same learning rate: with PPO, a larger policy moves further per update.",
    ]
    return Finding(claims=claims, notes=notes)


def _start(result: Result, sizes: list[str]) -> Claim:
    means = [
        float(np.mean([c.metrics[Metric.POOL_GOLD_MEAN] for c in select(result, policy_size=size)])) for size in sizes
    ]
    return Claim(
        "A larger policy starts from a higher gold score",
        "initial gold: " + ", ".join(f"{size} {mean:+.2f}" for size, mean in zip(sizes, means, strict=True)),
        verdict(means == sorted(means), means == sorted(means, reverse=True)),
    )


def _paired(result: Result, method: str, sizes: list[str], value: Measure) -> list[float]:
    """Largest minus smallest policy, for each proxy."""
    small, large = (select(result, method=method, policy_size=size) for size in (sizes[0], sizes[-1]))
    return [value(b) - value(a) for a, b in zip(small, large, strict=True)]


def _means(result: Result, method: str, sizes: list[str], value: Measure) -> str:
    means = {size: np.mean([value(c) for c in select(result, method=method, policy_size=size)]) for size in sizes}
    return ", ".join(f"{size} {mean:.2f}" for size, mean in means.items())


def _gain(result: Result, method: str, sizes: list[str]) -> Claim:
    def gain(cell: Cell) -> float:
        return cell.curve.peak().gold

    difference = mean_interval(_paired(result, method, sizes, gain))
    return Claim(
        f"A larger policy gains less, {method}",
        f"peak gold relative to its own start: {_means(result, method, sizes, gain)}; largest minus smallest "
        f"{difference}",
        verdict(difference.sign < 0, difference.sign > 0),
    )


def _peak_kl(result: Result, method: str, sizes: list[str]) -> Claim:
    def log_kl(cell: Cell) -> float:
        return float(np.log(cell.curve.peak().kl))

    ratio = ratio_interval(_paired(result, method, sizes, log_kl))
    close = 0.67 < ratio.value < 1.5
    return Claim(
        f"The peak is at about the same KL, {method}",
        f"ratio of peak KL, largest to smallest policy: {ratio}; means "
        f"{_means(result, method, sizes, lambda cell: cell.curve.peak().kl)} nats",
        verdict(ratio.low <= 1 <= ratio.high and close, (ratio.low > 1 or ratio.high < 1) and not close),
    )


def _gap(result: Result, method: str, sizes: list[str]) -> Claim:
    """Proxy minus gold at a KL that all policies reach."""
    cells = select(result, method=method)
    reach = min(float(cell.curve.kl_S.max()) for cell in cells)

    def gap(cell: Cell) -> float:
        return proxy_at(cell.curve, reach) - gold_at(cell.curve, reach)

    difference = mean_interval(_paired(result, method, sizes, gap))
    return Claim(
        f"The gap between proxy and gold at a given KL is about the same, {method}",
        f"at {reach:.1f} nats: {_means(result, method, sizes, gap)}; largest minus smallest {difference}",
        verdict(
            difference.sign == 0 and abs(difference.value) < 0.2, difference.sign != 0 and abs(difference.value) > 0.2
        ),
    )
