"""Saved views of MLflow's user interface: the paper's figure, one click away.

MLflow stores a saved view as a tag of the experiment. The format is undocumented: it was taken from MLflow 3.17, and a
test opens the views in a browser. The views are a convenience; nothing else depends on them.

How the interface draws a line chart over another metric limits what can be shown:

- With "Group by" it averages values at *bit-equal* x only. Best-of-n has the same KL at the same n in every run
  (`Method.has_fixed_kl`), so its groups get a mean and a band from the lowest run to the highest. A PPO run has KLs of
  its own: grouping would join the points of all seeds into one zigzag without a band. So PPO runs are drawn one by one.
- A group averages all runs that the filter lets through. In an experiment that varies more than the RM size, add to
  "Group by" in the interface, or to the filter; "Runs one by one" averages nothing.
- A group's colour is a hash of its name and cannot be chosen; a run's colour is its tag `mlflow.runColor` (see
  `run_color`).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from mlflow import MlflowClient

from mlproject.models.sizes import SIZES
from mlproject.names import Metric, MetricPrefix, MlflowTag, Statistic
from mlproject.optimization import METHODS, Method
from mlproject.strict_json import strict_json

RUNS_ONE_BY_ONE = "overoptimization-runs"
"""Key of the same figure for every policy run of any method."""

FORECASTS = "overoptimization-forecasts"
"""Key of the view of the forecasts of runs."""

HUMAN_AND_STATISTICS = "overoptimization-human-signs"
"""Key of the view of human judgement and of text statistics."""

_PREFIXES = ("curve", "forecast", "law", "peak", "signs")
_HAS_FORECAST = f"metrics.`{Metric.FORECAST_P_PAST_PEAK}` >= 0"
_COLUMNS = (
    *(f"params.`{name}`" for name in ("rm_size", "method", "kl_coef", "seed")),
    *(f"metrics.`{name}`" for name in (Metric.PEAK_GOLD, Metric.PEAK_KL, Metric.LAW_ALPHA, Metric.LAW_BETA)),
)
# A rainbow from the smallest to the largest, dark enough for thin lines on white.
_SIZE_COLORS = (
    "#5e3c99", "#2b6cb0", "#1793a5", "#2e9e5b", "#8aa31d", "#d99a1c", "#e0611f", "#b3202c", "#7d1128",
    "#c2407e", "#8f2f8a", "#5b2a4f", "#6b4a2b", "#3d3a36", "#111111",
)  # fmt: skip
_NO_SIZE_COLOR = "#5f7281"
# The interface lists the newest view first. Fixed, so that installing again changes nothing.
_CREATED_MS = 1_760_000_000_000


@dataclass(frozen=True)
class _View:
    """A saved view.

    Attributes:
        key: part of the tag's name and of the link.
        name: as the "Views" menu shows it.
        charts, sections: as the interface stores them.
        filter: which runs are listed, in the interface's filter syntax; empty for all.
        group_by: param by which the run list is grouped; empty for none.
        groups_in_charts: draw a mean and a band per group instead of every run.
        method: whose figure it is; None for a view of all methods.
    """

    key: str
    name: str
    charts: Sequence[dict[str, Any]]
    sections: Sequence[dict[str, Any]]
    filter: str = ""
    group_by: str = ""
    groups_in_charts: bool = False
    method: Method | None = None


def figure_key(method: Method) -> str:
    """Key of the paper's figure for one method."""
    return f"overoptimization-{method.name}"


def install_views(client: MlflowClient, experiment_id: str, methods: Sequence[Method]) -> dict[str, str]:
    """Install the project's saved views in the experiment of policy runs; views that are installed stay as they are.

    A view that somebody changed in the interface ("Override saved view") is set back. Save a changed view under
    another name.

    Args:
        client: client of the tracking server.
        experiment_id: id of the experiment that holds the policy runs.
        methods: methods with a figure of their own.

    Returns:
        key by name of each view, in the order of the interface's menu.
    """
    tags = client.get_experiment(experiment_id).tags
    views = {i: view for i, view in enumerate(_views()) if view.method is None or view.method in methods}
    for position, view in views.items():
        tag, value = MlflowTag.SHARED_VIEW_PREFIX + view.key, _tag_value(view, _CREATED_MS - position)
        if tags.get(tag) != value:
            client.set_experiment_tag(experiment_id, tag, value)
    return {view.name: view.key for view in views.values()}


def view_link(server: str, experiment_id: str, key: str) -> str:
    """The address that opens a saved view.

    Args:
        server: address of the MLflow user interface, such as http://127.0.0.1:5000.
        experiment_id: id of the experiment that holds the view.
        key: key of the view, from `install_views`.

    Returns:
        a link. It contains `workflowType=machine_learning`, because a browser that has never visited the server would
        open the experiment's (empty) traces instead of its runs.
    """
    query = urlencode(
        {"viewStateShareKey": key, "compareRunsMode": "CHART", "workflowType": "machine_learning"},
        quote_via=quote,
    )
    return f"{server.rstrip('/')}/#/experiments/{quote(experiment_id, safe='')}/runs?{query}"


def run_color(rm_size: str) -> str:
    """Colour of a policy run in MLflow's charts (tag `mlflow.runColor`), the same for all runs of one RM size.

    Args:
        rm_size: name of a size, or a checkpoint.

    Returns:
        "#rrggbb": from violet for the smallest size to red at 1m, then over purple and brown to black; grey for a
        checkpoint.
    """
    return dict(zip(SIZES, _SIZE_COLORS, strict=True)).get(rm_size, _NO_SIZE_COLOR)


def _views() -> list[_View]:
    figure = _line_chart("gold-and-proxy", "figure", [Metric.CURVE_GOLD, Metric.CURVE_PROXY])
    figure_section = _section("figure", "Gold (solid), proxy (dashed)", height=500)
    return [
        *(
            _View(
                figure_key(method),
                f"Over-optimization, {method.label}",
                [figure],
                [figure_section],
                method=method,
                filter=f'params.method = "{method.name}"',
                group_by="rm_size",
                groups_in_charts=method.has_fixed_kl,
            )
            for method in METHODS.values()
        ),
        _View(RUNS_ONE_BY_ONE, "Runs one by one", [figure], [figure_section]),
        _View(
            FORECASTS,
            "Forecasts",
            [
                _line_chart("gold-and-forecast", "forecast", [Metric.CURVE_GOLD, Metric.FORECAST_PEAK_GOLD]),
                _line_chart("past-peak", "forecast", [Metric.FORECAST_P_PAST_PEAK]),
            ],
            [_section("forecast", "Gold (solid), forecast of its peak (dashed); P(past peak)", 2, 400)],
            filter=_HAS_FORECAST,
        ),
        _View(
            HUMAN_AND_STATISTICS,
            "Human judgement and text statistics",
            [
                _line_chart("gold-and-human", "human", [Metric.CURVE_GOLD, Metric.CURVE_HUMAN]),
                _line_chart("length", "statistics", [MetricPrefix.STATISTICS + Statistic.LENGTH]),
                _line_chart("repetition", "statistics", [MetricPrefix.STATISTICS + Statistic.REPETITION]),
            ],
            [
                _section("human", "Gold (solid), human (dashed)", height=400),
                _section("statistics", "Text statistics", columns=2),
            ],
            group_by="method",
        ),
    ]


def _tag_value(view: _View, created_ms: int) -> str:
    """Value of the tag of a view.

    MLflow 3.17 reads a name and a compressed state; older interfaces (3.10) expect the state itself. Each ignores the
    other's fields, so the tag holds both.
    """
    state = _state(view)
    deflated = base64.b64encode(zlib.compress(_json(state).encode(), 9)).decode()
    envelope = {
        "name": view.name,
        "createdAt": created_ms,
        "updatedAt": created_ms,
        "state": "deflate;" + deflated,
    }
    return _json(envelope | state)


def _state(view: _View) -> dict[str, Any]:
    """The view as the interface would store it."""
    # Collapsed groups make the run list a legend. Where runs are drawn one by one they must stay expanded: the
    # interface draws only runs that the list shows.
    collapsed = SIZES if view.groups_in_charts else ()
    methods = [view.method] if view.method else [method for method in METHODS.values() if method.trains_policy]
    prefixes = sorted({*_PREFIXES, *(method.name for method in methods)})  # MLflow 3.10 has no room for all methods
    grouping = {
        "aggregateFunction": "average",
        "groupByKeys": [{"groupByData": view.group_by, "mode": "param"}],
    }
    return {
        "searchFilter": view.filter,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(_COLUMNS),
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
            *(_section(f"all-{p}", p, columns=3, display=False) for p in prefixes),
        ],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "groupBy": grouping if view.group_by else None,
        "groupsExpanded": {f"param.{view.group_by}.{name}": False for name in collapsed},
        "useGroupedValuesInCharts": view.groups_in_charts,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _line_chart(uuid: str, section: str, metrics: Sequence[str]) -> dict[str, Any]:
    """A line chart over sqrt(KL): the first metric solid, the second dashed."""
    return {
        "uuid": uuid,
        "type": "LINE",
        "runsCountToCompare": 100,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "metricKey": metrics[0],
        "selectedMetricKeys": list(metrics),
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "metric",
        "selectedXAxisMetricKey": Metric.CURVE_SQRT_KL,
        "displayPoints": False,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
    }


def _section(uuid: str, name: str, columns: int = 1, height: int = 360, display: bool = True) -> dict[str, Any]:
    """A section of charts, each `height` pixels high."""
    return {
        "uuid": uuid,
        "name": name,
        "display": display,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        "columns": columns,
        "cardHeight": height,
    }


def _json(value: Any) -> str:
    return strict_json(value, separators=(",", ":"))
