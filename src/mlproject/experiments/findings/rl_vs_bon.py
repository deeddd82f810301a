"""Best-of-n and PPO against the same proxies: over KL, and over the proxy's own score."""

from __future__ import annotations

import numpy as np

from mlproject.curve import Curve
from mlproject.experiments.findings.claims import Claim, Finding, sign_verdict, verdict
from mlproject.experiments.findings.evidence import gold_at, mean_interval, select
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate


def analyse(result: Result) -> Finding:
    """Pairs of curves with the same proxy and seed."""
    pairs = list(zip(select(result, method="best-of-n"), select(result, method="ppo"), strict=True))
    half = mean_interval(
        np.log(_kl_to(ppo.curve, share) / _kl_to(bon.curve, share)) for bon, ppo, share in _shares(pairs)
    )
    ratio = Estimate(*(float(np.exp(x)) for x in half))
    peak_kl = mean_interval(np.log(ppo.curve.peak().kl / bon.curve.peak().kl) for bon, ppo in pairs)
    at_kl = mean_interval(_at_equal_kl(bon.curve, ppo.curve) for bon, ppo in pairs)
    over_kl = mean_interval(_apart(bon.curve, ppo.curve, over_proxy=False) for bon, ppo in pairs)
    over_proxy = mean_interval(_apart(bon.curve, ppo.curve, over_proxy=True) for bon, ppo in pairs)
    early = mean_interval(_early_gap(ppo.curve) - _early_gap(bon.curve) for bon, ppo in pairs)
    peak = mean_interval(ppo.curve.peak().gold - bon.curve.peak().gold for bon, ppo in pairs)
    growth = mean_interval(_growth(ppo.curve) for _, ppo in pairs)
    claims = [
        Claim(
            "PPO spends far more KL than best-of-n for the same gold (section 3.5)",
            f"KL at which half of the lower peak's gold is reached, PPO over best-of-n: {ratio}; peak KL "
            f"{np.exp(peak_kl.value):.1f} times; gold of PPO less best-of-n at equal KL {at_kl}",
            verdict(ratio.low > 1, ratio.high < 1),
        ),
        Claim(
            "Over the proxy's score the two look much more alike (fig. 8)",
            f"mean distance of the gold curves over KL {over_kl}, over the proxy's score {over_proxy}",
            verdict(over_proxy.high < over_kl.value, over_proxy.low > over_kl.value),
        ),
        Claim(
            "PPO starts with a larger gap between proxy and gold",
            f"gap at a proxy score of .5, PPO less best-of-n: {early}",
            sign_verdict(early, 1),
        ),
        Claim("... but its gold peaks higher", f"peak gold, PPO less best-of-n: {peak}", sign_verdict(peak, 1)),
        Claim(
            "KL of PPO without a penalty grows about quadratically with the step (figs. 14, 16)",
            f"exponent of KL over updates, first half of the run: {growth}",
            verdict(1.6 < growth.value < 2.4, growth.high < 1.6 or growth.low > 2.4),
        ),
    ]
    return Finding(
        claims=claims, notes=[f"{len(pairs)} pairs of curves; the proxy's score is calibrated to gold's units."]
    )


def _shares(pairs: list[tuple[Cell, Cell]]) -> list[tuple[Cell, Cell, float]]:
    return [(bon, ppo, 0.5 * min(bon.curve.peak().gold, ppo.curve.peak().gold)) for bon, ppo in pairs]


def _kl_to(curve: Curve, gold: float) -> float:
    """KL at which gold first reaches a value, nats."""
    first = int(np.argmax(curve.gold_S >= gold))
    if first == 0:
        return float(curve.kl_S[0])
    x, y = curve.kl_S[first - 1 : first + 1], curve.gold_S[first - 1 : first + 1]
    return float(np.interp(gold, y, x))


def _at_equal_kl(bon: Curve, ppo: Curve) -> float:
    reach = min(bon.kl_S.max(), ppo.kl_S.max())
    return float(np.mean([gold_at(ppo, kl) - gold_at(bon, kl) for kl in np.linspace(0.5, reach, 20)]))


def _apart(bon: Curve, ppo: Curve, over_proxy: bool) -> float:
    """Mean absolute distance of the two gold curves over what both reach of KL, or of the proxy's score."""
    x_bon, x_ppo = (curve.proxy_S if over_proxy else curve.kl_S for curve in (bon, ppo))
    order_bon, order_ppo = x_bon.argsort(), x_ppo.argsort()
    grid = np.linspace(0, min(x_bon.max(), x_ppo.max()), 50)
    gold_bon = np.interp(grid, x_bon[order_bon], bon.gold_S[order_bon])
    gold_ppo = np.interp(grid, x_ppo[order_ppo], ppo.gold_S[order_ppo])
    return float(np.abs(gold_bon - gold_ppo).mean())


def _early_gap(curve: Curve) -> float:
    order = curve.proxy_S.argsort()
    if curve.proxy_S.max() < 0.5:
        return float("nan")
    return 0.5 - float(np.interp(0.5, curve.proxy_S[order], curve.gold_S[order]))


def _growth(curve: Curve) -> float:
    """Slope of log KL over log step in the first half of the updates."""
    kept = (curve.steps_S > 0) & (curve.steps_S <= curve.steps_S.max() / 2) & (curve.kl_S > 0)
    return float(np.polyfit(np.log(curve.steps_S[kept]), np.log(curve.kl_S[kept]), 1)[0])
