"""Strategy: command lines. Half of them hold values alone that are likely to be accepted, the others also odd ones."""

from __future__ import annotations

import dataclasses
import math

from hypothesis import strategies as st
from tests.fuzz.invented import texts

from mlproject.config.schema import PRESETS, Config, load_config, option_names
from mlproject.options.values import to_text

ENTRY_POINTS = ("main", "ppo", "best_of_n", "proxy", "fit", "promote", "report", "history", "search", "config")
OPTION_FIELDS = {field.name: field for field in dataclasses.fields(Config)}
PRESET_CONFIGS = [load_config(preset, {}) for preset in PRESETS]
REQUIRED = {"ppo": "proxy", "best_of_n": "proxy", "fit": "curve"}


def likely_values(name: str) -> st.SearchStrategy[str]:
    """Texts that an option is likely to accept: a preset's, one of its choices, or a number beside a preset's."""
    field = OPTION_FIELDS[name]
    presets = [getattr(config, name) for config in PRESET_CONFIGS]
    near = [st.sampled_from([to_text(value) for value in presets])]
    if field.metadata["choices"]:
        near.append(st.sampled_from(field.metadata["choices"]))
    largest = max((n for n in presets if isinstance(n, int | float)), default=0)
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    low, high = largest / 4 if low is None else low, min(largest * 4 + 1, math.inf if high is None else high)
    if field.type == "int":
        near.append(st.integers(math.ceil(low), math.floor(high)).map(str))
    if field.type == "float":
        near.append(st.floats(low, high).map(repr))
    if field.type in ("tuple[int, ...]", "tuple[float, ...]"):
        items = st.integers(64, 9_999) if field.type == "tuple[int, ...]" else st.floats(1e-6, 1)
        near.append(st.lists(items, min_size=1, max_size=3, unique=True).map(lambda few: to_text(sorted(few))))
    return st.one_of(near)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """An entry point with some options: half of the lines hold likely values alone, the others also odd ones."""
    entry_point = draw(st.sampled_from(ENTRY_POINTS))
    words = [entry_point, "--preset", draw(st.sampled_from(PRESETS))]
    words += [f"--{REQUIRED[entry_point]}", "x"] if entry_point in REQUIRED else []
    likely = draw(st.booleans())
    for name in draw(st.lists(st.sampled_from(option_names()), min_size=1, max_size=4, unique=True)):
        if likely or draw(st.booleans()):
            text = draw(likely_values(name))
        else:
            name, text = draw(st.one_of(st.just(name), texts)), draw(texts)
        words += [f"--{name}={text}"] if draw(st.booleans()) else [f"--{name}", text]
    return words
