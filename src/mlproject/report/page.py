"""The report as one self-contained HTML page: embedded figures, no scripts, no external resources."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mlproject.optimization import find_method
from mlproject.plotting.timeline_figure import by_group
from mlproject.recommendation.outcome import promotion_sentence
from mlproject.recommendation.sentences import answer, exceptions
from mlproject.recommendation.words import steps_of_kl
from mlproject.registry.metrics import METRICS
from mlproject.report.comparison import comparison_of
from mlproject.report.recommended import evidence_of_report, laws_of, outcome_of, recommendation_of, stops_of
from mlproject.report.records import Report
from mlproject.report.sample_cards import sample_blocks
from mlproject.report.selection import (
    groups_of,
    interval,
    method_name,
    methods,
    number,
)
from mlproject.report.stacked_tables import with_labels
from mlproject.report.summary import (
    DASH,
    drop_in_se,
    summarize,
    text,
    with_error,
)
from mlproject.search.space import coefficient_of


def render(report: Report, figures: Mapping[str, Path]) -> str:
    """Render the page.

    Args:
        report: the study.
        figures: PNG files by name, as `save_figures` returns them; missing figures are left out.

    Returns:
        HTML that displays offline, in light and in dark mode.
    """
    shown, recommendation = methods(report), recommendation_of(report)
    page = _template().render(
        report=report,
        figures={name: _data_uri(path) for name, path in figures.items()},
        recommendation=_answer(report),
        evidence=evidence_of_report(report),
        summary=summarize(report, recommendation),
        law_peaks=laws_of(report),
        comparison=comparison_of(report),
        stops=stops_of(report),
        methods=[(method, method_name(method), find_method(method)) for method in shown],
        groups={method: groups_of(report, method) for method in shown if groups_of(report, method)},
        trends=report.laws.get("trends") or [],
        proxies=sorted(report.proxies, key=lambda proxy: (proxy.rm_params, proxy.seed)),
        trials=sorted(report.trials, key=_by_peak),
        coefficient=coefficient_of(report.trials),
        samples=sample_blocks(report),
        time=by_group(report.timeline) if report.timeline else [],
        link_opens=report.link.startswith(("http://", "https://")),
    )
    return with_labels(page)


def _answer(report: Report) -> list[str]:
    """What is said first: the recommendation, what the promotion did with it, and where nothing is gained."""
    recommendation = recommendation_of(report)
    outcome = outcome_of(report)
    promotion = [promotion_sentence(recommendation, outcome)] if outcome else []
    return [*answer(recommendation), *promotion, *exceptions(recommendation)]


def _by_peak(trial: Mapping[str, Any]) -> tuple[bool, float]:
    """Sort key of trials: highest peak gold first, those without one last."""
    gold = number(trial.get("peak_gold"))
    return gold is None, -(gold or 0.0)


def _data_uri(path: Path) -> str:
    """A PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _interval_text(pair: Any, digits: int = 2) -> str:
    """`[0.41, 0.52]`; an en dash for an unknown end, or a single one if both are unknown."""
    if interval(pair) is None and not any(number(end) is not None for end in pair or ()):
        return DASH
    return f"[{text(pair[0], digits)}, {text(pair[1], digits)}]"


def _gate_means(gate: str) -> str:
    """What a gate measures, with the unit; empty for a gate of another version."""
    metric = METRICS.get(gate.partition(".")[0])
    return metric.description if metric else ""


@cache
def _template() -> Template:
    """The page's template; everything that comes from a study is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"num": text, "interval": _interval_text, "method": method_name}
    environment.globals |= {
        "with_error": with_error,
        "drop_in_se": drop_in_se,
        "place": lambda method, step: find_method(method).place(step),
        "steps": steps_of_kl,
        "gate_means": _gate_means,
        "dash": DASH,
    }
    return environment.get_template("template.html")
