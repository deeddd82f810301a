"""Every reward model has one colour, wherever it is drawn."""

from __future__ import annotations

import colorsys
import re

from mlproject.models.sizes import SIZES
from mlproject.plotting.colours import pale, rm_colours
from mlproject.plotting.theme import size_colours


def test_every_size_of_the_ladder_has_a_colour_of_its_own() -> None:
    colours = rm_colours(SIZES)

    assert list(colours) == list(SIZES) and len(set(colours.values())) == len(SIZES)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours.values())


def test_a_size_has_the_same_colour_whatever_is_drawn_beside_it() -> None:
    assert rm_colours(["25k", "./mine"])["25k"] == rm_colours(["25k"])["25k"] == rm_colours(SIZES)["25k"]
    figure = size_colours({"100k": 100160, "./mine": 10_000, "3k": 3024})
    assert list(figure) == ["3k", "./mine", "100k"], "smallest first"
    assert figure["3k"] == rm_colours(["3k"])["3k"]


def test_checkpoints_are_told_apart_and_their_colours_do_not_hang_on_the_order() -> None:
    names = [f"./rm-{i}" for i in range(12)]

    colours = rm_colours(names)

    assert len(set(colours.values())) == len(names)
    assert rm_colours(names[::-1]) == colours
    assert all(rm_colours([name])[name] in rm_colours(SIZES).values() for name in names)


def test_a_pale_colour_is_lighter_and_of_the_same_hue() -> None:
    for colour in rm_colours(list(SIZES)[:-2]).values():
        before, after = (
            colorsys.rgb_to_hls(*(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5))) for c in (colour, pale(colour))
        )
        assert after[1] > before[1] + 0.2 and abs(after[0] - before[0]) < 0.02
