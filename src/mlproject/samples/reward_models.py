"""Which columns of a table of samples are reward models: those that the user names, or all that can be.

Without `rms`, every column of numbers is a reward model but those that count or describe (by their names), those that
are true or false, run through as row numbers do, are missing in most rows, have one value in every prompt, or are gold
itself. What is left out is said, with the reason.

Axis letters: B responses.
"""

from __future__ import annotations

import numpy as np

from mlproject.curve import LARGEST_SCORE, Array
from mlproject.errors import UserError
from mlproject.options.columns import hint, listed, plain
from mlproject.samples.roles import is_meta
from mlproject.samples.samples import Samples

MOST = 0.5
"""Share of missing scores beyond which a column is of no use."""

_SAME = 1e-12


def parse_rms(text: str, names: list[str], source: str) -> list[str]:
    """Parse `rms=col,col`; a column's name may itself contain commas.

    Args:
        text: value of the option.
        names: columns that may be reward models.
        source: the option that names the file, and its value, for messages.

    Raises:
        UserError: for a column that there is not, or that is named twice.
    """
    parts = [part.strip() for part in text.split(",")]
    found: list[str] = []
    while parts:
        for end in range(len(parts), 0, -1):
            wanted = ",".join(parts[:end])
            match = [name for name in names if name == wanted] or [n for n in names if plain(n) == plain(wanted)]
            if len(match) == 1:
                break
        else:
            raise UserError(
                f"rms={text}: {parts[0]} must be a column of scores of {source}{hint(parts[0], names)}; these are "
                f"{listed(names)}. Correct the name."
            )
        if match[0] in found:
            raise UserError(f"rms={text}: names {match[0]} twice. Give it once.")
        found.append(match[0])
        parts = parts[end:]
    return found


def usable(samples: Samples, prompt_B: np.ndarray, gold_B: Array) -> tuple[list[str], dict[str, str]]:
    """The reward models among all columns of scores, and the reasons why others are none.

    Args:
        samples: the table.
        prompt_B, gold_B: of the samples that have both. Shape: (B,).
    """
    names: list[str] = []
    left_out = dict(samples.left_out)
    valid_B = (samples.prompt_B >= 0) & ~np.isnan(samples.gold_B)
    for name, values_B in samples.scores.items():
        reason = "it counts or describes, by its name" if is_meta(name) else ""
        if name in samples.are_truths:
            reason = "true or false"
        if reason := reason or why_not(values_B[valid_B], prompt_B, gold_B):
            left_out[name] = reason
        else:
            names.append(name)
    return names, left_out


def why_not(values_B: Array, prompt_B: np.ndarray, gold_B: Array) -> str:
    """Why a column cannot choose among the responses of a prompt, or is gold itself; empty if it can.

    Args:
        values_B: its scores; nan where missing. Shape: (B,).
        prompt_B: index of each sample's prompt. Shape: (B,).
        gold_B: gold. Shape: (B,).
    """
    if not len(values_B):
        return ""
    missing = float(np.isnan(values_B).mean())
    if missing > MOST:
        return f"missing for {missing:.0%} of the responses"
    if _is_constant_within(values_B, prompt_B):
        return "the same for all responses of a prompt"
    if _runs_through(values_B, prompt_B):
        return "it counts the rows"
    return "gold itself, perhaps in other units" if is_gold(values_B, gold_B) else ""


def is_gold(values_B: Array, gold_B: Array) -> bool:
    """Whether scores are gold, or gold in other units."""
    there_B = np.maximum(np.abs(values_B), np.abs(gold_B)) < LARGEST_SCORE
    x_B, y_B = values_B[there_B], gold_B[there_B]
    if len(x_B) < 3 or x_B.std() == 0 or y_B.std() == 0:
        return False
    return bool(np.corrcoef(x_B, y_B)[0, 1] ** 2 > 1 - _SAME)


def _is_constant_within(values_B: Array, prompt_B: np.ndarray) -> bool:
    order_B = np.argsort(prompt_B, kind="stable")
    x_B, key_B = values_B[order_B], prompt_B[order_B]
    there_B = ~np.isnan(x_B)
    x_B, key_B = x_B[there_B], key_B[there_B]
    return not bool(((x_B[1:] != x_B[:-1]) & (key_B[1:] == key_B[:-1])).any())


def _runs_through(values_B: Array, prompt_B: np.ndarray) -> bool:
    """Whether the values are 0, 1, 2, ... or 1, 2, 3, ..., through the table or through each prompt."""
    if not (np.abs(values_B) < LARGEST_SCORE).all() or (values_B % 1).any():
        return False
    if (np.diff(values_B) == 1).all():
        return True
    order_B = np.argsort(prompt_B, kind="stable")
    step_B, same_B = np.diff(values_B[order_B]), np.diff(prompt_B[order_B]) == 0
    return bool(same_B.any() and (step_B[same_B] == 1).all())
