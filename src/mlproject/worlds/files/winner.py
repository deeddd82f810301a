"""Which of two responses won, as a column of the file says it: one rule for every set of values.

- A text names a side: the column of a response or its last part, `A`/`B`, `model_a`/`model_b`, `first`/`second`, `A>B`;
  the name of a model in `model_a` and `model_b`; the text of a response; or neither: `tie`, `both`, `draw`, ...
- 0 and 1, for columns without numbers or with 0 and 1: 0 the first response, 1 the second.
- 1 and 2, for columns without numbers or with 1 and 2 (with these also fractions; 1.5 is a tie): in this order.
- Numbers of which some are negative, a strength: below 0 the first, above 0 the second, 0 a tie.
- True and false, or 1 and 0, in a column that names one side (`winner_model_a`, `prefers_b`): that side where true.

Whatever could mean either side is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.worlds.files.rows import Row, number_of

FIRST, SECOND, TIE = 0, 1, None
Side = int | None
"""0: the first response won, 1: the second, None: neither."""

_TIES = {
    "tie", "ties", "tied", "draw", "equal", "same", "both", "neither", "both_bad", "bothbad", "both bad", "both_good",
    "tie (bothbad)", "tie (both bad)", "tie_bothbad", "tie_both_bad", "a=b", "a = b",
}  # fmt: skip
_ORDER = {"first": FIRST, "left": FIRST, "a": FIRST, "second": SECOND, "right": SECOND, "b": SECOND}
_LOSERS = re.compile(r"(?:.*_)?(?:loser|losing|lost|loses|worse|worst|rejected|inferior|dispreferred)(?:_.*)?")


class AmbiguousError(ValueError):
    """A file does not say which side won: it is no single row that is at fault.

    Args:
        problem: what is wrong.
        action: what the user can do, a whole sentence.
    """

    def __init__(self, problem: str, action: str = "Name the values: preferred=COLUMN=FIRST/SECOND.") -> None:
        super().__init__(problem)
        self.action = action


@dataclass(frozen=True)
class WinnerRule:
    """How a column says which side won.

    Attributes:
        says: the rule in a few words, for the line that says how a file was read.
        side: side of a row; raises ValueError where its value is none.
    """

    says: str
    side: Callable[[Row], Side]


def rule_for(column: str, fields: tuple[str, str], rows: Sequence[Row]) -> WinnerRule:
    """The rule that the values of a column ask for.

    Args:
        column: `COLUMN`; `COLUMN=FIRST/SECOND`, the two values that name the sides; or `COLUMN,COLUMN`, the scores of
            the two responses, of which the higher wins.
        fields: columns of the first and the second response.
        rows: all rows of the file.

    Raises:
        AmbiguousError: where the column is missing or its values could mean either side.
    """
    scores = column.split(",")
    if len(scores) == 2:
        _check_columns(scores, rows)
        return WinnerRule(f"the higher of {scores[0]} and {scores[1]}", lambda row: higher(row, *scores))
    column, equals, values = column.partition("=")
    _check_columns([column], rows)
    if equals:
        return _given(column, values)
    if _LOSERS.fullmatch(plain_name(column)):
        action = f"Give preferred={column}=VALUE/VALUE, its values where the first response won and where the second."
        raise AmbiguousError(f"{column} seems to say which response lost", action)
    label = [label_of(field, other) for field, other in (fields, fields[::-1])]
    found = {symbol_of(row.values.get(column)) for row in rows}
    words = {value for value in found if isinstance(value, str)}
    numbers = {value for value in found if isinstance(value, float)}
    truths = {value for value in found if isinstance(value, bool)}
    named = _named_side(column, label)
    if named is not None and not words and (truths or {0.0} <= numbers <= {0.0, 1.0}):
        truth = fields[named]
        return WinnerRule(f"{column}: {truth} where true", lambda row: _indicated(row, column, named))
    if truths:
        raise AmbiguousError(f"true and false in {column} do not say which of {fields[0]} and {fields[1]} won")
    threshold, says = _threshold(column, fields, label, numbers) if numbers else (0.0, "")
    return WinnerRule(says or column, lambda row: _side(row, column, fields, label, threshold))


def higher(row: Row, first: str, second: str) -> Side:
    """The side of the higher of two scores; a tie if they are equal."""
    scores = number_of(row, first), number_of(row, second)
    return TIE if scores[0] == scores[1] else FIRST if scores[0] > scores[1] else SECOND


def plain_name(column: str) -> str:
    """The name of a column in lower case, with underscores: `betterResponse` is better_response."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", column)
    return re.sub(r"[^a-z0-9]+", "_", words.lower())


_UNKNOWN = object()


def _check_columns(columns: Sequence[str], rows: Sequence[Row]) -> None:
    for column in columns:
        if not any(column in row.values for row in rows):
            has = ", ".join(map(str, rows[0].values)) if rows else "no rows"
            raise AmbiguousError(f"column {column} is missing; the file has {has}")


def _given(column: str, values: str) -> WinnerRule:
    first, slash, second = values.partition("/")
    meaning = {symbol_of(first): FIRST, symbol_of(second): SECOND}
    if not slash or len(meaning) < 2:
        raise AmbiguousError(f"{column}={values} must name two values, as in {column}=1/0: the first response's first")

    def side(row: Row) -> Side:
        symbol = symbol_of(row.value(column))
        if symbol in meaning:
            return meaning[symbol]
        if isinstance(symbol, str) and symbol in _TIES:
            return TIE
        raise ValueError(f"field {column} must be {first}, {second} or tie, not {row.value(column)!r}")

    return WinnerRule(f"{column}: {first} for the first, {second} for the second", side)


def symbol_of(value: Any) -> str | float | bool | None:
    """A value that says a side: a truth, a number, or a text in lower case; None for an empty one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return None if value != value else float(value)
    if not isinstance(value, str):
        return None if value is None else str(value)
    text = value.strip().strip("[]").strip().lower()
    if text in ("true", "false"):
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        return text or None
    return number if number == number else None


def label_of(field: str, other: str) -> str:
    """What distinguishes a column from another: `a` of response_a, `1` of output_1."""
    start = len(common_prefix(field, other))
    field, other = field[start:], other[start:]
    return field[: len(field) - len(common_prefix(field[::-1], other[::-1]))].lower().strip("_ ")


def common_prefix(first: str, second: str) -> str:
    """The text that both begin with."""
    same, end = 0, min(len(first), len(second))  # by halves: texts are long and compared at once
    while same < end:
        middle = (same + end + 1) // 2
        if first[same:middle] == second[same:middle]:
            same = middle
        else:
            end = middle - 1
    return first[:same]


def _named_side(column: str, label: Sequence[str]) -> Side:
    parts = plain_name(column).split("_")
    named = [side for side in (FIRST, SECOND) if label[side] and label[side] in parts]
    return named[0] if len(named) == 1 else None


def _indicated(row: Row, column: str, named: int) -> Side:
    values = {name: symbol_of(value) for name, value in row.values.items()}
    if any("tie" in re.split(r"[^a-z]+", str(name).lower()) and value in (True, 1.0) for name, value in values.items()):
        return TIE
    if values.get(column) not in (True, False):
        raise ValueError(f"field {column} must be true or false, not {row.value(column)!r}")
    return named if values[column] else 1 - named


def _threshold(column: str, fields: tuple[str, str], label: Sequence[str], numbers: set[float]) -> tuple[float, str]:
    """The number below which the first response won and above which the second, and the rule in words."""
    low, high = min(numbers), max(numbers)
    first, second = fields
    if _is_reversed(label):
        raise AmbiguousError(f"numbers in {column} need the columns in their order, {second} before {first}")
    if low < 0:
        return 0.0, f"{column}: below 0 {first}, above 0 {second}"
    numerals = [int(text) for text in label if text.isdigit()]
    starts = [0, 1] if len(numerals) < 2 else [numerals[0]] if numerals[1] == numerals[0] + 1 else []
    fits = [
        start
        for start in starts
        if start <= low and high <= start + 1 and (numbers <= {start, start + 1} or (start == 1 and numerals))
    ]
    if len(fits) == 1:
        return fits[0] + 0.5, f"{column}: {fits[0]} {first}, {fits[0] + 1} {second}"
    shown = ", ".join(f"{number:g}" for number in sorted(numbers)[:5]) + (", ..." if len(numbers) > 5 else "")
    raise AmbiguousError(f"{shown} in {column} do not say which of {first} and {second} won")


def _word_side(word: str, fields: Sequence[str], label: Sequence[str]) -> Any:
    """Side that a word names, TIE, or `_UNKNOWN`."""
    if word in _TIES:
        return TIE
    for side in (FIRST, SECOND):
        if word in (fields[side].lower(), label[side] or word + "?"):
            return side
    order = re.fullmatch(r"([ab])\s*([<>]+)\s*([ab])", word)
    if order and order[1] != order[3]:
        return _word_side(order[1] if order[2][0] == ">" else order[3], fields, label)
    last = re.fullmatch(r"(?:(?:model|response|answer|assistant|option|output|candidate|completion|text|system)"
                        r"[ _-]?)?(a|b|first|second|left|right)", word)  # fmt: skip
    if last is None:
        return _UNKNOWN
    return 1 - _ORDER[last[1]] if _is_reversed(label) else _ORDER[last[1]]


def _is_reversed(label: Sequence[str]) -> bool:
    """Whether columns are named in the wrong order: response_b before response_a, second before first."""
    if all(text in _ORDER for text in label):
        return _ORDER[label[0]] > _ORDER[label[1]]
    return all(len(text) == 1 for text in label) and label[0] > label[1]


def _side(row: Row, column: str, fields: tuple[str, str], label: Sequence[str], threshold: float) -> Side:
    value = row.value(column)
    symbol = symbol_of(value)
    if isinstance(symbol, float):
        return TIE if symbol == threshold else FIRST if symbol < threshold else SECOND
    if isinstance(symbol, str):
        side = _word_side(symbol, fields, label)
        if side is not _UNKNOWN:
            return side
        models = ("model_b", "model_a") if _is_reversed(label) else ("model_a", "model_b")
        for columns in (fields, tuple(f"model_{text}" for text in label), models):
            equal = [row.values.get(name) == value for name in columns]
            if equal[0] != equal[1]:
                return equal.index(True)
    raise ValueError(f"field {column} must name the side that won, not {str(value)[:40]!r}")
