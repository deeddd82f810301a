"""JSON as its standard has it (RFC 8259): what is not a finite number is null, so that every reader takes it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def strict_json(value: Any, *, default: Callable[[Any], Any] | None = None, **layout: Any) -> str:
    """A value as JSON text.

    Args:
        value: numbers of numpy are written as numbers, its arrays as lists; nan and infinity at any depth as null.
        default: turns what JSON has no form for into something that it has.
        layout: `indent`, `separators`, `sort_keys` and `ensure_ascii` of `json.dumps`.

    Raises:
        TypeError: for what JSON has no form for.

    Examples:
        >>> from mlproject.strict_json import strict_json
        >>> strict_json({"kl": 1.5, "peak": [float("nan"), float("inf")]})
        '{"kl": 1.5, "peak": [null, null]}'
    """
    return json.dumps(_strict(value, default), allow_nan=False, **layout)


def repeated_key(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """The first key of an object that it has again, where `json` would silently take the last value; None without one.

    Args:
        pairs: keys and values, as `json.loads` hands them to its `object_pairs_hook`.

    Examples:
        >>> from mlproject.strict_json import repeated_key
        >>> repeated_key([("kl", 1), ("gold", 2), ("gold", 3), ("kl", 4)])
        'kl'
    """
    counts = Counter(key for key, _ in pairs)
    return next((key for key, _ in pairs if counts[key] > 1), None)


def _strict(value: Any, default: Callable[[Any], Any] | None) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {key: _strict(item, default) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item, default) for item in value]
    if default is None:
        raise TypeError(f"JSON has no form for a {type(value).__name__}")
    return _strict(default(value), default)
