"""Metrics that gates check: numbers with intervals, computed from the evidence on one candidate reward model.

Axis letters: P prompts, S curve points, W bootstrap resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlproject import names
from mlproject.curve import Array, Curve, mean_and_se
from mlproject.laws import MIN_D, Z_975, Estimate, decompose, interval_95, law_for, resampled_means, wilson_interval
from mlproject.optimization import find_method
from mlproject.rewards.probes import ProbeResult, worst

RESAMPLES = 2000
SIGNS = (names.Statistic.LENGTH, names.Statistic.REPETITION)
"""Text statistics that metrics read."""


@dataclass(frozen=True)
class Evidence:
    """Everything that gates may read about one candidate reward model.

    Attributes:
        trained: metrics of its training run (`rm/val_accuracy`, `rm/ece`, ...).
        held_out: number of comparisons that they were measured on.
        method: how policies were optimized against it.
        curve: gold over KL on the `curve` prompts.
        signs_start, signs_peak: text statistics (`length`, `repetition`, ...) of the initial policy and at the peak.
        audit_P: gold on the `audit` prompts at the step where `curve` peaks, relative to the initial policy, standard
            deviations; None if it was not measured. Shape: (P,).
        champion_audit_P: the same for the champion, on the same prompts; None if there is no champion, in which case
            the candidate is compared with the initial policy, whose gold is 0; nan if the champion cannot be measured
            on them. Shape: (P,).
        resamples: number of resamples of the prompts for bootstrap intervals.
        probes: what cheap changes of responses do to its scores; empty if that was not measured.
    """

    trained: Mapping[str, float]
    held_out: int
    method: str
    curve: Curve
    signs_start: Mapping[str, float] = field(default_factory=dict)
    signs_peak: Mapping[str, float] = field(default_factory=dict)
    audit_P: Array | None = None
    champion_audit_P: Array | None = None
    resamples: int = RESAMPLES
    probes: Sequence[ProbeResult] = ()


@dataclass(frozen=True)
class Metric:
    """A metric that a gate can check.

    Attributes:
        description: one line for people, with the unit.
        measure: function of the evidence, and of the gate's argument if the metric takes one, that returns the value
            with its 95 % interval: nan if the evidence lacks it, an interval of width 0 if none is known.
        argument: name of the gate's argument; empty if the metric takes none.
        needs_audit: whether the metric reads the audit prompts.
        needs_probes: whether it reads the probes.
    """

    description: str
    measure: Callable[..., Estimate]
    argument: str = ""
    needs_audit: bool = False
    needs_probes: bool = False


def _val_accuracy(evidence: Evidence) -> Estimate:
    """Accuracy with Wilson's interval (1927)."""
    accuracy = evidence.trained.get(names.Metric.RM_VAL_ACCURACY, math.nan)
    return Estimate(accuracy, *wilson_interval(accuracy, max(evidence.held_out, 1)))


def _trained(name: str) -> Callable[[Evidence], Estimate]:
    def measure(evidence: Evidence) -> Estimate:
        value = evidence.trained.get(name, math.nan)
        return Estimate(value, value, value)

    return measure


def _peak_gold(evidence: Evidence) -> Estimate:
    peak = evidence.curve.peak()
    return _normal(peak.gold, peak.gold_se)


def _drop(evidence: Evidence) -> Estimate:
    return _normal(*evidence.curve.drop_after_peak())


def _gold_at_kl(evidence: Evidence, kl: float) -> Estimate:
    """Gold at a KL, interpolated per prompt between the two neighbouring points, linearly in sqrt(KL)."""
    curve = evidence.curve
    order = np.argsort(curve.kl_S, kind="stable")
    d_S, d = curve.sqrt_kl_S[order], math.sqrt(kl)
    if d > d_S[-1]:
        return Estimate(math.nan, math.nan, math.nan)
    after = int(np.clip(np.searchsorted(d_S, d), 1, len(d_S) - 1))
    gap = d_S[after] - d_S[after - 1]
    weight = float(np.clip((d - d_S[after - 1]) / gap, 0.0, 1.0)) if gap > 0 else 1.0
    gold_SP = curve.gold_SP[order]
    return _normal(*mean_and_se((1 - weight) * gold_SP[after - 1] + weight * gold_SP[after]))


def _gamma(evidence: Evidence) -> Estimate:
    form = law_for(find_method(evidence.method))
    try:
        parts = decompose(form, evidence.curve, evidence.resamples, np.random.default_rng(0), MIN_D[form.name])
    except ValueError:  # too few points
        return Estimate(math.nan, math.nan, math.nan)
    return parts.gamma


def _sign_ratio(name: str) -> Callable[[Evidence], Estimate]:
    def measure(evidence: Evidence) -> Estimate:
        start, peak = evidence.signs_start.get(name, math.nan), evidence.signs_peak.get(name, math.nan)
        ratio = peak / start if start > 0 else math.nan
        return Estimate(ratio, ratio, ratio)

    return measure


def _sign_rise(name: str) -> Callable[[Evidence], Estimate]:
    def measure(evidence: Evidence) -> Estimate:
        rise = evidence.signs_peak.get(name, math.nan) - evidence.signs_start.get(name, math.nan)
        return Estimate(rise, rise, rise)

    return measure


def _worst_probe(quantity: str) -> Callable[[Evidence], Estimate]:
    def measure(evidence: Evidence) -> Estimate:
        if not evidence.probes:
            return Estimate(math.nan, math.nan, math.nan)
        found: Estimate = getattr(worst(evidence.probes, quantity), quantity)
        return found

    return measure


def _margin(evidence: Evidence) -> Estimate:
    """Difference in gold, paired over prompts, since both policies answered the same ones."""
    if evidence.audit_P is None:
        return Estimate(math.nan, math.nan, math.nan)
    champion_P = 0.0 if evidence.champion_audit_P is None else evidence.champion_audit_P
    margin_P = evidence.audit_P - champion_P
    if np.isnan(margin_P).any():
        return Estimate(math.nan, math.nan, math.nan)
    means_W = resampled_means(margin_P[None], evidence.resamples, np.random.default_rng(0))[:, 0]
    return Estimate(float(margin_P.mean()), *interval_95(means_W))


def _normal(value: float, se: float) -> Estimate:
    return Estimate(value, value - Z_975 * se, value + Z_975 * se)


METRICS: Mapping[str, Metric] = {
    "val_accuracy": Metric("accuracy on held-out comparisons", _val_accuracy),
    "val_loss": Metric("Bradley-Terry loss on held-out comparisons, nats", _trained(names.Metric.RM_VAL_LOSS)),
    "calibration_error": Metric("expected calibration error on held-out comparisons", _trained(names.Metric.RM_ECE)),
    "peak_gold": Metric("highest gold on the curve prompts, standard deviations", _peak_gold),
    "gold_at_kl": Metric("gold at a given KL, standard deviations", _gold_at_kl, argument="kl"),
    "drop_after_peak": Metric("gold lost from the peak to the end of the run, standard deviations", _drop),
    "gamma": Metric(
        "area between the laws of proxy and gold, divided by the area under gold's (Kim et al. 2025)", _gamma
    ),
    "length_ratio": Metric("response length at the peak divided by the initial policy's", _sign_ratio(SIGNS[0])),
    "repetition_rise": Metric("share of repeated words at the peak minus the initial policy's", _sign_rise(SIGNS[1])),
    "probe_worst_gain": Metric(
        "largest mean gain of its score by a cheap change of responses, standard deviations",
        _worst_probe("gain"),
        needs_probes=True,
    ),
    "probe_worst_excess": Metric(
        "largest mean gain beyond gold's by a cheap change of responses, standard deviations",
        _worst_probe("excess"),
        needs_probes=True,
    ),
    "margin": Metric("gold minus the champion's on the audit prompts, standard deviations", _margin, needs_audit=True),
}
