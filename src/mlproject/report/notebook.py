"""The notebook's view of a study: its curves, laws, peaks and recommendation as tables, and its figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlproject.curve import Curve
from mlproject.errors import UserError
from mlproject.laws import Estimate
from mlproject.names import Artifact, Kind, Tag
from mlproject.plotting import theme
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.report.collect import collect
from mlproject.report.curves import headline_figure
from mlproject.report.recommended import laws_of, recommendation_of
from mlproject.report.record import record_of
from mlproject.report.records import Report
from mlproject.tracking.artifact_files import fetch
from mlproject.tracking.store import all_experiments, all_runs, local_database, resolved_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 100


@dataclass(frozen=True)
class StudyRecommendation:
    """What a study recommends: print it, or read `record`.

    Attributes:
        sentences: as the command printed them.
        record: content of `recommendation.json`: `choice`, `ties`, `evaluated`, ...
    """

    sentences: Sequence[str]
    record: Mapping[str, Any]

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    __repr__ = __str__


@dataclass(frozen=True)
class Plot:
    """A figure that a notebook shows.

    Attributes:
        figure: of matplotlib, to change before it is shown.
    """

    figure: Figure

    def save(self, path: Path | str) -> None:
        """Write the figure, in the format that the file's ending names."""
        self.figure.savefig(path)

    def _repr_png_(self) -> bytes:
        return png(self.figure, _DPI)


class Study:
    """A finished study (`main`, `compare`, `measure`), read from its runs; see `open_study`.

    Args:
        report: the data of the study's report.
        run_id: run id of the study.
    """

    def __init__(self, report: Report, run_id: str) -> None:
        self.report, self.run_id = report, run_id

    def __repr__(self) -> str:
        report = self.report
        methods, rms = (
            dict.fromkeys(getattr(run, name) for run in report.policy_runs) for name in ("method", "rm_size")
        )
        return (
            f"Study {self.run_id}: {len(report.policy_runs)} curves by {', '.join(methods)} against {', '.join(rms)}; "
            "curves(), laws(), peaks(), recommendation()"
        )

    def curves(self) -> pd.DataFrame:
        """Every point of every curve, one a row: KL in nats, scores in gold standard deviations."""
        return pd.concat(
            [
                _points(run.curve).assign(
                    method=run.method, rm=run.rm_size, rm_params=run.rm_params, seed=run.seed, kl_coef=run.kl_coef,
                    from_search=from_search, run_id=run.run_id,
                )
                for from_search, runs in ((False, self.report.policy_runs), (True, self.report.search_runs))
                for run in runs
            ],
            ignore_index=True,
        )[[*_KEYS, *_POINT, "kl_coef", "from_search", "run_id"]]  # fmt: skip

    def laws(self) -> pd.DataFrame:
        """The law of each method and reward model: coefficients and peak with 95 % intervals, and its errors.

        `quoted` is False where the points do not determine a peak, and `withheld` says why.
        """
        quoted = laws_of(self.report)
        rows = []
        for group in self.report.laws["groups"]:
            row = {
                "method": group["method"],
                "rm": group["rm_size"],
                "rm_params": group["rm_params"],
                "form": group["form"],
            }
            for name in ("alpha", "beta", "peak_kl", "peak_gold"):
                low, high = group[f"{name}_ci"] or (None, None)
                row |= {name: group[name], f"{name}_low": low, f"{name}_high": high}
            withheld = quoted[group["method"], group["rm_size"]].withheld
            rows.append(row | {"r2": group["r2"], "rmse": group["rmse"], "quoted": not withheld, "withheld": withheld})
        return pd.DataFrame(rows)

    def peaks(self) -> pd.DataFrame:
        """Where gold peaks in each setting, as it was measured, and where to stop (later, where the peak was not
        reached): the highest first."""
        rows = []
        for each in recommendation_of(self.report).evaluated:
            stop = each.stop
            rows.append(
                {
                    "method": each.setting.method,
                    "rm": each.setting.rm,
                    "rm_params": each.setting.rm_params,
                    "kl_coef": each.setting.kl_coef,
                    "gold": stop.gold,
                    **_ends("gold", Estimate(stop.gold, *stop.gold_interval)),
                    "kl": stop.kl,
                    **_ends("kl", Estimate(stop.kl, *stop.kl_window)),
                    "step": stop.step,
                    "stop_kl": stop.advised_kl,
                    "stop_step": stop.advised_step,
                    "drop": stop.drop,
                    **_ends("drop", Estimate(stop.drop, *stop.drop_interval)),
                    "progress": str(stop.progress),
                    "seeds": stop.seeds,
                    "from_search": each.setting.from_search,
                }
            )
        return pd.DataFrame(rows).sort_values("gold", ascending=False, ignore_index=True)

    def recommendation(self) -> StudyRecommendation:
        """Which reward model, by which method, how far, and what cannot be told from it."""
        record = record_of(self.report)
        return StudyRecommendation(record["sentences"], record)


_KEYS = ("method", "rm", "rm_params", "seed")
_POINT = ("step", "kl", "sqrt_kl", "proxy", "proxy_se", "gold", "gold_se", "human")


def open_study(run: str = "latest", tracking_uri: str = "") -> Study:
    """Open a finished study.

    Args:
        run: run id of a run of `main`, `compare` or `measure`; `latest`: the newest of the store.
        tracking_uri: of the store; empty: `MLFLOW_TRACKING_URI`, or else `mlflow.db` in the current folder.

    Raises:
        UserError: if there is no store, or no such study in it.

    Examples:
        >>> from mlproject import UserError, open_study
        >>> try:
        ...     study = open_study(tracking_uri="sqlite:///of/my/study/mlflow.db")
        ...     curves, laws, peaks = study.curves(), study.laws(), study.peaks()
        ...     print(study.recommendation())
        ... except UserError as error:
        ...     print(str(error)[:11], "there is none" in str(error))
        open_study: True
    """
    uri = resolved_uri(tracking_uri)
    database = local_database(uri)
    if database is not None and not database.exists():
        raise UserError(
            f"open_study: {database} must be a store of this project, but there is none. Change to the folder of the "
            "study, or give tracking_uri."
        )
    client = MlflowClient(uri)
    if run == "latest":
        query = f"tags.`{Tag.STUDY_FINGERPRINT}` != '' and tags.`{Tag.KIND}` = '{Kind.STUDY}'"
        studies = all_runs(client, all_experiments(client), query)
        if not studies:
            raise UserError("open_study: this store has no finished study. Run `main`, `compare` or `measure` first.")
        run = studies[0].info.run_id
    try:
        members = json.loads(fetch(client, run, Artifact.STEPS).read_text(encoding="utf-8"))
    except (MlflowException, OSError):
        members = []
    if not any(member["kind"] == Kind.LAW for member in members):
        raise UserError(
            f"open_study: run={run}: must be the run id of a finished study of `main`, `compare` or `measure`. Give "
            "another, or leave it out for the newest."
        )
    return Study(collect(client, members, "Study", "", run), run)


def plot(what: Study | Curve | Mapping[str, Curve] | Iterable[Curve]) -> Plot:
    """Draw gold (solid) and proxy (dashed) over sqrt(KL).

    Args:
        what: a study, a curve, or several: by name, or in a list.

    Returns:
        a figure that a notebook shows, with `save(path)`.

    Raises:
        UserError: for anything else.

    Examples:
        >>> import numpy as np
        >>> from mlproject import best_of_n, plot
        >>> rng = np.random.default_rng(0)
        >>> gold = rng.normal(size=(20, 16))
        >>> curve = best_of_n(gold + rng.normal(size=gold.shape), gold)
        >>> type(plot({"my RM": curve})).__name__
        'Plot'
    """
    if isinstance(what, Study):
        return Plot(headline_figure(what.report))
    if isinstance(what, Curve):
        named = {"": what}
    elif isinstance(what, Mapping):
        named = {str(name): curve for name, curve in what.items()}
    else:
        named = {str(i): curve for i, curve in enumerate(what, 1)} if isinstance(what, Iterable) else {}
    if not named or not all(isinstance(curve, Curve) for curve in named.values()):
        raise UserError("plot: must be given a study, a curve, or several curves, by name or in a list.")
    colours = theme.METHOD_COLOURS
    curves = [PlottedCurve(curve, colours[i % len(colours)], name) for i, (name, curve) in enumerate(named.items())]
    return Plot(curve_figure(curves))


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _points(curve: Curve) -> pd.DataFrame:
    return pd.DataFrame([{name: getattr(point, name) for name in _POINT} for point in curve])
