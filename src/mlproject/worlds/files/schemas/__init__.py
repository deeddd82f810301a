"""The published kinds of preference files, and which of them a file is."""

from __future__ import annotations

from collections.abc import Sequence

from mlproject.worlds.files.rows import Row
from mlproject.worlds.files.schemas.chats import (
    INSTRUCTION,
    OPENAI,
    ORCA,
    REWARDBENCH,
    SHAREGPT,
    STACK_EXCHANGE,
    SWIFT,
    ULTRAFEEDBACK,
)
from mlproject.worlds.files.schemas.lists import (
    HELPSTEER2,
    NECTAR,
    REWARDBENCH2,
    SUMMARIZE,
    TLC_GOLD,
    TLC_PREFERENCES,
)
from mlproject.worlds.files.schemas.schema import Schema
from mlproject.worlds.files.schemas.transcripts import HH
from mlproject.worlds.files.schemas.two_sides import (
    ALPACA_FARM,
    ARENA,
    ARENA_KAGGLE,
    HELPSTEER3,
    HELPSTEER_PREFERENCE,
    PKU,
    SHP,
    WEBGPT,
)

SCHEMAS: tuple[Schema, ...] = (
    HH, SUMMARIZE, SHP, PKU, HELPSTEER_PREFERENCE, HELPSTEER3, HELPSTEER2, NECTAR, ALPACA_FARM, TLC_PREFERENCES,
    TLC_GOLD, ARENA, ARENA_KAGGLE, WEBGPT, OPENAI, *SHAREGPT, SWIFT, STACK_EXCHANGE, REWARDBENCH2, REWARDBENCH,
    *ULTRAFEEDBACK, *ORCA, INSTRUCTION,
)  # fmt: skip
"""In the order in which they are tried."""

FIELDS = ("prompt", "chosen", "rejected")
"""Default of `preference_fields`; others are a mapping of the user's."""
AUTO, COLUMNS = "auto", "columns"
FORMAT_NAMES = (AUTO, COLUMNS, *dict.fromkeys(schema.name for schema in SCHEMAS))
"""Values of `preference_format`: recognise the file, read the columns of `preference_fields` alone, or one schema."""


def recognised(rows: Sequence[Row]) -> Schema | None:
    """The schema of a file, by its first rows; None if it is none of them."""
    return next((schema for schema in SCHEMAS if schema.matches(rows)), None)


def named(name: str, rows: Sequence[Row]) -> Schema | None:
    """The schema of a name, if the first row has its columns."""
    columns = set(rows[0].values) if rows else set()
    fitting = [schema for schema in SCHEMAS if schema.name == name and schema.columns <= columns]
    return next((schema for schema in fitting if schema.matches(rows)), fitting[0] if fitting else None)


def columns_of(name: str) -> str:
    """The columns of the schema of a name, for error messages."""
    return " or ".join(", ".join(sorted(schema.columns)) for schema in SCHEMAS if schema.name == name)
