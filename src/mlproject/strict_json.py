"""JSON that every reader takes: Python's own writes NaN and Infinity, which are not JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def strict_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON, with null for a number that is not finite.

    Args:
        value: of mappings, sequences, texts and numbers, numpy's included.
        indent: spaces per level; None: one line.

    Raises:
        TypeError: for anything else.

    Examples:
        >>> from mlproject.strict_json import strict_json
        >>> strict_json({"peak": float("nan"), "interval": (0.5, float("inf"))})
        '{"peak": null, "interval": [0.5, null]}'
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
