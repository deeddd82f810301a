"""Kind `fit`: the law and the forecast of a curve that was logged elsewhere, as a run of its own."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlproject.curve import Curve
from mlproject.errors import UserError
from mlproject.laws import FORMS, MIN_D, Fit, FitInterval, Forecast, Prediction, bootstrap_fit, fit, law_for
from mlproject.laws.fits import largest_min_d
from mlproject.monitoring.metrics import forecast_metrics, point_metrics
from mlproject.names import Artifact, Kind, Metric, MetricPrefix, Tag
from mlproject.pipeline.step import Step
from mlproject.plotting.png import png
from mlproject.plotting.theme import (
    GOLD_LINE,
    INK,
    LAW_LINE,
    METHOD_COLOURS,
    PROXY_LINE,
    kl_axis,
    new_figure,
    style_axes,
)
from mlproject.report.logged_curve import COLUMNS, NEEDED, LoggedCurve, logged_curve, parse_columns, read_table
from mlproject.tracking.runs import StepRun, carry_out, values_by_step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlproject.execution.invocation import Invocation

RESAMPLES = 2000


@dataclass(frozen=True)
class CurveAnalysis:
    """What a curve says.

    Attributes:
        law, interval: the law of its method, with 95 % intervals.
        rmse: of every form on the same points, standard deviations.
        prediction: of the forecast after the last point.
    """

    law: Fit
    interval: FitInterval
    rmse: dict[str, float]
    prediction: Prediction

    def lines(self) -> list[str]:
        """For people."""
        law, found, ahead = self.law, self.interval, self.prediction
        kl, gold = law.peak()
        best = min(self.rmse, key=self.rmse.__getitem__)
        peak = f"  peak of the law: gold {gold:.3g} {_ci(found.peak_gold)} at {kl:.3g} nats {_ci(found.peak_kl)}"
        if not math.isfinite(kl):
            peak = "  the law has no peak: gold bends nowhere on these points"
        return [
            f"  law R(d) = {law.form.formula}: a {law.alpha:.3g} {_ci(found.alpha)}, b {law.beta:.3g} "
            f"{_ci(found.beta)}, R2 {law.r2:.3f}; closest form: {best}",
            peak + (f" ({found.peak_share:.0%} of resamples have one)" if found.peak_share < 1 else ""),
            f"  forecast: peak {ahead.peak_gold:.3g} {_ci(ahead.peak_gold_interval)} at {ahead.peak_kl:.3g} nats "
            f"{_ci(ahead.peak_kl_interval)}, behind with probability {ahead.p_past_peak:.2f}; stop at "
            f"{ahead.loses_beyond_kl:.3g} nats",
        ]


def analyse(logged: LoggedCurve, method: str) -> CurveAnalysis:
    """Fit the law, and follow the curve with the forecast."""
    curve, form = Curve.from_points(logged.points), law_for(method)
    law = fit(form, curve.sqrt_kl_S, curve.gold_S, MIN_D[form.name])
    interval = bootstrap_fit(form, curve, RESAMPLES, np.random.default_rng(0), MIN_D[form.name])
    strict = largest_min_d(FORMS.values())
    rmse = {name: fit(each, curve.sqrt_kl_S, curve.gold_S, strict).rmse for name, each in FORMS.items()}
    forecast = Forecast(method)
    prediction = [forecast.update(point) for point in logged.points][-1]
    return CurveAnalysis(law, interval, rmse, prediction)


def fit_curve(
    invocation: Invocation, given: str, columns: str, method: str, gold_sd: float, gold_start: float | None
) -> tuple[Step, LoggedCurve, CurveAnalysis]:
    """Fit a curve from a file or an MLflow run, and log what was found.

    Args:
        invocation: on whose behalf.
        given: path of a table, or id of a run.
        columns: which of its columns, or metrics, is what.
        method: what optimized the policy.
        gold_sd, gold_start: spread and mean of the initial policy's gold (see `logged_curve`).

    Raises:
        UserError: for what cannot be read as a curve.
    """
    names = parse_columns(columns)
    table = read_table(Path(given)) if Path(given).suffix else table_of_run(invocation.client, given, names)
    logged = logged_curve(table, names, f"curve={given}", method, gold_sd, gold_start)
    fitted = analyse(logged, method)
    digest = hashlib.sha256(logged.table.to_csv(index=False).encode()).hexdigest()
    step = Step(
        name=f"fit of {Path(given).name}",
        kind=Kind.FIT,
        version=1,
        params={"points": digest, "method": method, "gold_sd": gold_sd},
        inherited_params={"curve": given, "columns": columns, "gold_start": logged.gold_start},
    )
    run = invocation.scheduler.start(step)
    if run is not None:
        carry_out(run, lambda run: _log(run, logged, fitted, method))
        invocation.scheduler.finish(step, run)
    return step, logged, fitted


def table_of_run(client: MlflowClient, run_id: str, names: dict[str, str]) -> pd.DataFrame:
    """The metrics of any run, a row for each step that has KL and gold; this project's names where none are given.

    Raises:
        UserError: where there is no such run, or it lacks a metric.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException:
        raise UserError(f"curve={run_id}: neither a file nor a run of this store; give a path or a run id") from None
    table: dict[str, Mapping[int, float]] = {}
    for name in COLUMNS:
        metric = names.get(name, MetricPrefix.CURVE + name)
        if metric in run.data.metrics:
            table[names.get(name, name)] = values_by_step(client, run_id, metric)
        elif name in NEEDED:
            known = ", ".join(sorted(run.data.metrics)) or "none"
            raise UserError(
                f"curve={run_id}: has no metric {metric} for {name}; it has {known}; give columns={name}=METRIC"
            )
    rows = pd.DataFrame(table)
    complete = rows.dropna()
    complete[names.get("step", "step")] = complete.index
    return complete


def _log(run: StepRun, logged: LoggedCurve, fitted: CurveAnalysis, method: str) -> None:
    for point in logged.points:
        seen = point_metrics(point, method)
        kept = seen if "proxy" in logged.table else {k: v for k, v in seen.items() if "proxy" not in k}
        run.log_metrics(kept, step=point.step)
    law = fitted.law
    peak_kl, peak_gold = law.peak()
    found = {
        Metric.LAW_ALPHA: law.alpha, Metric.LAW_BETA: law.beta, Metric.LAW_RMSE: law.rmse, Metric.LAW_R2: law.r2,
        Metric.LAW_PEAK_KL: peak_kl, Metric.LAW_PEAK_GOLD: peak_gold,
        **forecast_metrics(fitted.prediction),
    }  # fmt: skip
    run.log_metrics(found)
    run.set_tags({Tag.LAW_FORM: law.form.name, Tag.GOLD_SE: "guessed" if logged.se_is_guessed else "given"})
    logged.table.to_csv(run.folder / Artifact.POINTS, index=False)
    Curve.from_points(logged.points).save(run.folder / Artifact.CURVE)
    interval = fitted.interval
    whole = found | {
        "form": law.form.name, "formula": law.form.formula, "gold_start": logged.gold_start,
        "alpha_interval": interval.alpha, "beta_interval": interval.beta,
        "peak_kl_interval": interval.peak_kl, "peak_gold_interval": interval.peak_gold,
        "peak_share": interval.peak_share, "rmse_by_form": fitted.rmse,
    }  # fmt: skip
    (run.folder / Artifact.FIT).write_text(json.dumps(whole, indent=1, default=float))
    (run.folder / Artifact.FIT_FIGURE).write_bytes(png(_figure(logged, fitted)))


def _figure(logged: LoggedCurve, fitted: CurveAnalysis) -> Figure:
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    table, colour = logged.table, METHOD_COLOURS[0]
    d = np.sqrt(table.kl.clip(lower=0))
    axes.errorbar(
        d, table.gold, yerr=1.96 * table.gold_se, color=colour, marker="o", markersize=3, label="gold", **GOLD_LINE
    )
    if "proxy" in table:
        axes.plot(d, table.proxy, color=colour, label="proxy", **PROXY_LINE)
    line = np.linspace(MIN_D[fitted.law.form.name], float(d.max()), 200)
    axes.plot(line, fitted.law.value(line), label=f"law {fitted.law.form.formula}", **LAW_LINE)
    stop = fitted.prediction.loses_beyond_kl
    if math.isfinite(stop) and stop <= float(d.max()) ** 2:
        axes.axvline(stop**0.5, color=INK, linewidth=0.8, label=f"forecast: stop at {stop:.3g} nats")
    style_axes(axes, x="d = sqrt(KL) (square-root nats)", y="score above the initial policy's (sd)")
    kl_axis(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _ci(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.3g}, {interval[1]:.3g}]"
