"""Numbered columns (`response_0`, `response_1`, `rm_0`, `rm_1`, ...): one row for each prompt, read as lists.

Axis letters: B rows of a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

_NUMBERED = re.compile(r"(.*?)[ _.-]?(\d+)")


def pack(stored: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Join numbered columns to columns of lists, where a table has numbered columns of texts.

    Only columns with the same numbers as those of texts are joined: without texts, `rm_1` and `rm_2` are reward models.

    Args:
        stored: the columns by name.

    Returns:
        the columns; a joined one has the name without the number, at the place of its first.
    """
    families: dict[str, dict[int, str]] = {}
    for name in stored:
        if match := _NUMBERED.fullmatch(name):
            families.setdefault(match[1], {})[int(match[2])] = name
    texts = [
        set(numbers)
        for numbers in families.values()
        if len(numbers) > 1 and all(_is_text(stored[name].type) for name in numbers.values())
    ]
    packed: dict[str, pa.Array] = {}
    for name, array in stored.items():
        match = _NUMBERED.fullmatch(name)
        numbers = families[match[1]] if match else {}
        if match is None or set(numbers) not in texts or match[1] in stored:
            packed[name] = array
        elif match[1] not in packed:
            packed[match[1]] = _lists([stored[numbers[number]] for number in sorted(numbers)])
    return packed


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _lists(arrays: list[pa.Array]) -> pa.Array:
    """One list for each row, of its values in all arrays."""
    kinds = {array.type for array in arrays}
    if len(kinds) > 1:  # one that is empty, or whole numbers beside others
        wanted = pa.large_string() if any(map(_is_text, kinds)) else pa.float64()
        arrays = [array.cast(wanted) for array in arrays]
    rows, columns = len(arrays[0]), len(arrays)
    order_B = (np.arange(rows)[:, None] + rows * np.arange(columns)).ravel()
    values = pa.concat_arrays(arrays).take(pa.array(order_B))
    return pa.LargeListArray.from_arrays(pa.array(np.arange(rows + 1) * columns), values)
