"""The figure of a promotion: the curves of candidate and champion."""

from __future__ import annotations

from mlproject.curve import Curve
from mlproject.plotting.colours import rm_colours
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.plotting.theme import MUTED


def evidence_figure(name: str, rm: str, candidate: Curve, champion_rm: str, champion: Curve | None) -> bytes:
    """Gold and proxy of candidate and champion over sqrt(KL), as a PNG, in the colours of their sizes.

    Args:
        name: name of the candidate.
        rm: size, or name, of its reward model.
        candidate: curve of the candidate.
        champion_rm: size, or name, of the champion's reward model; grey where it is the candidate's.
        champion: curve of the champion; None if there is none.
    """
    colours = rm_colours([rm, champion_rm])
    curves = [PlottedCurve(candidate, colours[rm], f"candidate, {name}")]
    if champion is not None:
        curves.append(PlottedCurve(champion, MUTED if champion_rm == rm else colours[champion_rm], "champion"))
    return png(curve_figure(curves))
