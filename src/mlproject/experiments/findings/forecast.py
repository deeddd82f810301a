"""Forecasts of the peak from other reward models and from the first half of the way, and the cost of stopping there.

The prior of a curve comes from the curves of the other RM sizes (leave one size out). Only curves that peak before
their last point have a measured peak to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlproject.curve import Curve
from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import methods_of, select
from mlproject.experiments.findings.forecast_errors import forecast_errors, last_before, prior_without
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Forecast, Prediction, Prior
from mlproject.optimization import find_method

NONE, SIZES, FEW = "no prior", "other sizes", "other sizes, 128 prompts"
_FEW_PROMPTS = 128


def analyse(result: Result) -> Finding:
    """Accuracy of the forecasts, and regret of stopping where they say."""
    claims, tables = [], {}
    for method in methods_of(result):
        cells = select(result, method=method)
        priors = {size: prior_without(cells, size) for size in {cell.settings["rm_size"] for cell in cells}}
        runs = {name: [_follow(cell, priors, name) for cell in cells] for name in (NONE, SIZES, FEW)}
        half = {name: _errors(cells, runs[name], share=0.5) for name in runs}
        before = _errors(cells, runs[SIZES], share=0.0)
        regret = _regret(cells, runs)
        tables[f"Forecast from the first half of the way to the peak (in KL), {method}"] = pd.DataFrame(
            [_row(name, half[name]) for name in runs] + [_row("other sizes and the first point alone", before)]
        )
        tables[f"Leave one size out, {method}: predicted from the other sizes and the first point"] = _by_size(before)
        tables[f"Regret by stopping rule, {method} (gold below the oracle's, standard deviations)"] = regret
        claims += [_half_way(method, half[SIZES]), _left_out(method, before), _worth(method, regret)]
    return Finding(
        claims=claims,
        tables=tables,
        notes=[
            "The constants of the forecast were chosen on world 1; this is world 0.",
            "Regret compares the mean gold of measured points; `fixed KL` is the best single KL in hindsight, over all "
            "curves; `best proxy` is the point with the highest proxy score.",
        ],
    )


def _follow(cell: Cell, priors: Mapping[str, Prior], name: str) -> list[Prediction]:
    """The prediction after each point."""
    curve = cell.curve
    if name == FEW:
        few = slice(0, _FEW_PROMPTS)
        curve = Curve(curve.steps_S, curve.kl_S, curve.proxy_SP[:, few], curve.gold_SP[:, few])
    prior = None if name == NONE else priors[cell.settings["rm_size"]]
    forecast = Forecast(find_method(cell.settings["method"]), prior, cell.settings.get("eval_samples", 1))
    return [forecast.update(point) for point in curve]


def _errors(cells: Sequence[Cell], runs: Sequence[Sequence[Prediction]], share: float) -> pd.DataFrame:
    """Errors of the prediction after a share of the way to the peak."""
    at = [predictions[last_before(cell.curve, share)] for cell, predictions in zip(cells, runs, strict=True)]
    return forecast_errors(cells, at)


def _row(name: str, errors: pd.DataFrame) -> dict[str, str | int]:
    def quantiles(column: pd.Series) -> str:
        return " / ".join(f"{x:+.0%}" for x in np.nanpercentile(column, [10, 50, 90])) if column.notna().any() else ""

    return {
        "forecast": name,
        "curves": len(errors),
        "KL error 10 / 50 / 90 %": quantiles(errors["KL error"]),
        "KL within 25 %": f"{(errors['KL error'].abs() < 0.25).mean():.0%}",
        "gold error 10 / 50 / 90 %": quantiles(errors["gold error"]),
        "gold within 5 %": f"{(errors['gold error'].abs() < 0.05).mean():.0%}",
        "gold within 10 %": f"{(errors['gold error'].abs() < 0.10).mean():.0%}",
        "95 % intervals cover KL, gold": f"{errors['KL covered'].mean():.0%}, {errors['gold covered'].mean():.0%}",
        "gold-scored responses (median)": int(errors["gold responses"].median()),
    }


def _by_size(errors: pd.DataFrame) -> pd.DataFrame:
    """Predicted and measured peaks, mean over the seeds of an RM size."""
    means = errors.groupby("RM size", sort=False)[["predicted KL", "peak KL", "predicted gold", "peak gold"]].mean()
    covered = errors.groupby("RM size", sort=False)[["KL covered", "gold covered"]].sum()
    counts = errors.groupby("RM size", sort=False).size()
    table = means.map("{:.2f}".format)
    for name in covered:
        table[name] = [f"{hits} of {count}" for hits, count in zip(covered[name], counts, strict=True)]
    return table.reset_index()


def _regret(cells: Sequence[Cell], runs: Mapping[str, Sequence[Sequence[Prediction]]]) -> pd.DataFrame:
    rules = {
        f"stop at the forecast, {name}": [_stop(c, r) for c, r in zip(cells, runs[name], strict=True)] for name in runs
    }
    rules["fixed KL"] = _fixed([cell.curve for cell in cells])
    rules["last checkpoint"] = [len(cell.curve) - 1 for cell in cells]
    rules["best proxy"] = [int(cell.curve.proxy_S.argmax()) for cell in cells]
    rows = []
    for name, indices in rules.items():
        golds = [cell.curve.gold_S for cell in cells]
        lost = np.array([gold_S.max() - gold_S[i] for gold_S, i in zip(golds, indices, strict=True)])
        retained = np.mean([gold_S[i] / gold_S.max() for gold_S, i in zip(golds, indices, strict=True)])
        rows.append(
            {
                "rule": name,
                "mean regret": lost.mean(),
                "largest": lost.max(),
                "share of the oracle's gain": f"{retained:.0%}",
            }
        )
    return pd.DataFrame(rows).round(3)


def _stop(cell: Cell, predictions: Sequence[Prediction]) -> int:
    """Index of the point at which `stop=forecast` ends a run; the last one if it never does."""
    hits = [i for i, (kl, p) in enumerate(zip(cell.curve.kl_S, predictions, strict=True)) if kl >= p.loses_beyond_kl]
    return hits[0] if hits else len(predictions) - 1


def _fixed(curves: Sequence[Curve]) -> list[int]:
    """The last point within the KL that is best on average over all curves, in hindsight."""

    def last_within(curve: Curve, kl: float) -> int:
        return int(np.flatnonzero(curve.kl_S <= max(kl, curve.kl_S.min()))[-1])

    grid = np.unique(np.concatenate([curve.kl_S for curve in curves]))
    best = max(grid, key=lambda kl: float(np.mean([curve.gold_S[last_within(curve, kl)] for curve in curves])))
    return [last_within(curve, float(best)) for curve in curves]


def _half_way(method: str, errors: pd.DataFrame) -> Claim:
    near_kl, near_gold = (errors["KL error"].abs() < 0.25).mean(), (errors["gold error"].abs() < 0.05).mean()
    return Claim(
        f"Our aim: half way to the peak, its KL is predicted within 25 % and gold within 5 % in 90 % of runs, {method}",
        f"{near_kl:.0%} and {near_gold:.0%} of {len(errors)} curves",
        verdict(near_kl >= 0.9 and near_gold >= 0.9, near_kl < 0.8 or near_gold < 0.8),
    )


def _left_out(method: str, errors: pd.DataFrame) -> Claim:
    near, covered = (errors["gold error"].abs() < 0.05).mean(), errors["gold covered"].mean()
    return Claim(
        "Peak gold of a new RM size is predicted by the trends over other sizes (section 3.2; our aim: within 5 %, "
        f"interval coverage 90 %), {method}",
        f"within 5 % for {near:.0%} of {len(errors)} curves, median error {errors['gold error'].abs().median():.0%}; "
        f"interval coverage {covered:.0%}",
        verdict(near >= 0.9 and covered >= 0.9, near < 0.5),
    )


def _worth(method: str, regret: pd.DataFrame) -> Claim:
    lost = regret.set_index("rule")["mean regret"]
    ours, without = lost[f"stop at the forecast, {SIZES}"], lost[f"stop at the forecast, {NONE}"]
    return Claim(
        f"Stopping at the forecast beats running to the end and a fixed KL, {method}",
        f"mean regret {ours:.3f} ({without:.3f} without a prior); last checkpoint {lost['last checkpoint']:.3f}, fixed "
        f"KL chosen in hindsight {lost['fixed KL']:.3f}, best proxy {lost['best proxy']:.3f}",
        verdict(ours < min(lost["last checkpoint"], lost["fixed KL"]), ours > lost["last checkpoint"]),
    )
