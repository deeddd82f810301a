"""The figure of a promotion: the curves of candidate and champion."""

from __future__ import annotations

from mlproject.curve import Curve
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.plotting.theme import METHOD_COLOURS, MUTED


def evidence_figure(name: str, candidate: Curve, champion: Curve | None) -> bytes:
    """Gold and proxy of candidate and champion over sqrt(KL), as a PNG.

    Args:
        name: name of the candidate.
        candidate: curve of the candidate.
        champion: curve of the champion; None if there is none.
    """
    curves = [PlottedCurve(candidate, METHOD_COLOURS[0], f"candidate, {name}")]
    if champion is not None:
        curves.append(PlottedCurve(champion, MUTED, "champion"))
    return png(curve_figure(curves))
