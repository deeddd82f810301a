"""The figures of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.legend import Legend
from tests.report.test_page import PageParser

from mlproject.curve import Curve
from mlproject.laws.forms import FORMS
from mlproject.plotting import theme
from mlproject.recommendation.sentences import stop_text
from mlproject.recommendation.stop import Progress
from mlproject.recommendation.words import distance
from mlproject.report.figures import (
    coefficients_figure,
    curves_figure,
    headline_figure,
    human_figure,
    peaks_figure,
    search_figure,
    study_figures,
)
from mlproject.report.page import render
from mlproject.report.recommended import laws_of, recommendation_of
from mlproject.report.records import Report

ALL = {
    *("headline", "coefficients", "peaks", "search"),
    *("curves-best-of-n", "curves-ppo", "human-best-of-n", "human-ppo"),
}


def lines_like(axes: object, y: np.ndarray) -> list:
    """Lines of axes whose values are these."""
    return [
        line
        for line in axes.lines  # type: ignore[attr-defined]
        if len(line.get_ydata()) == len(y) and np.allclose(np.asarray(line.get_ydata(), float), y)
    ]


def texts(axes: object) -> list[str]:
    """Labels of all legends in axes."""
    legends = [child for child in axes.get_children() if type(child).__name__ == "Legend"]  # type: ignore[attr-defined]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def test_every_run_is_drawn_gold_solid_and_proxy_dashed_in_the_colour_of_its_size(report: Report) -> None:
    axes = curves_figure(report, "ppo").axes[0]
    colours = theme.size_colours({run.rm_size: run.rm_params for run in report.policy_runs})
    runs = [run for run in report.policy_runs if run.method == "ppo"]
    assert len(runs) == 8
    for run in runs:
        (gold,), (proxy,) = lines_like(axes, run.curve.gold_S), lines_like(axes, run.curve.proxy_S)
        assert gold.get_linestyle() == "-" and proxy.is_dashed()
        assert to_hex(gold.get_color()) == to_hex(proxy.get_color()) == colours[run.rm_size]
        np.testing.assert_allclose(gold.get_xdata(), np.sqrt(run.curve.kl_S))


def test_the_law_is_drawn_over_its_range(report: Report) -> None:
    axes = curves_figure(report, "ppo").axes[0]
    group = next(g for g in report.laws["groups"] if g["method"] == "ppo" and g["rm_size"] == "25k")
    d = np.linspace(group["min_d"], group["max_d"], 200)
    (law,) = lines_like(axes, FORMS["rl"].value(d, [group["alpha"], group["beta"]]))
    np.testing.assert_allclose(law.get_xdata(), d)


def marks(axes: object, marker: str, colour: str) -> list[tuple[float, float]]:
    """Where markers of a kind and colour are drawn."""
    lines = [line for line in axes.lines if line.get_marker() == marker and line.get_color() == colour]  # type: ignore[attr-defined]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


@pytest.mark.parametrize("size, runs_end", [("1k", 31), ("25k", 31), ("25k", 12)])
def test_what_is_marked_is_the_stop_that_is_recommended(report: Report, size: str, runs_end: int) -> None:
    """The highest point of the mean over seeds, and not the mean of their highest points; or the end before a peak."""
    names, cut = ("steps_S", "kl_S", "proxy_SP", "gold_SP"), slice(0, runs_end)
    runs = [
        replace(run, curve=Curve(*(getattr(run.curve, name)[cut] for name in names)))
        for run in report.policy_runs
        if (run.method, run.rm_size) == ("ppo", size)
    ]
    study = replace(report, policy_runs=runs)
    axes, colour = curves_figure(study, "ppo").axes[0], theme.size_colours({size: 0})[size]
    mean_S = (runs[0].curve.gold_S + runs[1].curve.gold_S) / 2
    at, kl_S = int(mean_S.argmax()), (runs[0].curve.kl_S + runs[1].curve.kl_S) / 2
    choice = recommendation_of(study).choice
    assert choice is not None
    [row] = [r for r in PageParser(render(study, {})).rows if r and r[0].startswith(f"{size} ") and len(r) == 9]
    if choice.stop.progress is Progress.PEAKED:
        assert marks(axes, "o", colour) == [(run.curve.sqrt_kl_S[at], run.curve.gold_S[at]) for run in runs]
        assert [d**2 for d, _ in marks(axes, "^", colour)] == [pytest.approx(kl_S[at])]
        assert row[2].split() == [f"{kl_S[at]:.1f}", "update", f"{at}"]
        assert f"stop at {distance('ppo', kl_S[at], at)}" in stop_text(choice)
    else:
        assert marks(axes, ">", colour) == [(run.curve.sqrt_kl_S[-1], run.curve.gold_S[-1]) for run in runs]
        assert not marks(axes, "o", colour) and not marks(axes, "^", colour)
        assert row[2].split()[:4] == ["≥", f"{kl_S[-1]:.1f}", "update", f"{runs_end - 1}"]
        assert f"not stop before {distance('ppo', kl_S[-1], runs_end - 1)}" in stop_text(choice)


def test_the_upper_axis_shows_nats_where_their_square_root_lies(report: Report) -> None:
    axes = curves_figure(report, "ppo").axes[0]
    (above,) = axes.child_axes
    for position, label in zip(above.get_xticks(), above.get_xticklabels(), strict=True):
        assert position**2 == pytest.approx(float(label.get_text()))
    assert "nats" in above.get_xlabel()


def test_the_legend_names_every_size_and_every_line_style(report: Report) -> None:
    legend = texts(curves_figure(report, "ppo").axes[-1])
    assert [label for label in legend if label in ("1k", "3k", "25k", "100k")] == ["1k", "3k", "25k", "100k"]
    assert any(label.startswith("gold") for label in legend)
    assert {"proxy", "law (faint: does not fit)", "stop", "its KL", "peak not reached"} <= set(legend)


def test_a_proxy_that_runs_away_leaves_gold_almost_half_of_the_height(report: Report) -> None:
    run = next(run for run in report.policy_runs if run.method == "ppo")
    wild = replace(report, policy_runs=[replace(run, curve=replace(run.curve, proxy_SP=run.curve.proxy_SP * 50))])
    low, high = curves_figure(wild, "ppo").axes[0].get_ylim()
    gold = run.curve.gold_S
    assert low < gold.min() and np.ptp(gold) > 0.4 * (high - low)


def test_the_headline_has_best_of_n_and_ppo_side_by_side(report: Report) -> None:
    figure = headline_figure(report)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["Best-of-n", "PPO"]
    left, right = (axes.get_position() for axes in figure.axes[:2])
    assert left.x1 <= right.x0


def test_human_judgement_is_drawn_with_gold_for_the_smallest_and_the_largest_rm(report: Report) -> None:
    figure = human_figure(report, "ppo")
    for axes, size in zip(figure.axes[:2], ("1k", "100k"), strict=True):
        assert size in axes.get_title(loc="left")
        run = next(run for run in report.policy_runs if (run.method, run.rm_size) == ("ppo", size))
        assert run.curve.human_S is not None
        assert lines_like(axes, run.curve.gold_S) and lines_like(axes, run.curve.human_S)


def test_coefficients_stand_over_the_parameters_with_their_trend(report: Report) -> None:
    axes = coefficients_figure(report).axes[1]  # alpha of PPO
    points = sorted((line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o")
    groups = [g for g in report.laws["groups"] if g["method"] == "ppo"]
    assert points == [(g["rm_params"], g["alpha"]) for g in groups]
    (trend,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    planted = next(t for t in report.laws["trends"] if (t["method"], t["coefficient"]) == ("ppo", "alpha"))
    x, y = trend.get_xdata(), trend.get_ydata()
    assert (y[1] - y[0]) / np.log10(x[1] / x[0]) == pytest.approx(planted["slope"])


def test_a_law_that_does_not_fit_or_has_no_peak_has_no_hollow_marker(report: Report) -> None:
    hollow = [line for line in peaks_figure(report).axes[0].lines if line.get_markerfacecolor() == "white"]
    quoted = [peak.gold.value for peak in laws_of(report).values() if not peak.withheld]
    assert sorted(float(line.get_ydata()[0]) for line in hollow) == sorted(quoted) and 0 < len(quoted) < 8


def test_only_trials_with_a_peak_are_drawn(report: Report) -> None:
    axes = search_figure(report).axes[0]
    assert sorted(y for container in axes.containers for y in container[0].get_ydata()) == [
        1.11,
        1.21,
        1.38,
        1.42,
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.03", "0.1"]


def test_all_figures_are_saved_as_png_without_pyplot(figures: dict[str, Path]) -> None:
    assert set(figures) == ALL
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n") for path in figures.values())
    assert plt.get_fignums() == []


def test_figures_without_data_are_left_out(bare_report: Report) -> None:
    assert set(study_figures(bare_report)) == {"headline", "curves-ppo"}
    assert study_figures(replace(bare_report, policy_runs=[])) == {}


def test_curves_are_drawn_without_laws(report: Report) -> None:
    constant = {"method", "form", "rm_size", "rm_params", "seeds"}
    groups = [{key: value if key in constant else None for key, value in g.items()} for g in report.laws["groups"]]
    trends = [{**trend, "slope": None, "slope_ci": None, "r2": None} for trend in report.laws["trends"]]
    draw = study_figures(replace(report, laws={"groups": groups, "trends": trends}))
    assert set(draw) == ALL - {"coefficients", "peaks"}
    lines = [line for line in draw["curves-ppo"]().axes[0].lines if len(line.get_xdata()) > 2]
    assert len(lines) == 2 * 8  # gold and proxy of each run: no laws


@pytest.mark.parametrize("gold", ["gold", "a test RM of another laboratory"])
def test_no_legend_is_cut_off(report: Report, gold: str) -> None:
    for name, draw in study_figures(replace(report, gold=gold)).items():
        figure = draw()
        figure.canvas.draw()
        legends = [each for axes in figure.axes for each in axes.get_children() if isinstance(each, Legend)]
        for legend in legends:
            box = legend.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, (name, [text.get_text() for text in legend.get_texts()])
