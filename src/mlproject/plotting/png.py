"""Figures as small PNG files."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image

_DPI = 150


def png(figure: Figure, dpi: int = _DPI) -> bytes:
    """The figure as a PNG with at most 256 colours; equal figures give equal bytes.

    Args:
        figure: the figure.
        dpi: pixels per inch.
    """
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=dpi)
    with Image.open(raw) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
