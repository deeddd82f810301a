"""Signals that need no gold: which of them tells of over-optimization in time, and a test RM as a stand-in for gold.

Every run is judged with a threshold that was chosen on runs of other seeds: odd seeds on even ones and the reverse.
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
"""Standard deviations of gold that nobody would miss."""

MAX_FALSE, MIN_FIRED = 0.25, 0.9


def analyse(result: Result) -> Finding:
    """Alarms by signal, checkpoints by test RM, and what others say of either."""
    runs = [EvaluatedRun.of(cell) for cell in select(result, method="ppo")]
    truths = [run.truth for run in runs]
    departures = departures_of(runs)
    halves, sizes = ([f(run.cell.settings) for run in runs] for f in (lambda s: s["seed"] % 2, lambda s: s["rm_size"]))
    records, elsewhere, quiet = (
        {name: AlarmScores(truths, held_out_stops(truths, d, groups, how)[0]) for name, d in departures.items()}
        for groups, how in ((halves, best_threshold), (sizes, best_threshold), (halves, threshold_for_false_alarms))
    )
    others = {
        "forecast from gold, no prior (needs gold)": AlarmScores(truths, [forecast_stop(run) for run in runs]),
        "none: on to the end": AlarmScores(truths, [None] * len(runs)),
    }
    chosen = {
        (which, way): _record(truths, [WAYS[way](run.truth.kl_S, run.score(which)) for run in runs])
        for which in (SAME, LARGEST)
        for way in WAYS
    }
    fell = sum(truth.is_overoptimized for truth in truths)
    notes = [
        f"{len(runs)} runs; in {fell} gold had fallen by more than two standard errors (paired over prompts) at the "
        "end (over-optimized). An alarm fires at the first point after the start whose departure reaches its "
        "threshold: that of least mean regret over the runs of the other seeds (even or odd), so that no run is judged "
        "with a threshold that it helped to choose. A false alarm fires in a run whose gold had not fallen by the end, "
        "or before half of the peak's KL. Regret is gold at the peak less gold where the alarm (or the end) stops the "
        "run. Lead is in nats from alarm to peak. Intervals: Wilson's for shares, bootstrap over runs for means.",
        "Test RM and proxy are calibrated on gold margins of held-out comparisons; the test RM's peak does not depend "
        "on that scale, gaps do.",
    ]
    return Finding(
        claims=[*_claims(runs, records, elsewhere, others, chosen)],
        tables={
            "Alarms with the threshold of least regret": _alarms(records, elsewhere, others),
            "Alarms with the lowest threshold that is false in no more than a tenth of the other seeds' runs": _alarms(
                quiet, {}, {}
            ),
            "A checkpoint chosen without gold": _checkpoints(runs, chosen, records, others),
            "Where the highest score of a test RM lies, by RM size": _by_size(runs, chosen),
        },
        notes=notes,
    )


def _record(truths: Sequence[GroundTruth], stops: Sequence[int]) -> AlarmScores:
    return AlarmScores(truths, list(stops))


def _alarms(
    records: Mapping[str, AlarmScores], elsewhere: Mapping[str, AlarmScores], others: Mapping[str, AlarmScores]
) -> pd.DataFrame:
    ordered = sorted((name for name in records if name not in BASELINES), key=lambda n: records[n].regret_C.mean())
    rows = []
    for name in (*ordered, *BASELINES, *others):
        record = records[name] if name in records else others[name]
        transferred = mean(elsewhere[name].regret_C) if name in elsewhere else ""
        rows.append(
            {
                "signal": name,
                "fires before the peak or at it": share(*record.before_peak),
                "never fires": share(*record.missed),
                "lead (nats)": mean(record.leads, "+.1f"),
                "false alarms": share(*record.false_alarms),
                "regret (sd of gold)": mean(record.regret_C),
                **({"... thresholds from other RM sizes": transferred} if elsewhere else {}),
            }
        )
    return pd.DataFrame(rows)


def _checkpoints(
    runs: Sequence[EvaluatedRun],
    chosen: Mapping[tuple[str, str], AlarmScores],
    records: Mapping[str, AlarmScores],
    others: Mapping[str, AlarmScores],
) -> pd.DataFrame:
    truths = [run.truth for run in runs]
    members = [highest(run.truth.kl_S, mean_series(run.points, StatisticPrefix.MEMBER)) for run in runs]
    proxy = [highest(run.truth.kl_S, run.cell.curve.proxy_S) for run in runs]
    rules = {f"test RM {which}, {way}": record for (which, way), record in chosen.items()}
    if all(any(n.startswith(StatisticPrefix.MEMBER) for n in run.points[0].statistics) for run in runs):
        rules["proxies of other seeds, highest point"] = _record(truths, members)
    rules |= {"the proxy itself, highest point": _record(truths, proxy), "fixed KL of other seeds": records["KL"]}
    rules |= {"last checkpoint": others["none: on to the end"]}
    return pd.DataFrame(
        [
            {
                "checkpoint by": name,
                "lead on the gold peak (nats)": mean(_all_leads(record), "+.1f"),
                "median lead": f"{np.median(_all_leads(record)):+.1f}",
                "over-optimized runs (nats)": mean(
                    [t.lead(s) for t, s in _stops(record) if t.is_overoptimized], "+.1f"
                ),
                "regret (sd of gold)": mean(record.regret_C),
                "median regret": f"{np.median(record.regret_C):.3f}",
                "largest regret": f"{record.regret_C.max():.2f}",
                f"within {NEAR}": share(int((record.regret_C <= NEAR).sum()), len(runs)),
            }
            for name, record in rules.items()
        ]
    )


def _by_size(runs: Sequence[EvaluatedRun], chosen: Mapping[tuple[str, str], AlarmScores]) -> pd.DataFrame:
    rows = []
    for setting in dict.fromkeys(run.setting for run in runs):
        mine = [i for i, run in enumerate(runs) if run.setting == setting]
        size, coef, noise = setting
        row = {
            "proxy": size + (f", KL coefficient {coef:g}" if coef else "") + (f", {noise:.0%} noise" if noise else ""),
            "runs": str(len(mine)),
            "gold peak (nats)": f"{np.mean([runs[i].truth.peak_kl for i in mine]):.1f}",
            "last point (nats)": f"{np.mean([runs[i].truth.kl_S[-1] for i in mine]):.1f}",
        }
        for which in (SAME, LARGEST):
            record = chosen[which, HIGHEST]
            leads, regret_C = _all_leads(record), record.regret_C
            row[f"lead, test RM {which}"] = f"{np.mean([leads[i] for i in mine]):+.1f}"
            row[f"regret, test RM {which}"] = f"{np.mean([regret_C[i] for i in mine]):.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _claims(
    runs: Sequence[EvaluatedRun],
    records: Mapping[str, AlarmScores],
    elsewhere: Mapping[str, AlarmScores],
    others: Mapping[str, AlarmScores],
    chosen: Mapping[tuple[str, str], AlarmScores],
) -> list[Claim]:
    fell = [run for run in runs if run.truth.is_overoptimized]
    end, fixed = others["none: on to the end"].regret_C, records["KL"].regret_C
    grown = [
        series(run.points, Statistic.RM_DISAGREEMENT)
        for run in fell
        if Statistic.RM_DISAGREEMENT in run.points[0].statistics
    ]
    ratio = [float(values_S[-1] / values_S[0]) for values_S in grown]
    early = [name for name in records if name not in BASELINES and earns(elsewhere[name], elsewhere["KL"])]
    shown = {name: records[name] for name in ("length", "repetition", "distinct-2", "entropy")}
    return [
        *(_parting(fell, which) for which in (SAME, LARGEST)),
        *(_finding(chosen, fixed, end, which) for which in (SAME, LARGEST)),
        Claim(
            "Members of an ensemble come to disagree as the policy moves, about threefold (Coste et al. 2023)",
            f"disagreement at the end over that at the start, over-optimized runs: {mean(ratio, '.2f')}",
            verdict(_low(ratio) > 2, _high(ratio) < 2),
        ),
        Claim(
            "Length and repetition rise and diversity falls around the gold peak: alarms on them come in time (RLHF "
            "book; Singhal et al. 2023)",
            "; ".join(
                f"{name}: lead {mean(r.leads, '+.1f')} nats, regret {r.regret_C.mean():.3f}"
                for name, r in shown.items()
            ),
            verdict(
                all(_high(r.regret_C - fixed) < 0 for r in shown.values()),
                all(_high(r.regret_C - fixed) > 0 for r in shown.values()),
            ),
        ),
        Claim(
            f"Aim: a signal that needs no gold warns in {MIN_FIRED:.0%} of the over-optimized runs, at no more than "
            f"{MAX_FALSE:.0%} false alarms, and stopping there loses less than stopping at a fixed KL, with thresholds "
            "from other RM sizes",
            f"{len(early)} of {len(records) - len(BASELINES)}: {', '.join(early) or 'no signal'}",
            verdict(bool(early), not early),
        ),
    ]


def _parting(fell: Sequence[EvaluatedRun], which: str) -> Claim:
    opened = _gap_beyond_peak(fell, which)
    return Claim(
        "Train and test RM agree early and part where over-optimization sets in, without any gold (Bai et al. 2022, "
        f"section 4.2); test RM {which}",
        f"share of their gap at the end that opened after the gold peak, over-optimized runs: {mean(opened, '.2f')}",
        verdict(_low(opened) > 0.5, _high(opened) < 0.5),
    )


def _finding(chosen: Mapping[tuple[str, str], AlarmScores], fixed_C: Array, end_C: Array, which: str) -> Claim:
    highest_C = chosen[which, HIGHEST].regret_C
    return Claim(
        f"A test RM finds the gold peak: its highest score loses less gold than a fixed KL; test RM {which}",
        f"mean regret {highest_C.mean():.3f}, median {np.median(highest_C):.3f}; less that of a fixed KL chosen on "
        f"other seeds {mean(highest_C - fixed_C, '+.3f')}; last checkpoint {end_C.mean():.3f}",
        verdict(_high(highest_C - fixed_C) < 0, _low(highest_C - fixed_C) > 0),
    )


def earns(record: AlarmScores, fixed: AlarmScores) -> bool:
    """Whether a signal may be an alarm by default, with thresholds from other RM sizes.

    It rarely misses, is rarely false, and stopping at it loses less than stopping at a fixed KL: the 95 % interval of
    the difference in regret, paired over runs, lies below 0.
    """
    missed, fell = record.missed
    false, of = record.false_alarms
    better_C = record.regret_C - fixed.regret_C
    return missed <= (1 - MIN_FIRED) * fell and false <= MAX_FALSE * of and _high(better_C) < 0


def _gap_beyond_peak(runs: Sequence[EvaluatedRun], which: str) -> list[float]:
    """Share of the rise of proxy less test RM that comes after the gold peak."""
    shares = []
    for run in runs:
        gap_S = mean_series(run.views[which], StatisticPrefix.RM_GAP)
        whole = gap_S[-1] - gap_S[0]
        shares.append(float((gap_S[-1] - gap_S[run.truth.peak]) / whole) if whole > NEAR else math.nan)
    return [value for value in shares if math.isfinite(value)]


def _stops(record: AlarmScores) -> list[tuple[GroundTruth, int]]:
    return [(t, len(t.kl_S) - 1 if s is None else s) for t, s in zip(record.truths, record.stops, strict=True)]


def _all_leads(record: AlarmScores) -> list[float]:
    return [truth.lead(stop) for truth, stop in _stops(record)]


def _low(values: Sequence[float] | Array) -> float:
    return bootstrap_mean(values)[0]


def _high(values: Sequence[float] | Array) -> float:
    return bootstrap_mean(values)[1]
