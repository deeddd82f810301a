"""Gold-free signals as early warnings of over-optimization, and a test RM as a substitute for gold.

The threshold for a run is chosen on runs with other seeds: even ones for odd ones, and vice versa.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlproject.curve import Array
from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evaluated_runs import (
    LARGEST,
    SAME,
    EvaluatedRun,
    departures_of,
    forecast_stop,
    mean,
    share,
)
from mlproject.experiments.findings.evidence import select
from mlproject.experiments.results import Result
from mlproject.monitoring.alarm_scores import (
    AlarmScores,
    GroundTruth,
    best_threshold,
    bootstrap_mean,
    held_out_stops,
    threshold_for_false_alarms,
)
from mlproject.monitoring.checkpoint_choice import HIGHEST, WAYS, highest
from mlproject.monitoring.signals import mean_series, series
from mlproject.names import Statistic, StatisticPrefix

BASELINES = ("proxy", "KL")
NEAR = 0.05
"""A negligible loss of gold, standard deviations."""

MAX_FALSE, MIN_FIRED = 0.25, 0.9


def analyse(result: Result) -> Finding:
    """Alarms by signal, checkpoint selection by test RM, and the claims of other papers about both."""
    runs = [EvaluatedRun.of(cell) for cell in select(result, method="ppo")]
    truths = [run.truth for run in runs]
    departures = departures_of(runs)
    halves, sizes = ([f(run.cell.settings) for run in runs] for f in (lambda s: s["seed"] % 2, lambda s: s["rm_size"]))
    alarms, transferred, matched = (
        {name: AlarmScores(truths, held_out_stops(truths, d, groups, how)[0]) for name, d in departures.items()}
        for groups, how in ((halves, best_threshold), (sizes, best_threshold), (halves, threshold_for_false_alarms))
    )
    baselines = {
        "forecast from gold, no prior (needs gold)": AlarmScores(truths, [forecast_stop(run) for run in runs]),
        "none: run to the end": AlarmScores(truths, [None] * len(runs)),
    }
    checkpoints = {
        (which, way): AlarmScores(truths, [WAYS[way](run.truth.kl_S, run.score(which)) for run in runs])
        for which in (SAME, LARGEST)
        for way in WAYS
    }
    overoptimized = sum(truth.is_overoptimized for truth in truths)
    notes = [
        f"{len(runs)} runs; {overoptimized} are over-optimized: gold had fallen by more than two standard errors "
        "(paired over prompts) at the end. An alarm fires at the first point after the start whose departure reaches "
        "the threshold. The threshold has the least mean regret over the runs with the other seeds (even or odd), so "
        "that no run is evaluated with a threshold that was chosen on it. An alarm is false if gold had not fallen by "
        "the end of the run, or if it fires before half of the peak KL. Regret is gold at the peak minus gold where "
        "the alarm, or else the end, stops the run. Lead is peak KL minus KL at the alarm. Intervals: Wilson's for "
        "shares, bootstrap over runs for means.",
        "Test RM and proxy are calibrated on gold margins of held-out comparisons; gaps depend on this scale, the peak "
        "of the test RM does not.",
    ]
    return Finding(
        claims=_claims(runs, alarms, transferred, baselines, checkpoints),
        tables={
            "Alarms with the threshold of least regret": _alarms(alarms, transferred, baselines),
            "Alarms with the lowest threshold that is false in at most 10 % of the other runs": _alarms(
                matched, {}, {}
            ),
            "Checkpoints selected without gold": _checkpoints(runs, checkpoints, alarms, baselines),
            "The point with the highest test RM score, by RM size": _by_size(runs, checkpoints),
        },
        notes=notes,
    )


def _alarms(
    alarms: Mapping[str, AlarmScores], transferred: Mapping[str, AlarmScores], baselines: Mapping[str, AlarmScores]
) -> pd.DataFrame:
    ordered = sorted((name for name in alarms if name not in BASELINES), key=lambda n: alarms[n].regret_C.mean())
    rows = []
    for name in (*ordered, *BASELINES, *baselines):
        scores = alarms[name] if name in alarms else baselines[name]
        elsewhere = mean(transferred[name].regret_C) if name in transferred else ""
        rows.append(
            {
                "signal": name,
                "fires at or before the peak": share(*scores.before_peak),
                "never fires": share(*scores.missed),
                "lead (nats)": mean(scores.leads, "+.1f"),
                "false alarms": share(*scores.false_alarms),
                "regret (sd of gold)": mean(scores.regret_C),
                **({"regret with thresholds from other RM sizes": elsewhere} if transferred else {}),
            }
        )
    return pd.DataFrame(rows)


def _checkpoints(
    runs: Sequence[EvaluatedRun],
    checkpoints: Mapping[tuple[str, str], AlarmScores],
    alarms: Mapping[str, AlarmScores],
    baselines: Mapping[str, AlarmScores],
) -> pd.DataFrame:
    truths = [run.truth for run in runs]
    members = [highest(run.truth.kl_S, mean_series(run.points, StatisticPrefix.MEMBER)) for run in runs]
    proxy = [highest(run.truth.kl_S, run.cell.curve.proxy_S) for run in runs]
    rules = {f"test RM {which}, {way}": scores for (which, way), scores in checkpoints.items()}
    if all(any(n.startswith(StatisticPrefix.MEMBER) for n in run.points[0].statistics) for run in runs):
        rules["proxies of other seeds, highest point"] = AlarmScores(truths, members)
    rules |= {"the proxy itself, highest point": AlarmScores(truths, proxy), "fixed KL of other seeds": alarms["KL"]}
    rules |= {"last checkpoint": baselines["none: run to the end"]}
    return pd.DataFrame(
        [
            {
                "checkpoint selected by": name,
                "lead on the gold peak (nats)": mean(_all_leads(scores), "+.1f"),
                "median lead": f"{np.median(_all_leads(scores)):+.1f}",
                "lead in over-optimized runs (nats)": mean(
                    [t.lead(s) for t, s in _stops(scores) if t.is_overoptimized], "+.1f"
                ),
                "regret (sd of gold)": mean(scores.regret_C),
                "median regret": f"{np.median(scores.regret_C):.3f}",
                "largest regret": f"{scores.regret_C.max():.2f}",
                f"regret at most {NEAR}": share(int((scores.regret_C <= NEAR).sum()), len(runs)),
            }
            for name, scores in rules.items()
        ]
    )


def _by_size(runs: Sequence[EvaluatedRun], checkpoints: Mapping[tuple[str, str], AlarmScores]) -> pd.DataFrame:
    rows = []
    for setting in dict.fromkeys(run.setting for run in runs):
        indices = [i for i, run in enumerate(runs) if run.setting == setting]
        size, coef, noise = setting
        row = {
            "proxy": size + (f", KL coefficient {coef:g}" if coef else "") + (f", {noise:.0%} noise" if noise else ""),
            "runs": str(len(indices)),
            "gold peak (nats)": f"{np.mean([runs[i].truth.peak_kl for i in indices]):.1f}",
            "last point (nats)": f"{np.mean([runs[i].truth.kl_S[-1] for i in indices]):.1f}",
        }
        for which in (SAME, LARGEST):
            scores = checkpoints[which, HIGHEST]
            leads, regret_C = _all_leads(scores), scores.regret_C
            row[f"lead, test RM {which}"] = f"{np.mean([leads[i] for i in indices]):+.1f}"
            row[f"regret, test RM {which}"] = f"{np.mean([regret_C[i] for i in indices]):.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _claims(
    runs: Sequence[EvaluatedRun],
    alarms: Mapping[str, AlarmScores],
    transferred: Mapping[str, AlarmScores],
    baselines: Mapping[str, AlarmScores],
    checkpoints: Mapping[tuple[str, str], AlarmScores],
) -> list[Claim]:
    overoptimized = [run for run in runs if run.truth.is_overoptimized]
    end_C, fixed_C = baselines["none: run to the end"].regret_C, alarms["KL"].regret_C
    disagreement = [
        series(run.points, Statistic.RM_DISAGREEMENT)
        for run in overoptimized
        if Statistic.RM_DISAGREEMENT in run.points[0].statistics
    ]
    ratio = [float(values_S[-1] / values_S[0]) for values_S in disagreement]
    reliable = [name for name in alarms if name not in BASELINES and is_reliable(transferred[name], transferred["KL"])]
    shown = {name: alarms[name] for name in ("length", "repetition", "distinct-2", "entropy")}
    return [
        *(_divergence_claim(overoptimized, which) for which in (SAME, LARGEST)),
        *(_peak_claim(checkpoints, fixed_C, end_C, which) for which in (SAME, LARGEST)),
        Claim(
            "The disagreement of an ensemble grows about threefold as the policy moves (Coste et al. 2023)",
            f"ratio of disagreement at the end to that at the start, over-optimized runs: {mean(ratio, '.2f')}",
            verdict(_low(ratio) > 2, _high(ratio) < 2),
        ),
        Claim(
            "Length and repetition rise and diversity falls around the gold peak, so alarms on them are in time (RLHF "
            "book; Singhal et al. 2023)",
            "; ".join(
                f"{name}: lead {mean(r.leads, '+.1f')} nats, regret {r.regret_C.mean():.3f}"
                for name, r in shown.items()
            ),
            verdict(
                all(_high(r.regret_C - fixed_C) < 0 for r in shown.values()),
                all(_high(r.regret_C - fixed_C) > 0 for r in shown.values()),
            ),
        ),
        Claim(
            f"Aim: a gold-free signal fires in {MIN_FIRED:.0%} of the over-optimized runs with at most {MAX_FALSE:.0%} "
            "false alarms, and stopping there loses less than stopping at a fixed KL, with thresholds from other sizes",
            f"{len(reliable)} of {len(alarms) - len(BASELINES)}: {', '.join(reliable) or 'no signal'}",
            verdict(bool(reliable), not reliable),
        ),
    ]


def _divergence_claim(overoptimized: Sequence[EvaluatedRun], which: str) -> Claim:
    shares = _gap_beyond_peak(overoptimized, which)
    return Claim(
        "Train and test RM agree at first and diverge where over-optimization begins (Bai et al. 2022, section 4.2); "
        f"test RM {which}",
        f"share of their final gap that opens after the gold peak, over-optimized runs: {mean(shares, '.2f')}",
        verdict(_low(shares) > 0.5, _high(shares) < 0.5),
    )


def _peak_claim(checkpoints: Mapping[tuple[str, str], AlarmScores], fixed_C: Array, end_C: Array, which: str) -> Claim:
    highest_C = checkpoints[which, HIGHEST].regret_C
    return Claim(
        f"A test RM finds the gold peak: stopping at its highest score loses less than at a fixed KL; test RM {which}",
        f"mean regret {highest_C.mean():.3f}, median {np.median(highest_C):.3f}; minus that of a fixed KL chosen on "
        f"other seeds {mean(highest_C - fixed_C, '+.3f')}; last checkpoint {end_C.mean():.3f}",
        verdict(_high(highest_C - fixed_C) < 0, _low(highest_C - fixed_C) > 0),
    )


def is_reliable(alarm: AlarmScores, fixed_kl: AlarmScores) -> bool:
    """Whether a signal qualifies as a default alarm, with thresholds from other RM sizes.

    It has few misses and few false alarms, and stopping at it loses less than stopping at a fixed KL: the 95 % interval
    of the difference in regret, paired over runs, lies below 0.
    """
    missed, overoptimized = alarm.missed
    false_alarms, runs = alarm.false_alarms
    difference_C = alarm.regret_C - fixed_kl.regret_C
    few_misses, few_false = missed <= (1 - MIN_FIRED) * overoptimized, false_alarms <= MAX_FALSE * runs
    return few_misses and few_false and _high(difference_C) < 0


def _gap_beyond_peak(runs: Sequence[EvaluatedRun], which: str) -> list[float]:
    """Share of the rise of proxy minus test RM that comes after the gold peak."""
    shares = []
    for run in runs:
        gap_S = mean_series(run.views[which], StatisticPrefix.RM_GAP)
        rise = gap_S[-1] - gap_S[0]
        shares.append(float((gap_S[-1] - gap_S[run.truth.peak]) / rise) if rise > NEAR else math.nan)
    return [value for value in shares if math.isfinite(value)]


def _stops(scores: AlarmScores) -> list[tuple[GroundTruth, int]]:
    return [(t, len(t.kl_S) - 1 if s is None else s) for t, s in zip(scores.truths, scores.stops, strict=True)]


def _all_leads(scores: AlarmScores) -> list[float]:
    return [truth.lead(stop) for truth, stop in _stops(scores)]


def _low(values: Sequence[float] | Array) -> float:
    return bootstrap_mean(values)[0]


def _high(values: Sequence[float] | Array) -> float:
    return bootstrap_mean(values)[1]
