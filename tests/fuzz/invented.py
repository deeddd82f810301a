"""Strategies: what people and machines write where a number, a name, a table or a file is asked for."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pandas as pd
import yaml
from hypothesis import strategies as st

ODD_TEXTS = (
    "", " ", "\t", "NaN", "nan", "inf", "-inf", "1e309", "-1", "0", "-0.0", "1_000", "0x10", "٣", "１２", "½",
    "1e-400", "9" * 400,
    "true", "yes", "null", "~", "[1,2]", "{a: 1}", "1,2,,3", ",", " 1 , 2 ", "../../etc", "/", "\x00", "a\x00b",
    "a\nb",
    "\ud800", "💥", "%s", "{0}", "$HOME", "`id`", "; rm", "'", '"', "--x", "\u200b", "\u202e", "./nope",
    "/dev/null", "~nobody/x",
    "models:/x@y", "sqlite:///x", "postgresql://u:p@h/d", "2**70", "18446744073709551616", "1e18", "a" * 5000, "ﬀ",
    "İ", "\x85", "\u2028",
)  # fmt: skip

texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=20), st.integers().map(str), st.floats().map(repr))
numbers = st.one_of(
    st.floats(-5, 60),
    st.floats(),
    st.sampled_from((0.0, 1.0, 1e-320, 1e16, 1e300, -1e300, math.nan, math.inf)),
    st.integers(-3, 100),
    st.integers(-(10**30), 10**30),
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none(), st.just(10**400), st.dates(), st.binary(max_size=4))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


def json_text(value: Any) -> str:
    """JSON, as Python writes it: also nan, half surrogates, and texts for what JSON has no form for."""
    return json.dumps(value, default=str)


@st.composite
def damaged(draw: st.DrawFn, content: bytes, most: int = 3) -> bytes:
    """A file in which something was replaced, inserted, removed or cut off."""
    pieces = (
        b",", b";", b"\n", b"\r", b'"', b"{", b"}", b"[", b"]", b":", b"\0", b"\xff", b"\xef\xbb\xbf", b"nan",
        b"-", b"&a ", b"*a",
        b"<<: ", b"!!python/object:os.system ", b"9" * 320, b"1e308", b"[" * 2000, b"\\ud800", b"\xc2\x85", b"- ",
        b"true", b"null", b"\t",
    )  # fmt: skip
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(content)))
        end = at + draw(st.integers(0, 12))
        piece = draw(st.one_of(st.sampled_from(pieces), st.binary(max_size=3)))
        content = content[:at] + piece + (content[end:] if draw(st.integers(0, 9)) else b"")
    return content


@st.composite
def altered(draw: st.DrawFn, mapping: dict[str, Any], most: int = 3) -> dict[str, Any]:
    """A mapping of which some values are others, some keys are missing, and some are new."""
    result = dict(mapping)
    for _ in range(draw(st.integers(1, most))):
        key = draw(st.one_of(st.sampled_from(sorted(mapping)), texts))
        if draw(st.integers(0, 4)):
            result[key] = draw(values)
        else:
            result.pop(key, None)
    return result


def yaml_text(value: Any) -> str:
    """YAML; of what it has no form for, the text of Python."""
    try:
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, ValueError):  # an integer of 400 digits
        return repr(value)


def as_parquet(table: pd.DataFrame) -> bytes | None:
    """Parquet, each column with whatever type its cells have; None where they have no one."""
    buffer = io.BytesIO()
    try:
        table.convert_dtypes().to_parquet(buffer)
    except Exception:  # Arrow's many words for cells that do not go together
        return None
    return buffer.getvalue()


@st.composite
def tables(draw: st.DrawFn, good: pd.DataFrame) -> tuple[str, bytes]:
    """A table with odd cells, in one of the kinds of files, perhaps damaged."""
    table = good.astype(object)
    for _ in range(draw(st.integers(0, 3))):
        row, column = draw(st.integers(0, len(table) - 1)), draw(st.integers(0, table.shape[1] - 1))
        table.iat[row, column] = draw(st.one_of(scalars, values))
    if not draw(st.integers(0, 5)):
        names = list(table)
        names[draw(st.integers(0, len(names) - 1))] = draw(texts)
        table.columns = pd.Index(names, dtype=object)  # half a surrogate is no string of Arrow's
    if not draw(st.integers(0, 5)):
        table = table.sample(frac=1, random_state=draw(st.integers(0, 99)))
    suffix = draw(st.sampled_from((".csv", ".tsv", ".jsonl", ".json")))
    if not draw(st.integers(0, 4)) and (content := as_parquet(table)) is not None:
        return ".parquet", content if draw(st.booleans()) else draw(damaged(content))
    if suffix in (".csv", ".tsv"):
        text = table.to_csv(index=False, sep="," if suffix == ".csv" else "\t", errors="replace")
    else:
        rows = [dict(zip(table, row, strict=True)) for row in table.itertuples(index=False)]
        text = "\n".join(map(json_text, rows)) if suffix == ".jsonl" else json_text(rows)
    content = text.encode("utf-8", "replace")
    return suffix, content if draw(st.booleans()) else draw(damaged(content))
