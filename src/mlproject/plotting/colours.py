"""One colour for each reward model, the same in reports, on pages of searches and in MLflow's charts; no matplotlib."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from mlproject.models.sizes import SIZES

# A rainbow from the smallest to the largest, dark enough for thin lines on white.
_SIZES = (
    "#5e3c99", "#2b6cb0", "#1793a5", "#2e9e5b", "#8aa31d", "#d99a1c", "#e0611f", "#b3202c", "#7d1128",
    "#c2407e", "#8f2f8a", "#5b2a4f", "#6b4a2b", "#3d3a36", "#111111",
)  # fmt: skip
_LADDER = dict(zip(SIZES, _SIZES, strict=True))
_PALE = 0.6
"""Share of white in a pale colour."""


def rm_colours(names: Iterable[str]) -> dict[str, str]:
    """Colour of each reward model, in the order given.

    Args:
        names: sizes of the ladder, or checkpoints.

    Returns:
        "#rrggbb" by name: of a size always the same, from violet for the smallest to red at 1m, then over purple and
        brown to black. A checkpoint has one of the same colours, chosen by its name; of several checkpoints each has
        one of its own, as long as there are enough.
    """
    names = list(dict.fromkeys(names))
    taken: dict[str, str] = {}
    for name in sorted(names):
        if name not in _LADDER:
            first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % len(_SIZES)
            order = _SIZES[first:] + _SIZES[:first]
            taken[name] = next((colour for colour in order if colour not in taken.values()), order[0])
    return {name: _LADDER.get(name) or taken[name] for name in names}


def pale(colour: str) -> str:
    """A light tint of a colour, for what ended early.

    Args:
        colour: "#rrggbb".
    """
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + _PALE * (255 - part)):02x}" for part in parts)
