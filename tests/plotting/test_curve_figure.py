"""The small figure of one or two curves, and the limits of score axes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from PIL import Image

from mlproject.curve import Curve
from mlproject.laws import FORMS, fit_form
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure, score_limits
from mlproject.plotting.png import png

D = np.linspace(0.0, 3.0, 13)


@pytest.fixture
def curve() -> Curve:
    gold_SP = (D * (1.2 - 0.3 * D))[:, None] + np.array([-0.3, 0.0, 0.3])
    return Curve(np.arange(13), D**2, gold_SP + D[:, None], gold_SP)


def line(axes: Axes, label: str) -> Line2D:
    return next(line for line in axes.lines if str(line.get_label()).startswith(label))


def test_gold_proxy_and_peak_of_each_curve_are_drawn_over_sqrt_kl(curve: Curve) -> None:
    lower = Curve(curve.steps_S, curve.kl_S, curve.proxy_SP, curve.gold_SP - 1)
    axes = curve_figure([PlottedCurve(curve, "red", "candidate"), PlottedCurve(lower, "blue", "champion")]).axes[0]
    for name, shown, colour in (("candidate", curve, "red"), ("champion", lower, "blue")):
        for score, values_S in (("gold", shown.gold_S), ("proxy", shown.proxy_S)):
            drawn = line(axes, f"{name}: {score}")
            np.testing.assert_allclose(drawn.get_xdata(), D)
            np.testing.assert_allclose(drawn.get_ydata(), values_S)
            assert drawn.get_color() == colour
    peaks = [(*dot.get_xdata(), *dot.get_ydata()) for dot in axes.lines if dot.get_marker() == "o"]
    assert peaks == [(pytest.approx(2.0), pytest.approx(1.2)), (pytest.approx(2.0), pytest.approx(0.2))]
    band = axes.collections[0].get_paths()[0].vertices  # type: ignore[attr-defined]
    se = 0.3 / np.sqrt(3)
    assert band[:, 1].max() == pytest.approx(1.2 + se)


def test_the_law_and_a_stop_within_the_curve_are_drawn(curve: Curve) -> None:
    law = fit_form(FORMS["best-of-n"], D, curve.gold_S)
    axes = curve_figure([PlottedCurve(curve, "red", has_proxy=False)], law, stop_kl=4.0).axes[0]
    drawn = line(axes, "law d (a - b d): a 1.20, b 0.30")
    np.testing.assert_allclose(drawn.get_ydata(), 1.2 * drawn.get_xdata() - 0.3 * np.square(drawn.get_xdata()))
    assert list(line(axes, "forecast: stop at 4 nats").get_xdata()) == [2.0, 2.0]
    assert not [each for each in axes.lines if str(each.get_label()).startswith("proxy")]


@pytest.mark.parametrize("stop_kl", [float("nan"), 9.1])
def test_a_stop_that_is_unknown_or_beyond_the_curve_is_not_drawn(curve: Curve, stop_kl: float) -> None:
    axes = curve_figure([PlottedCurve(curve, "red")], stop_kl=stop_kl).axes[0]
    assert not [each for each in axes.lines if str(each.get_label()).startswith("forecast")]


def test_limits_contain_all_scores_and_leave_them_their_share_of_the_height() -> None:
    low, high = score_limits([np.array([0.0, 1.0]), np.array([-0.5, 0.5])], [np.array([0.0, 50.0])])
    height = 1.5 / 0.45  # scores from -.5 to 1 take 45 % of the height without margins of 5 %
    assert (low, high) == (pytest.approx(-0.5 - 0.05 * height), pytest.approx(-0.5 + 1.05 * height))
    assert score_limits([np.array([0.0, 1.0])], [np.array([0.2])]) == (pytest.approx(-0.05), pytest.approx(1.05))
    assert score_limits([np.zeros(2)], [np.zeros(2)]) == (-1.0, 1.0)


def test_png_files_have_a_palette_and_equal_figures_give_equal_bytes(curve: Curve) -> None:
    first, second = (png(curve_figure([PlottedCurve(curve, "red")])) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).mode == "P"
