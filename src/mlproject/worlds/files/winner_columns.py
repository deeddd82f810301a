"""Columns that look as if they said which of two responses won, so that none is ignored without a word."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Sequence

from mlproject.worlds.files.rows import Row
from mlproject.worlds.files.winner import FIRST, SECOND, AmbiguousError, Side, plain_name, rule_for, symbol_of

_SURE = re.compile(
    r"(?:.*_)?(?:winner|winners|wins|won|prefer|prefers|preferred|preference|preferences|label|labels|choice|pick|picked|"
    r"better|best|safer|superior|favou?rite|selected|selection|vote|votes|verdict|judge?ment|annotation|"
    r"loser|losing|lost|loses|worse|worst|inferior|dispreferred)(?:_.*)?|"
    r"(?:.*_)?(?:swapped|flipped|reversed)|"
    r"chosen|(?:chosen|rejected)_(?:id|idx|index|side|position|letter|model)|rank|ranking"
)
_LIKELY = re.compile(r"(?:.*_)?(?:answer|target|result|outcome|gold|ground_truth|correct|decision)")


def winner_columns(fields: Sequence[str], rows: Sequence[Row]) -> dict[str, bool]:
    """Columns that look as if they said which of two responses won: by their names, and by most of their values.

    Args:
        fields: columns of the comparison; the last two hold the responses.
        rows: all rows of the file.

    Returns:
        whether it is known that both sides win somewhere, by column; columns whose names leave no doubt come first.
    """
    columns = dict.fromkeys(name for row in rows for name in row.values if isinstance(name, str) and name not in fields)
    found: dict[str, bool] = {}
    for pattern, largest in ((_SURE, 100), (_LIKELY, 2)):  # beyond percent, numbers are no judgement
        for column in columns:
            if column in found or not pattern.fullmatch(plain_name(column)) or not _is_small(column, rows, largest):
                continue
            sides = _sides(column, (fields[-2], fields[-1]), rows)
            if sides is not None and sides.total() > len(rows) / 2:
                found[column] = FIRST in sides and SECOND in sides
            elif sides is None and pattern is _SURE:
                found[column] = False
    return found


def sure_winners(fields: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Those whose names leave no doubt."""
    return [column for column in winner_columns(fields, rows) if _SURE.fullmatch(plain_name(column))]


def _is_small(column: str, rows: Sequence[Row], largest: int) -> bool:
    """Whether no number of a column is larger; larger ones stand for no sides."""
    symbols = {symbol_of(row.values.get(column)) for row in rows}
    return all(abs(symbol) <= largest for symbol in symbols if isinstance(symbol, float))


def _sides(column: str, fields: tuple[str, str], rows: Sequence[Row]) -> Counter[Side] | None:
    """How often each side wins, in the rows that say it; None if the values could mean either side."""
    try:
        rule = rule_for(column, fields, rows)
    except AmbiguousError:
        return None
    sides: Counter[Side] = Counter()
    for row in rows:
        with contextlib.suppress(ValueError):
            sides[rule.side(row)] += 1
    return sides
