"""The figure of a promotion: the candidate's curve, and the champion's."""

from __future__ import annotations

from mlproject.curve import Curve
from mlproject.plotting.png import png
from mlproject.plotting.theme import GOLD_LINE, METHOD_COLOURS, MUTED, PROXY_LINE, kl_axis, new_figure, style_axes


def evidence_figure(name: str, candidate: Curve, champion: Curve | None) -> bytes:
    """Gold (solid) and proxy (dashed) over sqrt(KL), as a PNG.

    Args:
        name: of the candidate.
        candidate: its curve.
        champion: the champion's, or None.
    """
    figure = new_figure(6.0, 3.6)
    axes = figure.subplots()
    curves = [(f"candidate, {name}", candidate, METHOD_COLOURS[0])]
    if champion is not None:
        curves.append(("champion", champion, MUTED))
    for label, curve, colour in curves:
        axes.plot(curve.sqrt_kl_S, curve.gold_S, color=colour, label=f"{label}: gold", **GOLD_LINE)
        axes.plot(curve.sqrt_kl_S, curve.proxy_S, color=colour, label=f"{label}: proxy", **PROXY_LINE)
        peak = curve.peak()
        axes.plot(peak.kl**0.5, peak.gold, "o", color=colour, markersize=6)
    style_axes(axes, x="d = sqrt(KL) (square-root nats)", y="score (gold standard deviations)")
    kl_axis(axes)
    axes.legend(frameon=False, fontsize=8)
    return png(figure)
