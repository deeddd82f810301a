"""Kind `fit`: the law and the forecast of a curve that was logged elsewhere, as a run of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow import MlflowClient

from mlproject.curve import Curve
from mlproject.laws import FORMS, MIN_D, Fit, FitInterval, Prediction, bootstrap_fit, fit_form, forecast_of, law_for
from mlproject.laws.fits import MIN_POINTS, largest_min_d
from mlproject.laws.weighted import LawPeak, p_text, quoted_peak
from mlproject.monitoring.metrics import forecast_metrics, law_metrics, point_metrics
from mlproject.names import Artifact, Kind, Tag
from mlproject.optimization import find_method
from mlproject.pipeline.step import Step
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.plotting.theme import METHOD_COLOURS
from mlproject.recommendation.doubt import SeedSpread
from mlproject.recommendation.evidence import WIDER
from mlproject.recommendation.sentences import window_text
from mlproject.recommendation.setting import Setting
from mlproject.recommendation.stop import Stop, stop_of
from mlproject.recommendation.words import distance, forecast_text, kl_estimate
from mlproject.report.logged_curve import LoggedCurve, logged_curve
from mlproject.report.logs.columns import parse_columns
from mlproject.report.logs.join import join
from mlproject.report.logs.mlflow_run import read_run
from mlproject.report.logs.read import RUN_URI, is_path, read_logs
from mlproject.report.own_curve import curve_beside, curve_of_run
from mlproject.strict_json import strict_json
from mlproject.tracking.closing import execute
from mlproject.tracking.runs import StepRun

if TYPE_CHECKING:
    from mlproject.execution.invocation import Invocation

RESAMPLES = 2000

MEANS_ONLY = (
    "from means and standard errors alone, so that a monitor, which knows every prompt's scores, may say otherwise"
)


@dataclass(frozen=True)
class FitRequest:
    """The curve to fit, as the user names it.

    Attributes:
        curve: path of a file or folder, several with commas between, or id of an MLflow run.
        columns: `name=column` pairs, see `parse_columns`.
        method: the method that optimized the policy.
        gold_sd, gold_start: standard deviation and mean of the initial policy's gold; None where not given (see
            `logged_curve`).
        kl_unit: `nats` or `bits`.
    """

    curve: str
    columns: str
    method: str
    gold_sd: float | None = None
    gold_start: float | None = None
    kl_unit: str = "nats"

    @property
    def is_file(self) -> bool:
        """Whether the curve lies in files, so that it can be read without a tracking server."""
        return is_path(self.curve)

    def load(self, client: MlflowClient | None = None) -> LoggedCurve:
        """Read the curve.

        Args:
            client: of the tracking server; needed for a run.

        Raises:
            UserError: if it cannot be read as a curve.
        """
        columns, source = parse_columns(self.columns), f"curve={self.curve}"
        run_id = self.curve.removeprefix(RUN_URI)
        if self.is_file:
            logs, named = read_logs(self.curve, source)
            columns, own = named | columns, curve_beside(Path(self.curve))
        else:
            assert client is not None
            logs, own = [read_run(client, run_id, columns, source)], curve_of_run(client, run_id)
        joined = join(logs, columns, source)
        if columns or self.gold_sd or self.gold_start is not None or self.kl_unit != "nats":
            own = None  # the user reads the log in another way
        return logged_curve(joined, source, self.method, self.gold_sd, self.gold_start, self.kl_unit, own)


@dataclass(frozen=True)
class CurveAnalysis:
    """Law and forecast of a curve.

    Attributes:
        method: name of the method that optimized the policy.
        law, interval: the law of its method, with 95 % intervals.
        rmse_by_form: RMSE of every form on the same points, standard deviations; of a curve that ends before some of
            them hold, of the others.
        prediction: the forecast after the last point, from a weak prior.
        peak: of the law fitted with the errors of the points, or why it may not be quoted.
        stop: what the points alone say of the peak.
        has_prompts: whether every prompt's own scores are known.
        unit_is_unknown: whether gold seems to be in another unit than the forecast's.
    """

    method: str
    law: Fit
    interval: FitInterval
    rmse_by_form: dict[str, float]
    prediction: Prediction
    peak: LawPeak
    stop: Stop
    has_prompts: bool
    unit_is_unknown: bool = False

    def lines(self) -> list[str]:
        """The analysis as lines of text: what was measured comes first, then the law, then the forecast."""
        return [f"  {line}" for line in (self._measured(), self._law(), self._law_peak(), self._forecast())]

    def _measured(self) -> str:
        stop, window = self.stop, window_text(self.method, self.stop)
        cannot = f" ({window} cannot be told from it)" if window else ""
        gold = f"{stop.gold:.3g} {_ci(stop.gold_interval)}"
        return f"measured: highest gold {gold} at {distance(self.method, stop.kl)}{cannot}; {stop.progress}"

    def _law(self) -> str:
        law, interval = self.law, self.interval
        if not self.peak.fits:
            return (
                f"law R(d) = {law.form.formula}: does not fit these points within their errors "
                f"({p_text(self.peak.p_fit)}), so its coefficients are only in fit.json"
            )
        closest = min(self.rmse_by_form, key=self.rmse_by_form.__getitem__)
        return (
            f"law R(d) = {law.form.formula}: a {law.alpha:.3g} {_ci(interval.alpha)}, b {law.beta:.3g} "
            f"{_ci(interval.beta)}, R2 {law.r2:.3f}; form with the lowest RMSE: {closest}"
        )

    def _law_peak(self) -> str:
        peak = self.peak
        if peak.withheld:
            return f"peak of the law: withheld, since {peak.withheld}"
        return (
            f"peak of the law, with the errors of the points: gold {peak.gold.value:.3g} {_ci(peak.gold[1:])} "
            f"at {kl_estimate(self.method, peak.kl.value, peak.kl[1:])}"
        )

    def _forecast(self) -> str:
        if not self.stop.is_recommended:
            return "forecast: withheld, since gold rises nowhere above the start by more than noise"
        if self.unit_is_unknown:
            return "forecast: withheld, since it must know gold in standard deviations; give gold_sd=SD"
        means = "" if self.has_prompts else f"; {MEANS_ONLY}"
        is_quoted = self.prediction.is_known and not self.prediction.withheld
        wider = f"; {WIDER.format(self.prediction.p_fit)}" if is_quoted and not self.peak.fits else ""
        return f"forecast: {forecast_text(self.method, self.prediction)}{wider}{means}"


def analyse(logged: LoggedCurve, method: str) -> CurveAnalysis:
    """Fit the law of the method, and run the forecast over all points."""
    curve, form = Curve.from_points(logged.points), law_for(find_method(method))
    law = fit_form(form, curve.sqrt_kl_S, curve.gold_S, MIN_D[form.name])
    interval = bootstrap_fit(form, curve, RESAMPLES, np.random.default_rng(0), MIN_D[form.name])
    forms = [each for each in FORMS.values() if MIN_D[each.name] <= MIN_D[form.name]]  # all, or those that hold here
    for compared in (list(FORMS.values()), forms):
        min_d = largest_min_d(compared)
        if len(np.unique(curve.sqrt_kl_S[curve.sqrt_kl_S > min_d])) >= MIN_POINTS:
            break
    rmse_by_form = {each.name: fit_form(each, curve.sqrt_kl_S, curve.gold_S, min_d).rmse for each in compared}
    prediction = forecast_of(find_method(method), logged.points)
    stop = stop_of(Setting(method, "", 0, {0: curve}), SeedSpread())
    peak = quoted_peak(form, curve, is_tested=not logged.se_is_guessed)
    return CurveAnalysis(
        method, law, interval, rmse_by_form, prediction, peak, stop, logged.has_prompts, logged.unit_is_unknown
    )


def fit_curve(invocation: Invocation, request: FitRequest, logged: LoggedCurve) -> tuple[Step, CurveAnalysis]:
    """Analyse a curve and log the result as a run, unless the same curve was fitted before.

    Args:
        invocation: starts the run.
        request: what the user asked for.
        logged: the curve that `request.load` read.
    """
    analysis = analyse(logged, request.method)
    content = logged.table.to_csv(index=False).encode()
    if logged.has_prompts:
        content += b"".join(point.gold_P.tobytes() + point.proxy_P.tobytes() for point in logged.points)
    digest = hashlib.sha256(content).hexdigest()
    step = Step(
        name=f"fit of {Path(request.curve).name}",
        kind=Kind.FIT,
        version=3,
        params={"points": digest, "method": request.method, "gold_sd": request.gold_sd or 1.0},
        inherited_params={
            "curve": request.curve,
            "columns": request.columns,
            "gold_start": logged.gold_start,
            "kl_unit": request.kl_unit,
        },
    )
    run = invocation.scheduler.start(step)
    if run is not None:
        execute(run, lambda run: _log(run, logged, analysis, request.method))
        invocation.scheduler.finish(step, run)
    return step, analysis


def _log(run: StepRun, logged: LoggedCurve, analysis: CurveAnalysis, method: str) -> None:
    curve, has_proxy = Curve.from_points(logged.points), "proxy" in logged.table
    for point in logged.points:
        metrics = point_metrics(point, method)
        run.log_metrics({k: v for k, v in metrics.items() if has_proxy or "proxy" not in k}, step=point.step)
    law, interval = analysis.law, analysis.interval
    summary = {**law_metrics(law), **forecast_metrics(analysis.prediction)}
    run.log_metrics(summary)
    run.set_tags({Tag.LAW_FORM: law.form.name, Tag.GOLD_SE: "guessed" if logged.se_is_guessed else "given"})
    logged.table.to_csv(run.folder / Artifact.POINTS, index=False)
    curve.save(run.folder / Artifact.CURVE)
    result = summary | {
        "form": law.form.name,
        "formula": law.form.formula,
        "gold_start": logged.gold_start,
        "alpha_interval": interval.alpha,
        "beta_interval": interval.beta,
        "peak_kl_interval": interval.peak_kl,
        "peak_gold_interval": interval.peak_gold,
        "peak_share": interval.peak_share,
        "lack_of_fit_p": analysis.peak.p_fit,
        "quoted_peak": {"kl": analysis.peak.kl, "gold": analysis.peak.gold, "withheld": analysis.peak.withheld},
        "forecast_prior": analysis.prediction.prior,
        "forecast_withheld": analysis.prediction.withheld,
        "has_prompts": analysis.has_prompts,
        "measured": {
            "progress": analysis.stop.progress,
            "kl": analysis.stop.kl,
            "kl_window": analysis.stop.kl_window,
            "gold": analysis.stop.gold,
            "gold_interval": analysis.stop.gold_interval,
        },
        "rmse_by_form": analysis.rmse_by_form,
        "read_as": logged.read_as,
        "notes": list(logged.notes),
    }
    (run.folder / Artifact.FIT).write_text(strict_json(result, indent=1))
    stop_kl = float("nan") if analysis.prediction.withheld else analysis.prediction.loses_beyond_kl
    plotted = PlottedCurve(curve, METHOD_COLOURS[0], has_proxy=has_proxy)
    (run.folder / Artifact.FIT_FIGURE).write_bytes(png(curve_figure([plotted], law, stop_kl, analysis.peak.fits)))


def _ci(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.3g}, {interval[1]:.3g}]"
