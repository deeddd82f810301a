"""Best-of-n and PPO against the same proxies: over KL, and over the proxy score."""

from __future__ import annotations

import numpy as np

from mlproject.curve import Curve
from mlproject.experiments.findings.claims import Claim, Finding, sign_verdict, verdict
from mlproject.experiments.findings.evidence import gold_at, mean_interval, ratio_interval, select
from mlproject.experiments.findings.frontier import kl_to
from mlproject.experiments.results import Cell, Result


def analyse(result: Result) -> Finding:
    """Pairs of curves with the same proxy and seed."""
    pairs = list(zip(select(result, method="best-of-n"), select(result, method="ppo"), strict=True))
    half_kl = ratio_interval(
        np.log(kl_to(ppo.curve, gold) / kl_to(bon.curve, gold)) for bon, ppo, gold in _with_half_gold(pairs)
    )
    peak_kl = ratio_interval(np.log(ppo.curve.peak().kl / bon.curve.peak().kl) for bon, ppo in pairs)
    at_kl = mean_interval(_at_equal_kl(bon.curve, ppo.curve) for bon, ppo in pairs)
    over_kl = mean_interval(_distance(bon.curve, ppo.curve, over_proxy=False) for bon, ppo in pairs)
    over_proxy = mean_interval(_distance(bon.curve, ppo.curve, over_proxy=True) for bon, ppo in pairs)
    early = mean_interval(_early_gap(ppo.curve) - _early_gap(bon.curve) for bon, ppo in pairs)
    peak = mean_interval(ppo.curve.peak().gold - bon.curve.peak().gold for bon, ppo in pairs)
    growth = mean_interval(_growth(ppo.curve) for _, ppo in pairs)
    claims = [
        Claim(
            "PPO uses far more KL than best-of-n for the same gold (section 3.5)",
            f"ratio of the KL at which half of the lower peak gold is reached, PPO to best-of-n: {half_kl}; ratio of "
            f"peak KL {peak_kl.value:.1f}; gold of PPO minus best-of-n at equal KL {at_kl}",
            verdict(half_kl.low > 1, half_kl.high < 1),
        ),
        Claim(
            "Over the proxy score the two methods are much more similar (fig. 8)",
            f"mean distance between the gold curves over KL {over_kl}, over the proxy score {over_proxy}",
            verdict(over_proxy.high < over_kl.value, over_proxy.low > over_kl.value),
        ),
        Claim(
            "PPO starts with a larger gap between proxy and gold",
            f"gap at a proxy score of .5, PPO minus best-of-n: {early}",
            sign_verdict(early, 1),
        ),
        Claim("... but PPO reaches higher peak gold", f"peak gold, PPO minus best-of-n: {peak}", sign_verdict(peak, 1)),
        Claim(
            "KL of PPO without a penalty grows about quadratically with the update (figs. 14, 16)",
            f"exponent of KL over updates, first half of the run: {growth}",
            verdict(1.6 < growth.value < 2.4, growth.high < 1.6 or growth.low > 2.4),
        ),
    ]
    return Finding(
        claims=claims, notes=[f"{len(pairs)} pairs of curves; the proxy score is calibrated to units of gold."]
    )


def _with_half_gold(pairs: list[tuple[Cell, Cell]]) -> list[tuple[Cell, Cell, float]]:
    """Each pair with half of the lower peak gold of the two."""
    return [(bon, ppo, 0.5 * min(bon.curve.peak().gold, ppo.curve.peak().gold)) for bon, ppo in pairs]


def _at_equal_kl(bon: Curve, ppo: Curve) -> float:
    reach = min(bon.kl_S.max(), ppo.kl_S.max())
    return float(np.mean([gold_at(ppo, kl) - gold_at(bon, kl) for kl in np.linspace(0.5, reach, 20)]))


def _distance(bon: Curve, ppo: Curve, over_proxy: bool) -> float:
    """Mean absolute difference of the gold curves over the range of KL, or of the proxy score, that both reach."""
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
    early_S = (curve.steps_S > 0) & (curve.steps_S <= curve.steps_S.max() / 2) & (curve.kl_S > 0)
    return float(np.polyfit(np.log(curve.steps_S[early_S]), np.log(curve.kl_S[early_S]), 1)[0])
