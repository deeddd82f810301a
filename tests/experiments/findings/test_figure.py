"""The figure of an experiment: what is drawn where."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from mlproject.curve import Curve
from mlproject.errors import UserError
from mlproject.experiments.findings.figure import draw
from mlproject.experiments.results import Cell, Result
from mlproject.plotting import theme
from mlproject.plotting.colours import rm_colours
from mlproject.plotting.png import png

CURVES = {"x": "sqrt_kl", "y": ["gold", "proxy"], "colour": "rm_size", "panels": "method"}
SIZES = ("1k", "3k", "100k")


def panels(figure: Figure) -> dict[str, Axes]:
    """Panels by title."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison and axes.get_visible()}


def lines_like(axes: Axes, x: np.ndarray, y: np.ndarray) -> list[Any]:
    """Lines through these points."""
    return [
        line
        for line in axes.lines
        if len(line.get_xdata()) == len(x)
        and np.allclose(np.asarray(line.get_xdata(), float), x)
        and np.allclose(np.asarray(line.get_ydata(), float), y)
    ]


def legend(figure: Figure) -> list[str]:
    (axes,) = [axes for axes in figure.axes if not axes.axison]
    legends = [child for child in axes.get_children() if type(child).__name__ == "Legend"]
    return [text.get_text() for each in legends for text in each.get_texts()]


def cells_of(result: Result, **settings: Any) -> list[Cell]:
    return [cell for cell in result.cells if all(cell.settings[k] == v for k, v in settings.items())]


def test_seeds_are_a_mean_line_over_thin_lines_of_the_runs(result: Result) -> None:
    by_title = panels(draw(result, CURVES))
    assert list(by_title) == ["best-of-n", "PPO"]
    colours = rm_colours(SIZES)
    for method, axes in zip(("best-of-n", "ppo"), by_title.values(), strict=True):
        for size in SIZES:
            curves = [cell.curve for cell in cells_of(result, method=method, rm_size=size)]
            d_S = np.sqrt(curves[0].kl_S)
            (gold,) = lines_like(axes, d_S, sum(curve.gold_SP.mean(axis=1) for curve in curves) / 3)
            (proxy,) = lines_like(axes, d_S, sum(curve.proxy_SP.mean(axis=1) for curve in curves) / 3)
            assert gold.get_linestyle() == "-" and proxy.is_dashed()
            assert to_hex(gold.get_color()) == to_hex(proxy.get_color()) == colours[size]
            for curve in curves:
                (run,) = lines_like(axes, d_S, curve.gold_S)
                assert run.get_linewidth() < gold.get_linewidth() / 2


def test_single_runs_have_a_line_each_and_a_band_of_one_standard_error(cell: Callable[..., Cell]) -> None:
    one = cell(1.0)
    axes = panels(draw(Result("synthetic", {}, [one]), {"x": "kl", "y": ["gold", "human"]}))[""]
    assert len(lines_like(axes, one.curve.kl_S, one.curve.gold_S)) == 1
    (human,) = lines_like(axes, one.curve.kl_S, one.curve.gold_S / 2)
    assert human.is_dashed()
    (band,) = axes.collections
    se = np.std(one.curve.gold_SP[0], ddof=1) / np.sqrt(one.curve.gold_SP.shape[1])
    edges = band.get_paths()[0].vertices
    peak = one.curve.gold_S.max()
    assert edges[:, 1].max() == pytest.approx(peak + se)
    assert edges[edges[:, 0] == 0, 1].min() == pytest.approx(one.curve.gold_S[0] - se)


def test_runs_that_differ_in_more_than_the_seed_or_in_their_steps_are_not_averaged(
    cell: Callable[..., Cell], curve: Callable[..., Curve]
) -> None:
    different = [cell(1.0, kl_coef=0.0), cell(2.0, kl_coef=0.1, seed=1)]
    stopped = [cell(1.0), cell(2.0, curve=curve(2.0, steps=4), seed=1)]
    for cells in (different, stopped):
        axes = panels(draw(Result("synthetic", {}, cells), {"x": "sqrt_kl", "y": "gold"}))[""]
        for each in cells:
            assert len(lines_like(axes, each.curve.sqrt_kl_S, each.curve.gold_S)) == 1
        assert len(axes.lines) == 3  # the runs and the line at 0


def test_a_proxy_that_runs_away_leaves_gold_almost_half_of_the_height(cell: Callable[..., Cell]) -> None:
    axes = panels(draw(Result("synthetic", {}, [cell(1.0)]), {"x": "sqrt_kl", "y": ["gold", "proxy"]}))[""]
    low, high = axes.get_ylim()
    assert low < 0 < 1.0 < high and 1.0 / (high - low) > 0.4
    assert high < 4 * 2.0


def test_panels_of_seeds_share_their_scales_and_hide_nothing(cell: Callable[..., Cell]) -> None:
    cells = [cell(height, seed=seed) for seed, height in enumerate((5.0, 1.0, 0.5))]
    by_title = panels(draw(Result("synthetic", {}, cells), {"x": "sqrt_kl", "y": ["gold", "proxy"], "panels": "seed"}))
    assert list(by_title) == ["seed 0", "seed 1", "seed 2"]
    assert len({axes.get_ylim() for axes in by_title.values()}) == 1
    assert by_title["seed 2"].get_ylim()[1] > 5.0


def test_dots_over_an_option_are_runs_joined_through_their_means(result: Result) -> None:
    spec = {"x": "rm_params", "y": ["peak/gold"], "colour": "method"}
    axes = panels(draw(result, spec))[""]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == list(SIZES)
    for method, colour in zip(("best-of-n", "ppo"), theme.METHOD_COLOURS, strict=False):
        of_method = cells_of(result, method=method)
        (dots,) = [x for x in axes.lines if x.get_marker() == "o" and to_hex(x.get_color()) == colour]
        assert sorted(zip(dots.get_xdata(), dots.get_ydata(), strict=True)) == sorted(
            (cell.settings["rm_params"], cell.metrics["peak/gold"]) for cell in of_method
        )
        by_size = {cell.settings["rm_params"]: [] for cell in of_method}
        for cell in of_method:
            by_size[cell.settings["rm_params"]].append(cell.metrics["peak/gold"])
        x = sorted(by_size)
        (means,) = lines_like(axes, np.array(x), np.array([sum(by_size[each]) / 3 for each in x]))
        assert to_hex(means.get_color()) == colour


def test_dots_over_a_metric_are_not_joined(result: Result) -> None:
    axes = panels(draw(result, {"x": "rm/val_loss", "y": ["peak/gold"], "colour": "rm_size"}))[""]
    assert len(axes.lines) == 3 and all(line.get_linestyle() == "None" for line in axes.lines)
    assert axes.get_xscale() == "linear"


def test_names_have_positions_in_the_order_of_sizes(result: Result) -> None:
    for method, axes in panels(draw(result, {"x": "rm_size", "y": ["peak/gold"], "panels": "method"})).items():
        (means,) = [line for line in axes.lines if line.get_marker() != "o"]
        of_method = cells_of(result, method=method.lower())
        assert [text.get_text() for text in axes.get_xticklabels()] == list(SIZES)
        expected = [
            np.mean([c.metrics["peak/gold"] for c in of_method if c.settings["rm_size"] == size]) for size in SIZES
        ]
        np.testing.assert_allclose(means.get_ydata(), expected)
        assert list(means.get_xdata()) == list(axes.get_xticks()) == [0, 1, 2]


def test_a_coefficient_of_zero_has_a_position_on_a_log_scale(cell: Callable[..., Cell]) -> None:
    cells = [cell(1.0, kl_coef=kl_coef) for kl_coef in (0.1, 0.0, 0.01)]
    axes = panels(draw(Result("synthetic", {}, cells), {"x": "kl_coef", "y": ["peak/gold"]}))[""]
    assert axes.get_xscale() == "symlog"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.01", "0.1"]
    positions = axes.transData.transform([(value, 0) for value in (0.0, 0.01, 0.1)])[:, 0]
    assert (np.diff(positions) > 0.2 * np.ptp(positions)).all()


def test_each_metric_has_its_own_panel(result: Result) -> None:
    figure = draw(result, {"x": "rm_size", "y": ["peak/gold", "rm/val_loss"], "panels": "method"})
    labels = [axes.get_ylabel() for axes in figure.axes if axes.axison]
    assert labels == ["peak gold\n(standard deviations)"] * 2 + ["validation loss (nats)"] * 2


def test_the_legend_names_colours_and_line_styles(result: Result) -> None:
    assert legend(draw(result, CURVES)) == [
        *("RM size:", *SIZES),
        *("mean over seeds:", "gold", "proxy", "gold of one run"),
    ]
    assert legend(draw(result, {"x": "rm_size", "y": "peak/gold", "colour": ["method", "seed"]}))[:2] == [
        "best-of-n, seed 0",
        "best-of-n, seed 1",
    ]


def test_no_title_runs_into_the_next_and_no_row_has_more_than_four_panels(cell: Callable[..., Cell]) -> None:
    cells = [cell(1.0, n_comparisons=n, rm_size=size) for n in (1000, 2000, 16000) for size in ("1k", "25k")]
    for by in ("n_comparisons", ["n_comparisons", "rm_size"]):
        figure = draw(Result("synthetic", {}, cells), {"x": "sqrt_kl", "y": "gold", "panels": by})
        figure.canvas.draw()
        boxes = [axes._left_title.get_window_extent() for axes in panels(figure).values()]
        rows: dict[int, list[Any]] = {}
        for box in boxes:
            rows.setdefault(round(box.y0), []).append(box)
        for row in rows.values():
            assert len(row) <= 4
            assert all(left.x1 < right.x0 for left, right in pairwise(row))
        assert max(box.x1 for box in boxes) < figure.bbox.x1


@pytest.mark.filterwarnings("error")
def test_a_figure_without_colours_has_no_legend(result: Result) -> None:
    figure = draw(result, {"x": "rm_params", "y": "peak/gold"})
    assert png(figure).startswith(b"\x89PNG")
    (axes,) = figure.axes
    assert axes.yaxis.label.get_window_extent().x0 > 0 and axes.get_window_extent().x1 < figure.bbox.x1


NAMES = [
    ({"x": "rm_sise"}, r"x=rm_sise: no policy run has it; must be one of method"),
    ({"x": "rm_size", "y": "gold"}, r"y=gold: no policy run has it; must be one of seed, rm_params, peak/gold"),
    ({"x": "rm_size", "y": "method"}, r"y=method: is not a number; must be one of seed"),
    ({"y": ["gold", "goald"]}, r"y=goald: no curve has it; over sqrt_kl it must be one of gold, proxy, human"),
    ({"y": []}, r"y=\[\]: must have at least one name"),
    ({"colour": ["method", "rm_sise"]}, r"colour=rm_sise: no policy run has it; must be one of method"),
    ({"panels": "kl_coef"}, r"panels=kl_coef: no policy run has it; must be one of method"),
]


@pytest.mark.parametrize(("part", "message"), NAMES)
def test_an_unknown_name_is_refused_in_one_line_with_the_valid_ones(result: Result, part: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        draw(result, CURVES | part)
    assert "\n" not in str(error.value)


def test_a_statistic_is_drawn_as_its_mean_over_seeds_with_different_auxiliary_rms(cell: Callable[..., Cell]) -> None:
    cells = []
    for seed in (0, 1):
        run = cell(1.0, seed=seed, witnesses=f"test_rm.100k,member.{seed + 1}")
        statistics_S = {"test_rm.100k": run.curve.gold_S + seed}
        cells.append(replace(run, curve=replace(run.curve, statistics_S=statistics_S)))
    figure = draw(Result("synthetic", {}, cells), {"x": "kl", "y": ["gold", "test_rm.100k"], "panels": "rm_size"})
    (axes,) = panels(figure).values()
    (line,) = lines_like(axes, cells[0].curve.kl_S, cells[0].curve.gold_S + 0.5)
    assert line.is_dashed()
    assert "test RM 100k" in legend(figure)


def test_human_judgement_cannot_be_drawn_where_no_curve_has_it(result: Result) -> None:
    without = [replace(cell, curve=replace(cell.curve, human_SP=None)) for cell in result.cells]
    with pytest.raises(UserError, match="y=human: no curve has it; over sqrt_kl it must be one of gold, proxy"):
        draw(replace(result, cells=without), CURVES | {"y": ["gold", "human"]})


def test_the_same_result_gives_the_same_picture_as_wide_as_a_page(result: Result) -> None:
    first, second = (png(draw(result, CURVES)) for _ in range(2))
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.width == round(theme.WIDTH * 150)
        assert image.info.keys() <= {"dpi"}
    assert len(first) < 100_000


def test_win_rates_have_panels_of_their_own_below_with_their_law(cell: Callable[..., Cell]) -> None:
    cells = []
    for size, method, seed in (("1k", "ppo", 0), ("1k", "ppo", 1), ("3k", "ppo", 0), ("3k", "ppo", 1)):
        made = cell(1.0 + 0.1 * seed, method=method, rm_size=size, seed=seed)
        cells.append(replace(made, curve=replace(made.curve, win_SP=0.5 + made.curve.gold_SP / 5)))
    figure = draw(Result("mine", {}, cells), {**CURVES, "y": ["gold", "win_rate"], "panels": "rm_size"})
    drawn = [axes for axes in figure.axes if axes.axison and axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in drawn] == ["RM size 1k", "RM size 3k"] * 2
    assert "win rate" in drawn[2].get_ylabel() and "standard deviations" in drawn[0].get_ylabel()
    for axes, pair in ((drawn[2], cells[:2]), (drawn[3], cells[2:])):
        wins_S = np.mean([each.curve.win_S for each in pair], axis=0)
        d_S = pair[0].curve.sqrt_kl_S
        assert lines_like(axes, d_S, wins_S)
        X = np.column_stack([d_S[1:], -d_S[1:] * np.log(d_S[1:])])
        a, b = np.linalg.lstsq(X, wins_S[1:] - 0.5, rcond=None)[0]
        [law] = [line for line in axes.lines if len(line.get_xdata()) == 100]
        d = np.asarray(law.get_xdata(), float)
        assert np.asarray(law.get_ydata(), float) == pytest.approx(0.5 + d * (a - b * np.log(d)))
    assert "its law, fitted to the mean" in legend(figure)


def test_names_have_rows_with_each_run_its_mean_and_its_interval(cell: Callable[..., Cell]) -> None:
    peaks = {("single", "3k"): [0.2, 0.3, 0.4], ("worst", "3k"): [0.5, 0.5, 0.8], ("worst", "100k"): [0.9]}
    cells = [
        cell(peak + (regime == "clean"), cure=cure, rm_size=size, seed=seed, regime=regime)
        for regime in ("noisy", "clean")
        for (cure, size), values in peaks.items()
        for seed, peak in enumerate(values)
    ]
    spec = {"x": "peak/gold", "y": "cure", "colour": "rm_size", "panels": "regime"}
    by_title = panels(draw(Result("x", {}, cells), spec))
    assert list(by_title) == ["clean", "noisy"]
    axes = by_title["noisy"]
    assert [label.get_text() for label in by_title["clean"].get_yticklabels()] == ["single", "worst"]
    colours = rm_colours(("3k", "100k"))
    for (cure, size), values in peaks.items():
        own = [line for line in axes.lines if to_hex(line.get_color()) == colours[size]]
        drawn = [(np.asarray(line.get_xdata(), float), float(np.mean(line.get_ydata()))) for line in own]
        row = [x for x, at in drawn if round(at) == ("single", "worst").index(cure)]
        assert any(np.array_equal(x, values) for x in row)
        mean, half = np.mean(values), 4.302653 * np.std(values, ddof=1) / 3**0.5 if len(values) > 1 else 0.0
        assert any(x == pytest.approx([mean]) for x in row if len(x) == 1)
        assert len(values) == 1 or any(
            x == pytest.approx([mean - half, mean + half], abs=1e-5) for x in row if len(x) == 2
        )
    assert legend(draw(Result("x", {}, cells), spec)) == ["RM size:", "3k", "100k"]
    with pytest.raises(UserError, match="y=cure: is not a number"):
        draw(Result("x", {}, cells), spec | {"x": "rm_size"})
