"""Parts that all figures of curves share, and the small figure of one or two curves.

Axis letters: S curve points, P prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlproject.curve import Array, Curve
from mlproject.laws import MIN_D, Fit
from mlproject.plotting import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GOLD_SHARE = 0.45
"""Least share of a panel's height that gold takes; a proxy that rises higher leaves the panel."""


@dataclass(frozen=True)
class PlottedCurve:
    """A curve in a small figure.

    Attributes:
        curve: gold and proxy over KL.
        colour: of its lines.
        label: prefix of its legend entries; may be empty.
        has_proxy: whether its proxy scores were measured.
    """

    curve: Curve
    colour: str
    label: str = ""
    has_proxy: bool = True


def curve_figure(
    curves: Sequence[PlottedCurve], law: Fit | None = None, stop_kl: float = math.nan, law_fits: bool = True
) -> Figure:
    """Gold with a band of one standard error, proxy and highest point of each curve over sqrt(KL).

    Args:
        curves: the curves.
        law: fitted law to draw over the range of the first curve, or None.
        stop_kl: KL at which the forecast says to stop, nats; drawn where it lies within the curves, nan for none.
        law_fits: False: the law does not explain the points within their errors, and is drawn faint, without numbers.
    """
    figure = theme.new_figure(7.0, 4.0)
    axes = figure.subplots()
    for plotted in curves:
        curve, prefix = plotted.curve, f"{plotted.label}: " if plotted.label else ""
        d_S, best = curve.sqrt_kl_S, int(curve.gold_S.argmax())
        plot_gold_band(axes, curve, d_S, plotted.colour)
        axes.plot(d_S, curve.gold_S, color=plotted.colour, label=f"{prefix}gold ±1 SE", **theme.GOLD_LINE)
        if plotted.has_proxy:
            axes.plot(d_S, curve.proxy_S, color=plotted.colour, label=f"{prefix}proxy", **theme.PROXY_LINE)
        dot: theme.Style = {"color": plotted.colour, "markersize": 7, "markeredgecolor": "white", "linestyle": "none"}
        axes.plot([d_S[best]], [curve.gold_S[best]], marker="o", label=f"{prefix}highest gold", **dot)
    if law is not None:
        d = np.linspace(MIN_D[law.form.name], float(curves[0].curve.sqrt_kl_S.max()), 200)
        says = f"a {law.alpha:.2f}, b {law.beta:.2f}" if law_fits else "does not fit"
        style = theme.LAW_LINE | {"alpha": 1.0 if law_fits else theme.FAINT}
        axes.plot(d, law.value(d), label=f"law {law.form.formula}: {says}", **style)
    if stop_kl <= max(float(plotted.curve.kl_S.max()) for plotted in curves):
        label = f"forecast: stop at {stop_kl:.3g} nats"
        axes.axvline(math.sqrt(stop_kl), color=theme.INK, linewidth=0.8, label=label)
    theme.style_axes(axes, x=theme.SQRT_KL_LABEL, y="score above the initial policy\n(gold standard deviations)")
    theme.kl_axis(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def plot_gold_band(axes: Axes, curve: Curve, x_S: Array, colour: str) -> None:
    """A band of one standard error over prompts about gold; nothing for a single prompt."""
    prompts = curve.gold_SP.shape[1]
    if prompts > 1:
        se_S = curve.gold_SP.std(axis=1, ddof=1) / np.sqrt(prompts)
        axes.fill_between(x_S, curve.gold_S - se_S, curve.gold_S + se_S, color=colour, alpha=0.15, linewidth=0)


def score_limits(scores: Sequence[Array], proxies: Sequence[Array]) -> tuple[float, float]:
    """Limits of the score axis: all of the scores, and as much of the proxies as leaves the scores their share.

    Args:
        scores: gold, and other scores that must be visible, of all curves. Shape: (S,) each.
        proxies: proxy scores of all curves. Shape: (S,) each.
    """
    low = min(0.0, *(float(score_S.min()) for score_S in scores))
    high = max(float(score_S.max()) for score_S in scores)
    high = max(high, min(max(float(proxy_S.max()) for proxy_S in proxies), low + (high - low) / _GOLD_SHARE))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin
