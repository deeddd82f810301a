"""Names that users give, made fit for MLflow and back.

MLflow takes letters, digits, spaces and ``_ - . : /``, no path that could be written shorter (``a//b``, ``a/../b``, a
slash at either end), and 250 characters. Any other character becomes ``_xHHHH_``, with its code in four or more
hexadecimal digits, as in spreadsheets' XML (ECMA-376): ``length > 1.5x`` becomes ``length _x003E_ 1.5x``. An underscore
before what would be read as such a code becomes a code itself. So different names stay different, `unescape` gives a
name back, and a name that MLflow takes is not changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

MAX_LENGTH: Final = 250
"""Characters of a key that MLflow takes."""

_UNFIT = re.compile(
    r"[^\w\-. :/]|_(?=x(?:[0-9A-F]{4}|L[0-9a-f]{32}))|^/|/$|/(?=/)|^\.(?=\.)|(?:(?<=/)|^)\.(?=\.?(?:/|$))"
)
_CODE = re.compile(r"_x([0-9A-F]{4,6})_")
_DIGEST_LENGTH = len("_xL") + 32


def escape(name: str) -> str:
    """A name with every character that MLflow does not take there as a code; of any length.

    Examples:
        >>> from mlproject.names.escape import escape, unescape
        >>> escape("alarms/length > 1.5x"), unescape("alarms/length _x003E_ 1.5x")
        ('alarms/length _x003E_ 1.5x', 'alarms/length > 1.5x')
    """
    return _UNFIT.sub(lambda match: f"_x{ord(match[0]):04X}_", name)


def unescape(name: str) -> str:
    """The name of which `escape` made this one."""
    return _CODE.sub(lambda match: chr(int(match[1], 16)), name)


def fit_key(name: str) -> str:
    """A key for a metric, param or tag: the escaped name, or where that is too long, its beginning and a digest.

    `full_names` says which name a digest belongs to; runs keep that in the tags `mlproject.full_name.<digest>`.
    """
    escaped = escape(name)
    if len(escaped) <= MAX_LENGTH:
        return escaped
    digest = hashlib.sha256(escaped.encode()).hexdigest()[:32]
    return f"{escaped[: MAX_LENGTH - _DIGEST_LENGTH]}_xL{digest}"


def full_names(names: Iterable[str]) -> dict[str, str]:
    """Of those names that are too long for a key, the digest in the key and the escaped name."""
    return {fit_key(name)[-32:]: escape(name) for name in names if len(escape(name)) > MAX_LENGTH}


def original_name(key: str, names: Mapping[str, str] | None = None) -> str:
    """The inverse of `fit_key`.

    Args:
        key: of a metric, param or tag.
        names: escaped names by digest, as `full_names` gives them; needed for shortened keys only.

    Raises:
        KeyError: for a shortened key whose digest is not among the names.
    """
    shortened = re.search(r"_xL([0-9a-f]{32})$", key)
    return unescape((names or {})[shortened[1]] if shortened and len(key) == MAX_LENGTH else key)
