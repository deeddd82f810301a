"""A user's comparisons: a prompt, the chosen response and the rejected one, from any of the kinds of files known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlproject.errors import UserError
from mlproject.worlds.files.columns import is_as_before, names_a_side, of_columns, refuse_ignored_winner, two_responses
from mlproject.worlds.files.messages import EmptyTurnError
from mlproject.worlds.files.reading import EMPTY, IDENTICAL, TIES, Reading, counted
from mlproject.worlds.files.rows import InvalidRows, Row
from mlproject.worlds.files.schemas import AUTO, COLUMNS, FIELDS, columns_of, named, recognised
from mlproject.worlds.files.schemas.schema import Dropped, Pair, Schema
from mlproject.worlds.files.sources import read_rows
from mlproject.worlds.files.winner import TIE, AmbiguousError


@dataclass(frozen=True)
class Preference:
    """A prompt with the preferred of two responses and the other one."""

    prompt: str
    chosen: str
    rejected: str


def read_preferences(
    path: Path, fields: Sequence[str], invalid: InvalidRows, preference_format: str = AUTO, preferred: str = ""
) -> list[Preference]:
    """The comparisons of a file, in order.

    Args:
        path: path of the file.
        fields: names of the three fields: prompt, chosen, rejected. Others than these are taken for a mapping.
        invalid: collects the invalid rows.
        preference_format: one of `FORMAT_NAMES`.
        preferred: column that says which of two responses won; empty: the one that the kind of file has.

    Raises:
        UserError: if a row is invalid (unless such rows are skipped), no comparison is left, or it is unclear which
            side won.
    """
    return read_with_counts(path, fields, invalid, preference_format, preferred)[0]


def read_with_counts(
    path: Path, fields: Sequence[str], invalid: InvalidRows, preference_format: str = AUTO, preferred: str = ""
) -> tuple[list[Preference], Reading]:
    """The same, with how the file was read and what was left out of it."""
    skipped_before = len(invalid.skipped)
    rows = read_rows(path, "preferences")
    schema = _schema(path, [row for row in rows if not row.problem], fields, preference_format, preferred)
    is_own = schema.name == COLUMNS and not preferred
    reading = Reading("preferences", path, schema.title, schema.says, is_as_before=not preferred)
    preferences: list[Preference] = []
    for row in schema.grouped(rows):
        try:
            if row.problem:
                raise ValueError(row.problem)
            for pair in schema.pairs(row):
                name = next((name for name in (fields[0], "chosen") if name in row.values), "of the prompt")
                invalid.check_prompt(name, pair.prompt)
                preferences += _preferred(pair, is_own, reading)
                reading.is_as_before &= is_as_before(row, pair, fields)
        except Dropped as reason:
            reading.dropped[str(reason)] += 1
        except ValueError as error:
            if isinstance(error, EmptyTurnError) and not is_own:
                reading.dropped[EMPTY] += 1
            else:
                invalid.report(row.place, str(error))
    reading.count, reading.skipped = len(preferences), len(invalid.skipped) - skipped_before
    reading.is_as_before &= reading.dropped.total() == reading.dropped[IDENTICAL]  # of these 0.1 made invalid rows
    if not preferences:
        dropped = ", ".join(counted(count, why) for why, count in reading.dropped.items())
        left_out = f" All were dropped ({dropped})." if dropped else ""
        raise UserError(f"preferences={path}: must contain a comparison.{invalid.summary()}{left_out} Add comparisons.")
    return preferences, reading


def _schema(path: Path, rows: Sequence[Row], fields: Sequence[str], preference_format: str, preferred: str) -> Schema:
    is_mapped = tuple(fields) != FIELDS
    try:
        if preference_format == COLUMNS or is_mapped:
            return of_columns(fields, preferred, rows, exact=preference_format == COLUMNS)
        schema = recognised(rows) if preference_format == AUTO else named(preference_format, rows)
        if schema is None and preference_format != AUTO:
            problem = f"must have the columns {columns_of(preference_format)}, but has {_columns(rows)}"
            raise AmbiguousError(problem, f"Remove preference_format={preference_format}.")
        if schema is None:
            return _unpublished(rows, preferred)
        if not preferred:
            if {"chosen", "rejected"} <= schema.columns:
                refuse_ignored_winner(FIELDS, rows)
            return schema
        if preferred not in schema.winners or schema.with_winner is None:
            problem = f"is read as {schema.title}, {schema.says}, which preferred={preferred} does not change"
            raise AmbiguousError(problem, "Remove preferred, or name the columns by preference_fields.")
        return schema.with_winner(preferred)
    except AmbiguousError as error:
        raise UserError(f"preferences={path}: {error}. {error.action}") from None


def _unpublished(rows: Sequence[Row], preferred: str) -> Schema:
    columns = {name for row in rows for name in row.values}
    if not {"chosen", "rejected"} <= columns:
        schema = two_responses(preferred, rows)
        if schema is not None:
            return schema
    elif not preferred and names_a_side("chosen", rows):
        return two_responses("chosen", rows) or of_columns(FIELDS, preferred, rows)
    if rows and not {"chosen", "rejected"} & columns:
        raise AmbiguousError(
            "must have the fields prompt, chosen, rejected or be of a kind that docs/files.md lists, but has "
            f"{_columns(rows)}",
            "Name the columns by preference_fields=PROMPT,CHOSEN,REJECTED, and by preferred=COLUMN the one that says "
            "which side won.",
        )
    return of_columns(FIELDS, preferred, rows)


def _columns(rows: Sequence[Row]) -> str:
    return ", ".join(map(str, rows[0].values)) if rows else "no rows"


def _preferred(pair: Pair, is_own: bool, reading: Reading) -> Iterable[Preference]:
    """The preference of a pair; none for a tie, and in a published file for equal or empty responses.

    Raises:
        ValueError: for equal responses in the user's own columns, where they are a mistake.
    """
    if pair.winner is TIE:
        reading.dropped[TIES] += 1
    elif pair.first == pair.second and is_own:
        raise ValueError("fields chosen and rejected must differ")
    elif pair.first == pair.second:
        reading.dropped[IDENTICAL] += 1
    elif not is_own and not (pair.first.strip() and pair.second.strip()):
        reading.dropped[EMPTY] += 1
    else:
        responses = (pair.first, pair.second)
        yield Preference(pair.prompt, responses[pair.winner], responses[1 - pair.winner])
