"""Files of no published kind: three columns that the user names, or two responses with a column that says who won."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mlproject.worlds.chat import CHAT_PREFIX
from mlproject.worlds.files.messages import is_prompt, prompt_of
from mlproject.worlds.files.rows import Row
from mlproject.worlds.files.schemas.chats import by_scores
from mlproject.worlds.files.schemas.schema import Pair, Schema, instruction_prompt, pair_of
from mlproject.worlds.files.schemas.two_sides import SHP
from mlproject.worlds.files.winner import (
    FIRST,
    SECOND,
    AmbiguousError,
    Side,
    WinnerRule,
    higher,
    label_of,
    rule_for,
)
from mlproject.worlds.files.winner_columns import sure_winners, winner_columns

_PROMPTS = ("prompt", "question", "instruction", "query", "context", "history", "input", "post")
_RESPONSE = re.compile(
    r"(.*(?:response|answer|output|completion|summary|reply|generation|candidate|continuation|option|text)s?[ _-]?)"
    r"([ab]|[012])",
    re.I,
)
_LABELS = {("a", "b"), ("0", "1"), ("1", "2")}


def of_columns(fields: Sequence[str], preferred: str, rows: Sequence[Row], exact: bool = False) -> Schema:
    """Three named columns: prompt, chosen and rejected response, or two responses of which `preferred` says who won.

    Args:
        fields: columns of the prompt, the chosen (or first) and the rejected (or second) response.
        preferred: column that says which side won, or empty.
        rows: all rows of the file.
        exact: whether nothing else is read: no system prompt, no scores, and no column that looks like a winner.

    Raises:
        AmbiguousError: if a column that looks like a winner would be ignored, or its values could mean either side.
    """
    prompt, first, second = fields
    side: Callable[[Row], Side] = (lambda row: FIRST) if exact else by_scores
    says = ""
    if preferred:
        rule = _rule(preferred, (first, second), rows)
        side, says = rule.side, f"chosen = {rule.says}"
    elif not exact:
        refuse_ignored_winner(tuple(fields), rows)

    def pairs(row: Row) -> list[Pair]:
        return [pair_of(row, prompt, first, second, side(row), has_system=not exact)]

    def prompt_alone(row: Row) -> str:
        return pair_of(row, prompt, first, second, FIRST, has_system=not exact).prompt

    return Schema("columns", f"columns {', '.join(fields)}", says, frozenset(fields), pairs, prompt_alone)


def response_columns(columns: Sequence[str]) -> tuple[str, str] | None:
    """Two columns of responses, known by their names: response_a and response_b, output_1 and output_2, ..."""
    matches = [match for name in columns if (match := _RESPONSE.fullmatch(name))]
    for match in matches:
        group = sorted((other for other in matches if other[1] == match[1]), key=lambda each: each[2].lower())
        if tuple(each[2].lower() for each in group) in _LABELS:
            return group[0][0], group[1][0]
    return None


def names_a_side(column: str, rows: Sequence[Row]) -> bool:
    """Whether a column names one of two columns of responses, instead of being a response itself."""
    fields = response_columns(list(rows[0].values)) if rows else None
    if fields is None or any(row.values.get(column) in [row.values.get(field) for field in fields] for row in rows):
        return False
    return column in winner_columns(fields, rows)


def _score_columns(fields: tuple[str, str], columns: Iterable[str]) -> list[str]:
    """The two columns of scores of two responses, separated by a comma; empty if there are none."""
    names = {name.lower(): name for name in columns}
    found = []
    for field, other in (fields, fields[::-1]):
        label = label_of(field, other)
        wanted = (f"score_{label}", f"{field}_score".lower(), f"rating_{label}", f"{field}_rating".lower())
        found += [names[name] for name in wanted if name in names][:1]
    return [",".join(found)] if len(found) == 2 else []


def two_responses(preferred: str, rows: Sequence[Row]) -> Schema | None:
    """Two columns such as response_a and response_b, and one that says which of them won; None if there are none.

    Raises:
        AmbiguousError: if no column says it, or several do.
    """
    columns = list(rows[0].values) if rows else []
    found = response_columns(columns)
    if found is None:
        return None
    first, second = found
    winners = [preferred] if preferred else sure_winners((first, second), rows)
    if not winners:
        winners = _score_columns((first, second), columns)
    if len(winners) != 1:
        what = f"but which of {', '.join(winners)} says" if winners else "but no column that says"
        raise AmbiguousError(f"has {first} and {second}, {what} which one won", "Give preferred=COLUMN.")
    rule = _rule(winners[0], (first, second), rows)
    question = next((name for name in _PROMPTS if name in columns), "")
    if not question and isinstance(rows[0].values[first], str):
        problem = f"has {first} and {second}, but no column of a prompt"
        raise AmbiguousError(problem, f"Give preference_fields=PROMPT,{first},{second}.")

    def with_input(row: Row) -> Row:
        if question != "instruction" or not {"input", "context"} & set(row.values):
            return row
        return Row(row.place, {**row.values, question: instruction_prompt(row)})

    def prompt(row: Row) -> str:
        return prompt_of(question, with_input(row).value(question), row.system)

    def pairs(row: Row) -> list[Pair]:
        return [pair_of(with_input(row), question, first, second, rule.side(row), has_system=True)]

    return Schema("two", f"{first} and {second}", f"chosen = {rule.says}", frozenset((first, second)), pairs, prompt)


def _rule(preferred: str, fields: tuple[str, str], rows: Sequence[Row]) -> WinnerRule:
    if preferred == "labels" and set(fields) == {"human_ref_A", "human_ref_B"}:  # 1 is A there
        is_in_order = fields[0] == "human_ref_A"

        def side(row: Row) -> Side:
            [pair] = SHP.pairs(row)
            return pair.winner if is_in_order or pair.winner is None else 1 - pair.winner

        return WinnerRule("labels: 1 human_ref_A, 0 human_ref_B", side)
    rule = rule_for(preferred, fields, rows)
    if not {"=", ","} & set(preferred):
        _check_scores(preferred, rule, fields, rows)
    return rule


def _check_scores(preferred: str, rule: WinnerRule, fields: tuple[str, str], rows: Sequence[Row]) -> None:
    """Refuse a rule that scores of both responses contradict in most rows: it has its values the wrong way round."""
    for scores in _score_columns(fields, {name for row in rows for name in row.values}):
        agrees: Counter[bool] = Counter()
        for row in rows:
            with contextlib.suppress(ValueError):  # a row without scores, or without a winner
                sides = rule.side(row), higher(row, *scores.split(","))
                if None not in sides:
                    agrees[sides[0] == sides[1]] += 1
        if agrees[False] > agrees[True]:
            raise AmbiguousError(
                f"{rule.says} is contradicted by {scores} in {agrees[False]} of {agrees.total()} rows",
                f"Give preferred={scores}, or name the values: preferred={preferred}=FIRST/SECOND.",
            )


def refuse_ignored_winner(fields: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Refuse a mapping that takes one column as chosen in every row where another column says otherwise.

    Columns that are named chosen and rejected are believed, unless the other names both sides somewhere.
    """
    if "rejected" in fields[1].lower() and "chosen" in fields[2].lower():
        raise AmbiguousError(f"{fields[1]} would be the chosen response", f"Swap {fields[1]} and {fields[2]}.")
    are_named = all(word in name.lower() for word, name in zip(("chosen", "rejected"), fields[1:], strict=True))
    for column, varies in winner_columns(fields, rows).items():
        if varies or not are_named:
            raise AmbiguousError(
                f"{fields[1]} would be chosen in every row, but {column} looks as if it says which side won",
                f"Give preferred={column} to use it, or preference_format=columns to ignore it.",
            )
    for scores in [] if are_named else _score_columns((fields[1], fields[2]), {n for row in rows for n in row.values}):
        rule = rule_for(scores, (fields[1], fields[2]), rows)
        if any(_wins_second(rule, row) for row in rows):
            raise AmbiguousError(
                f"{fields[1]} would be chosen in every row, but {fields[2]} has the higher of {scores} in some",
                f"Give preferred={scores} to use them, or preference_format=columns to ignore them.",
            )


def _wins_second(rule: WinnerRule, row: Row) -> bool:
    with contextlib.suppress(ValueError):  # an empty score says nothing
        return rule.side(row) == SECOND
    return False


def is_as_before(row: Row, pair: Pair, fields: Sequence[str]) -> bool:
    """Whether version 0.1 read the same from three columns: it took a text for itself, and knew no system prompt."""
    prompt, *responses = (row.values.get(field) for field in fields)
    if not all(isinstance(response, str | list) for response in responses):
        return False
    if any(isinstance(v, str) and v != read for v, read in zip(responses, (pair.first, pair.second), strict=True)):
        return False
    if isinstance(prompt, str):
        return pair.prompt == prompt or prompt.startswith(CHAT_PREFIX)
    if isinstance(prompt, list):
        return is_prompt(prompt, pair.prompt)
    return isinstance(responses[0], list) and not row.system
