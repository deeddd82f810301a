"""Saved views of MLflow's user interface: the paper's figure, one click away.

MLflow stores a saved view as a tag of the experiment. The format is undocumented: it was taken from MLflow 3.17, and a
test opens the views in a browser. The views are a convenience; nothing else depends on them.

How the interface draws a line chart over another metric limits what can be shown:

- Runs are drawn one by one, never grouped. A group's colour is a hash of its name and cannot be chosen, a group
  averages at *bit-equal* x only, and the interface lays no tables of a grouped list side by side. A run's colour is its
  tag `mlflow.runColor`: one for each RM size (`mlproject.plotting.colours`), pale where a search pruned the run.
- The legend follows the list of runs, so the list is sorted by a metric, the number of parameters: params are sorted as
  text.
- A metric that was logged at a single step is drawn as a dot: `curve/peak` marks the peak.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

from mlflow import MlflowClient

from mlproject.names import Metric, MetricPrefix, MlflowTag, Statistic, Tag
from mlproject.optimization import METHODS, Method
from mlproject.strict_json import strict_json
from mlproject.tracking.charts import coefficients, line_chart, run_columns, scatter_chart, section

BEST_TWO = "overoptimization-best-two"
BEST_TWO_OF_SAMPLES = "overoptimization-best-two-of-samples"
"""Keys of the same figure for two runs: of the recommended reward model and of the next best one."""

RUNS_ONE_BY_ONE = "overoptimization-runs"
"""Key of the same figure for every policy run of any method."""

SEARCH = "overoptimization-search"
"""Key of the view of the runs that searches made."""

SAMPLES = "overoptimization-samples"
"""Key of the view of sample responses, the runs side by side."""

FORECASTS = "overoptimization-forecasts"
"""Key of the view of the forecasts of runs."""

HUMAN_AND_STATISTICS = "overoptimization-human-signs"
"""Key of the view of human judgement and of text statistics."""

_PREFIXES = ("alarms", "curve", "forecast", "law", "peak", "signs")
_LONGEST_TAG = 5000
"""Characters of an experiment's tag: MLflow refuses a longer one."""

_HAS_FORECAST = f"metrics.`{Metric.FORECAST_P_PAST_PEAK}` >= 0"
_IS_TRIAL = f"tags.`{Tag.STUDY_NAME}` != ''"
_TRIAL_COLUMNS = tuple(f"tags.`{name}`" for name in (Tag.TRIAL_NUMBER, Tag.VERDICT))
# The interface lists the newest view first. Fixed, so that installing again changes nothing.
_CREATED_MS = 1_760_000_000_000

IN_TRAINING_MODE = {"workflowType": "machine_learning"}
"""What a link asks for, so that a new browser opens runs instead of (empty) traces."""


@dataclass(frozen=True)
class _View:
    """A saved view.

    Attributes:
        key: part of the tag's name and of the link.
        name: as the "Views" menu shows it.
        charts, sections: as the interface stores them.
        filter: which runs are listed, in the interface's filter syntax; empty for all.
        columns: of the list of runs, before the usual ones.
        order_by, ascending: what the list of runs is sorted by.
        mode: what the link opens: charts, or tables side by side.
        hides_list: leave the whole width to charts or tables.
        method: whose figure it is; None for a view of all methods.
    """

    key: str
    name: str
    charts: Sequence[dict[str, Any]]
    sections: Sequence[dict[str, Any]]
    filter: str = ""
    columns: tuple[str, ...] = ()
    order_by: str = Metric.RM_PARAMS
    ascending: bool = True
    mode: str = "CHART"
    hides_list: bool = False
    method: Method | None = None


def figure_key(method: Method) -> str:
    """Key of the paper's figure for one method."""
    return f"overoptimization-{method.name}"


def install_views(
    client: MlflowClient,
    experiment_id: str,
    methods: Sequence[Method],
    best_two: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, str]:
    """Install the project's saved views in the experiment of policy runs; views that are installed stay as they are.

    A view that somebody changed in the interface ("Override saved view") is set back. Save a changed view under
    another name.

    Args:
        client: client of the tracking server.
        experiment_id: id of the experiment that holds the policy runs.
        methods: methods with a figure of their own.
        best_two: run ids by key of the views of two runs, which are left out without them.

    Returns:
        key by name of each view, in the order of the interface's menu.
    """
    tags = client.get_experiment(experiment_id).tags
    views = {
        i: view for i, view in enumerate(_views(best_two, methods)) if view.method is None or view.method in methods
    }
    for position, view in views.items():
        tag, value = MlflowTag.SHARED_VIEW_PREFIX + view.key, _tag_value(view, _CREATED_MS - position, methods)
        if tags.get(tag) != value:
            client.set_experiment_tag(experiment_id, tag, value)
    return {view.name: view.key for view in views.values()}


def view_link(server: str, experiment_id: str, key: str) -> str:
    """The address that opens a saved view.

    Args:
        server: address of the MLflow user interface, such as http://127.0.0.1:5000; empty for a link within it.
        experiment_id: id of the experiment that holds the view.
        key: key of the view, from `install_views`.

    Returns:
        a link. It contains `workflowType=machine_learning`, because a browser that has never visited the server would
        open the experiment's (empty) traces instead of its runs.
    """
    mode = next((view.mode for view in _views() if view.key == key), "CHART")
    query = {"viewStateShareKey": key, "compareRunsMode": mode, **IN_TRAINING_MODE}
    return f"{server.rstrip('/')}/{experiment_page(experiment_id)}?{urlencode(query, quote_via=quote)}".lstrip("/")


def experiment_page(experiment_id: str) -> str:
    """The page of an experiment's runs, relative to the server."""
    return f"#/experiments/{quote(experiment_id, safe='')}/runs"


def _views(best_two: Mapping[str, Sequence[str]] = MappingProxyType({}), methods: Sequence[Method] = ()) -> list[_View]:
    searched = coefficients([method for method in methods if method.trains_policy])
    figure = line_chart("gold-and-proxy", "figure", [Metric.CURVE_GOLD, Metric.CURVE_PROXY, Metric.CURVE_PEAK])
    figure_section = section("figure", "Gold —, proxy - -, own peak ●", height=560)
    return [
        *(
            _View(
                figure_key(method),
                f"Over-optimization, {method.label}",
                [figure],
                [figure_section],
                method=method,
                filter=f'params.method = "{method.name}"',
            )
            for method in METHODS.values()
        ),
        *(
            _View(key, name, [figure], [figure_section], filter=_only(best_two[key]))
            for key, name in ((BEST_TWO, "Best two"), (BEST_TWO_OF_SAMPLES, "Best two of samples"))
            if best_two.get(key)
        ),
        _View(RUNS_ONE_BY_ONE, "Runs of all methods", [figure], [figure_section]),
        _View(
            SEARCH,
            "Search",
            [
                line_chart("trials", "trials", [Metric.CURVE_GOLD, Metric.CURVE_PEAK]),
                *(
                    scatter_chart("-".join(["peaks", *[name] * (i > 0)]), "trials", name, Metric.PEAK_GOLD)
                    for i, name in enumerate(searched)
                ),
            ],
            [section("trials", "Trials (pale: pruned)", 2, 480)],
            filter=_IS_TRIAL,
            columns=_TRIAL_COLUMNS,
        ),
        _View(
            SAMPLES,
            "Samples side by side",
            [figure],
            [figure_section],
            order_by=Metric.DROP_GOLD,
            ascending=False,
            mode="ARTIFACT",
            hides_list=True,
        ),
        _View(
            FORECASTS,
            "Forecasts",
            [
                line_chart("gold-and-forecast", "forecast", [Metric.CURVE_GOLD, Metric.FORECAST_PEAK_GOLD]),
                line_chart("past-peak", "forecast", [Metric.FORECAST_P_PAST_PEAK]),
            ],
            [section("forecast", "Gold (solid), forecast of its peak (dashed); P(past peak)", 2, 400)],
            filter=_HAS_FORECAST,
        ),
        _View(
            HUMAN_AND_STATISTICS,
            "Human judgement and text statistics",
            [
                line_chart("gold-and-human", "human", [Metric.CURVE_GOLD, Metric.CURVE_HUMAN]),
                line_chart("length", "statistics", [MetricPrefix.STATISTICS + Statistic.LENGTH]),
                line_chart("repetition", "statistics", [MetricPrefix.STATISTICS + Statistic.REPETITION]),
            ],
            [
                section("human", "Gold (solid), human (dashed)", height=400),
                section("statistics", "Text statistics", columns=2),
            ],
        ),
    ]


def _only(run_ids: Sequence[str]) -> str:
    """The filter for some runs."""
    quoted = ", ".join(f"'{run_id}'" for run_id in run_ids)
    return f"attributes.run_id IN ({quoted})"


def _tag_value(view: _View, created_ms: int, methods: Sequence[Method]) -> str:
    """Value of the tag of a view, with as many collapsed sections of methods' diagnostics as a tag has room for."""
    shown = [view.method] if view.method else methods
    trained = [method.name for method in shown if method.trains_policy]
    columns = run_columns(coefficients(shown))
    values = (_with_sections(view, created_ms, trained[:count], columns) for count in range(len(trained), -1, -1))
    return next(value for value in values if len(value) <= _LONGEST_TAG)


def _with_sections(view: _View, created_ms: int, methods: Sequence[str], columns: Sequence[str]) -> str:
    """Value of the tag.

    MLflow 3.17 reads a name and a compressed state; older interfaces (3.10) expect the state itself. Each ignores the
    other's fields, so the tag holds both.
    """
    state = _state(view, methods, columns)
    deflated = base64.b64encode(zlib.compress(_json(state).encode(), 9)).decode()
    envelope = {
        "name": view.name,
        "createdAt": created_ms,
        "updatedAt": created_ms,
        "state": "deflate;" + deflated,
    }
    return _json(envelope | state)


def _state(view: _View, methods: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """The view as the interface would store it."""
    prefixes = sorted({*_PREFIXES, *methods})
    return {
        "searchFilter": view.filter,
        "orderByKey": f"metrics.`{view.order_by}`",
        "orderByAsc": view.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*view.columns, *columns],
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": list(view.charts),
        # The interface adds a chart for every other metric; here they go into collapsed sections below.
        "compareRunSections": [
            *view.sections,
            *(section(f"all-{p}", p, columns=3, display=False) for p in prefixes),
        ],
        "viewMaximized": False,
        "runListHidden": view.hides_list,
        "isAccordionReordered": True,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": False,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _json(value: Any) -> str:
    return strict_json(value, separators=(",", ":"))
