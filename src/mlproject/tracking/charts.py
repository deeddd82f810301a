"""Charts, their sections and columns of runs, as MLflow's user interface stores them in a saved view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlproject.names import Metric
from mlproject.optimization import Method


def line_chart(uuid: str, section: str, metrics: Sequence[str]) -> dict[str, Any]:
    """A line chart over sqrt(KL): the first metric solid, the second dashed; dots where logged once."""
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


def scatter_chart(uuid: str, section: str, param: str, metric: str) -> dict[str, Any]:
    """A dot for each run: a metric over a param."""
    return {
        "uuid": uuid,
        "type": "SCATTER",
        "runsCountToCompare": 100,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "xaxis": {"key": param, "type": "PARAM"},
        "yaxis": {"key": metric, "type": "METRIC"},
    }


def section(uuid: str, name: str, columns: int = 1, height: int = 360, display: bool = True) -> dict[str, Any]:
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


def coefficients(methods: Sequence[Method]) -> list[str]:
    """The options that tell runs of methods apart, in order."""
    return list(dict.fromkeys(method.coefficient for method in methods))


def run_columns(coefficients: Sequence[str]) -> list[str]:
    """Columns of a list of policy runs.

    Args:
        coefficients: of their methods.
    """
    metrics = (Metric.PEAK_GOLD, Metric.PEAK_KL, Metric.LAW_ALPHA, Metric.LAW_BETA)
    return [
        *(f"params.`{name}`" for name in ("rm_size", "method", *coefficients, "seed")),
        *(f"metrics.`{name}`" for name in metrics),
    ]
