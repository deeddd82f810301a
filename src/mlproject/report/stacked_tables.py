"""Tables that a narrow page shows as stacked lines: every cell carries the heading of its column for that."""

from __future__ import annotations

import html
import re

_TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
_HEADING = re.compile(r"<th\b[^>]*>(.*?)</th>", re.DOTALL)
_CELL = re.compile(r"<td\b")


def with_labels(page: str) -> str:
    """The page with the heading of its column, as text, in the attribute `data-label` of every cell.

    Args:
        page: HTML, whose tables have one row of headings, and rows that begin with a heading of their own.
    """
    return _TABLE.sub(lambda table: _labelled(table[0]), page)


def _labelled(table: str) -> str:
    head, _, body = table.partition("</thead>")
    labels = [html.unescape(re.sub(r"\s*<[^>]+>\s*", " ", cell)).strip() for cell in _HEADING.findall(head)][1:]
    rows = body.split("</tr>")
    return head + "</thead>" + "</tr>".join(_row(row, labels) for row in rows)


def _row(row: str, labels: list[str]) -> str:
    remaining = iter(labels)
    return _CELL.sub(lambda _: f'<td data-label="{html.escape(next(remaining, ""))}"', row)
