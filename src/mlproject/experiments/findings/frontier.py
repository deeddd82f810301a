"""How two runs compare as policies move away: gold at matched KL, and what a run has lost at its end."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from mlproject.curve import Curve
from mlproject.experiments.findings.claims import verdict
from mlproject.experiments.findings.evidence import gold_at
from mlproject.laws import Estimate

GRID = 12
"""Number of KL values, evenly spaced in sqrt(KL), at which two frontiers are compared."""
NEAR_PEAK = 0.05
"""Gold below the highest that still counts as near it, standard deviations."""
RELEVANT = 0.05
"""Smallest relevant difference of gold, standard deviations."""


def matched_kl(a: Curve, b: Curve) -> np.ndarray:
    """KL values that both curves reach, nats; from 1 nat on if possible, since smaller ones are uninformative."""
    reach = min(float(a.kl_S.max()), float(b.kl_S.max()))
    return np.square(np.linspace(1.0, np.sqrt(reach), GRID)) if reach > 1 else np.array([reach])


def gold_gain(a: Curve, b: Curve) -> float:
    """Mean gold of one curve less that of another at the same KL, standard deviations."""
    return float(np.mean([gold_at(a, kl) - gold_at(b, kl) for kl in matched_kl(a, b)]))


def gold_lost(curve: Curve) -> float:
    """Highest gold less gold at the end, standard deviations."""
    return float(curve.gold_S.max() - curve.gold_S[-1])


def gold_per_nat(curve: Curve) -> float:
    """Peak gold over the KL of the peak, standard deviations per nat; nan at KL 0."""
    peak = curve.peak()
    return peak.gold / peak.kl if peak.kl > 0 else float("nan")


def window(curve: Curve) -> float:
    """Width in KL of the points near the peak, nats."""
    near_S = curve.gold_S >= curve.gold_S.max() - NEAR_PEAK
    return float(np.ptp(curve.kl_S[near_S]))


def window_steps(curve: Curve) -> float:
    """Width in steps of the points near the peak."""
    return float(np.ptp(curve.steps_S[curve.gold_S >= curve.gold_S.max() - NEAR_PEAK]))


def kl_to(curve: Curve, gold: float) -> float:
    """KL at which gold first reaches a value, nats; nan if it never does."""
    if not (curve.gold_S >= gold).any():
        return math.nan
    first = int(np.argmax(curve.gold_S >= gold))
    if first == 0:
        return float(curve.kl_S[0])
    x, y = curve.kl_S[first - 1 : first + 1], curve.gold_S[first - 1 : first + 1]
    return float(np.interp(gold, y, x))


def all_alike(differences: Collection[Estimate]) -> str:
    """Verdict on the claim that differences of gold are 0: every interval within `RELEVANT` of it, or one that excludes
    0 at a relevant value."""
    return verdict(
        all(max(abs(each.low), abs(each.high)) < RELEVANT for each in differences),
        any(each.sign != 0 and abs(each.value) > RELEVANT for each in differences),
    )


def none_higher(differences: Collection[Estimate]) -> str:
    """Verdict on the claim that no difference of gold is above 0: every interval ends below `RELEVANT`, or one lies
    above 0 at a relevant value."""
    return verdict(
        all(each.high < RELEVANT for each in differences),
        any(each.sign > 0 and each.value > RELEVANT for each in differences),
    )
