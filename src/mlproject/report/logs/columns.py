"""Which column of a log means what: as the user says, or by the names that trainers and trackers use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlproject.errors import UserError
from mlproject.names import Metric
from mlproject.options.columns import hint, listed, named_columns, plain

COLUMNS = {
    "kl": "KL from the initial policy, nats per response (otherwise see kl_unit and length)",
    "gold": "gold or held-out score",
    "gold_se": "standard error of gold; by default estimated from the scatter about the law",
    "proxy": "score of the reward model that was optimized; optional",
    "length": "tokens per response, a column or a number: KL is then per token and multiplied by it",
    "step": "update, or n; by default the row number",
}
REQUIRED = ("kl", "gold")

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "kl": (Metric.CURVE_KL, "kl", "objective/kl", "train/objective/kl", "train/kl"),
    "gold": (Metric.CURVE_GOLD, "gold", "eval/gold", "eval_gold"),
    "gold_se": (Metric.CURVE_GOLD_SE, "gold_se", "eval/gold_se"),
    "proxy": (Metric.CURVE_PROXY, "proxy", "objective/scores", "train/objective/scores"),
    "step": ("step", "train/global_step", "trainer/global_step", "global_step", "iteration", "update", "_step"),
}
"""Names that are read without being asked for, the surest first: this project's own, then those of trainers."""

CHART_SEPARATOR = " - "
"""Between run and metric in the columns of a W&B chart export."""


def parse_columns(text: str) -> dict[str, str]:
    """Parse `kl=objective/kl,gold=eval/gold`. A column's name may itself contain commas.

    Returns:
        column by name of `COLUMNS`.

    Raises:
        UserError: for another syntax, an unknown name, or a repeated one.
    """
    return named_columns(text, COLUMNS)


def find(name: str, names: Iterable[str]) -> list[str]:
    """Columns that a user's name may mean: that very one, or else the metric of a chart's runs, or else a name that
    differs only in case and separators (TensorBoard's downloads replace `/` by `_`)."""
    names = list(names)
    if name in names:
        return [name]
    metric = [other for other in names if other.rpartition(CHART_SEPARATOR)[2] == name]
    return metric or [other for other in names if plain(other) == plain(name)]


def choose(meaning: str, names: Sequence[str], columns: Mapping[str, str], source: str) -> str | None:
    """The column for a meaning; None if there is none and it is optional.

    Args:
        meaning: a name of `COLUMNS`.
        names: the columns that there are.
        columns: what the user asked for, by meaning.
        source: the option and its value, for messages.

    Raises:
        UserError: if the column that was asked for, or one that is needed, is missing or ambiguous.
    """
    asked = columns.get(meaning)
    for name in [asked] if asked else USUAL_NAMES.get(meaning, ()):
        found = find(name, names)
        if len(found) > 1:
            raise UserError(
                f"{source}: {name} for {meaning} may be any of {listed(found)}. Give columns={meaning}=ONE_OF_THEM."
            )
        if found:
            return found[0]
    if asked or meaning in REQUIRED:
        wanted = asked or meaning
        parts = [name for name in names if plain(wanted) in plain(name).split("_")]  # such as kl_bits, for kl
        meant = hint(wanted, names) or (f" (did you mean {parts[0]}?)" if len(parts) == 1 else "")
        raise UserError(
            f"{source}: has no column {wanted} for {meaning}{meant}; its columns are {listed(names)}. "
            f"Give columns={meaning}=COLUMN."
        )
    return None
