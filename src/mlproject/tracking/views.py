"""Saved views of MLflow's user interface: the paper's figure, one click away.

MLflow keeps a saved view as a tag of the experiment. The format is undocumented: it was read off MLflow 3.17,
and a test opens the views in a browser. It is a convenience, and nothing else depends on it.

How the interface draws a line chart over another metric decides what can be shown:

- With "Group by" it averages values at *bit-equal* x only. Best-of-n has the same KL at the same n in every
  run, so there groups get a mean and a band from the lowest run to the highest (`Method.has_fixed_kl`). A PPO
  run has KLs of its own: grouping would join the points of all seeds into one zigzag without a band. So PPO
  runs are drawn one by one.
- A group averages whatever the filter lets through. In an experiment that varies more than the RM size, add
  to "Group by" in the interface, or to the filter; "Runs one by one" averages nothing.
- A group's colour is a hash of its name and cannot be chosen; that of a run is its tag `mlflow.runColor`
  (see `run_color`).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from mlflow import MlflowClient

from mlproject.models.sizes import SIZES
from mlproject.names import Metric, MetricPrefix, MlflowTag, Statistic
from mlproject.optimization import METHODS, Method

RUNS_ONE_BY_ONE = "overoptimization-runs"
"""Key of the same figure for every policy run of whatever method."""

FORECASTS = "overoptimization-forecasts"
"""Key of the view of the forecasts that runs made of their peaks."""

HUMAN_AND_SIGNS = "overoptimization-human-signs"
"""Key of the view of human judgement and of the signs of over-optimization."""

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
        key: names the tag and stands in the link.
        name: what the "Views" menu shows.
        charts, sections: as the interface stores them.
        filter: which runs are listed, as the interface filters; all if empty.
        group_by: parameter by which the run list is grouped; none if empty.
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
    """Put the project's saved views on the experiment of policy runs; a view that exists is left alone.

    A shipped view that somebody changed in the interface ("Override saved view") is set back; to keep a
    change, save it under another name.

    Args:
        client: of the tracking server.
        experiment_id: of the experiment that holds the policy runs.
        methods: those that have a figure of their own.

    Returns:
        the key of each view by its name, in the order of the interface's menu.
    """
    tags = client.get_experiment(experiment_id).tags
    views = {place: view for place, view in enumerate(_views()) if view.method is None or view.method in methods}
    for place, view in views.items():
        tag, value = MlflowTag.SHARED_VIEW_PREFIX + view.key, _tag_value(view, _CREATED_MS - place)
        if tags.get(tag) != value:
            client.set_experiment_tag(experiment_id, tag, value)
    return {view.name: view.key for view in views.values()}


def view_link(server: str, experiment_id: str, key: str) -> str:
    """The address that opens a saved view.

    Args:
        server: address of the MLflow user interface, such as http://127.0.0.1:5000.
        experiment_id: of the experiment that holds the view.
        key: of the view, from `install_views`.

    Returns:
        a link. It says `workflowType=machine_learning`, because a browser that has never seen the server
        would open the experiment's (empty) traces instead of its runs.
    """
    query = urlencode(
        {"viewStateShareKey": key, "compareRunsMode": "CHART", "workflowType": "machine_learning"},
        quote_via=quote,
    )
    return f"{server.rstrip('/')}/#/experiments/{quote(experiment_id, safe='')}/runs?{query}"


def run_color(rm_size: str) -> str:
    """Colour for the tag `mlflow.runColor` of a policy run: runs of one RM size look alike in every chart.

    Args:
        rm_size: a name of the ladder.

    Returns:
        "#rrggbb", from violet for the smallest to red at 1m, then by purple and brown to black; grey off the ladder.
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
            [
                _section(
                    "forecast", "Gold (solid), forecast of its peak (dashed); chance that the peak is behind", 2, 400
                )
            ],
            filter=_HAS_FORECAST,
        ),
        _View(
            HUMAN_AND_SIGNS,
            "Human judgement and signs",
            [
                _line_chart("gold-and-human", "human", [Metric.CURVE_GOLD, Metric.CURVE_HUMAN]),
                _line_chart("length", "counted", [MetricPrefix.STATISTICS + Statistic.LENGTH]),
                _line_chart("repetition", "counted", [MetricPrefix.STATISTICS + Statistic.REPETITION]),
            ],
            [
                _section("human", "Gold (solid), human (dashed)", height=400),
                _section("counted", "Signs of over-optimization", columns=2),
            ],
            group_by="method",
        ),
    ]


def _tag_value(view: _View, created_ms: int) -> str:
    """The tag of a view.

    MLflow 3.17 reads a name and a compressed state; older interfaces (3.10) expect the state itself. Neither
    minds the other's fields, so the tag holds both.
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
    """What the interface would have stored, had somebody clicked the view together."""
    # Collapsed groups make the run list a legend. Where runs are drawn one by one it must stay open: the
    # interface draws only the runs that the list shows.
    collapsed = SIZES if view.groups_in_charts else ()
    prefixes = sorted({*_PREFIXES, *([view.method.name] if view.method else METHODS)})
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
    """Lines over sqrt(KL): the first metric solid, the second dashed."""
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
    """A section of charts; `height` in pixels, of each."""
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
    return json.dumps(value, separators=(",", ":"))
