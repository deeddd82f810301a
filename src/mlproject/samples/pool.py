"""The pool that a table of samples is: every prompt's responses with gold and the scores of all reward models.

All reward models choose among the same samples: a sample without gold or without the score of one of them is left out
for all. The responses of a prompt are in an order that is random, and the same every time, since a file may be sorted.

Axis letters: P prompts, N samples per prompt in the pool, B responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from mlproject.curve import LARGEST_SCORE, Array
from mlproject.errors import UserError
from mlproject.names.quoting import one_line
from mlproject.samples.columns import Table
from mlproject.samples.copies import KEEP, without_copies
from mlproject.samples.reward_models import is_gold, parse_rms, usable, why_not
from mlproject.samples.samples import Samples

MIN_PROMPTS = 2
_ENOUGH = 0.5
"""Share of the median number of responses below which a prompt is left out, without `min_samples`."""
_LONGEST_NAME = 200
_INDEX_OF_PANDAS = ("__index_level_", "Unnamed: ")


@dataclass(frozen=True)
class Choice:
    """What the user chose about a table of samples.

    Attributes:
        rms: columns of the reward models, separated by commas; empty: all that can be.
        min_samples: responses below which a prompt is left out; 0: half the median.
        duplicates: what becomes of responses that repeat another of their prompt: `keep` or `drop`.
    """

    rms: str = ""
    min_samples: int = 0
    duplicates: str = KEEP


@dataclass(frozen=True)
class ScoredPool:
    """Samples with scores, prompt by prompt.

    Attributes:
        form: `long`, `wide` or `best-of-k`.
        prompts: texts or ids. Length P.
        counts_P: number of samples of each prompt. Shape: (P,).
        gold_B: in the table's units; the samples of a prompt side by side. Shape: (B,).
        scores: of each reward model, likewise. Shape: (B,) each.
        log_prob_B: nats; None where the table has none. Shape: (B,).
        responses: texts; None where the table has none. Length B.
        read_as: which column was taken for what.
        notes: what was left out or is worth knowing, a sentence each.
    """

    form: str
    prompts: Sequence[str]
    counts_P: np.ndarray
    gold_B: Array
    scores: Mapping[str, Array]
    log_prob_B: Array | None = None
    responses: pa.Array | None = None
    read_as: str = ""
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def n_max(self) -> int:
        """The largest n that every prompt has responses for."""
        return int(self.counts_P.min())

    @property
    def size(self) -> str:
        """Numbers of prompts and responses, in words."""
        least, most = self.n_max, int(self.counts_P.max())
        each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        return f"{len(self.counts_P):,} prompts with {each} responses each"

    @cached_property
    def groups(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Prompts with the same number of samples: their indices, and those of their samples. Shapes: (P,), (P, N)."""
        starts_P = np.cumsum(self.counts_P) - self.counts_P
        groups = []
        for count in np.unique(self.counts_P):
            prompts = np.flatnonzero(self.counts_P == count)
            groups.append((prompts, starts_P[prompts, None] + np.arange(count)))
        return groups


def make_pool(table: Table, samples: Samples, choice: Choice) -> ScoredPool:
    """Choose the reward models, leave out what cannot be used, and put the samples in order.

    Args:
        table: for messages.
        samples: what it holds.
        choice: what the user chose.

    Raises:
        UserError: in one line, for what cannot be used and must not be passed over.
    """
    notes = [f"{table.skipped:,} rows that cannot be read are skipped"] if table.skipped else []
    whole_B = (samples.prompt_B >= 0) & ~np.isnan(samples.gold_B)
    _refuse_infinite(table, samples, "gold", samples.gold_B)
    missing = int((~whole_B).sum())
    if missing:
        notes.append(f"{missing:,} of {len(whole_B):,} responses have no prompt or no gold and are left out")
    if not whole_B.any():
        gold = samples.says["gold"]
        raise UserError(f"{table.source}: has no response with prompt and gold ({gold}). Give columns=gold=COLUMN.")
    if np.bincount(samples.prompt_B[whole_B]).max() < 2:
        raise UserError(
            f"{table.source}: must have several responses to each prompt, to choose among, but every prompt has one "
            f"(prompt = {samples.says.get('prompt', 'the row')}). Add responses, or give columns=prompt=COLUMN."
        )
    names, left_out = _reward_models(table, samples, whole_B, choice.rms)
    for name in (*names, *samples.says.values()):
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise UserError(
                f"{table.source}: column '{one_line(name, 60)}' must have a name of at most {_LONGEST_NAME} letters on "
                "one line, since runs are named after it. Rename it."
            )
    left_out = {name: reason for name, reason in left_out.items() if not name.startswith(_INDEX_OF_PANDAS)}
    if left_out:
        notes.append("no reward models: " + ", ".join(f"{name} ({reason})" for name, reason in left_out.items()))
    for name in names:
        _refuse_infinite(table, samples, name, samples.scores[name])
    whole_B &= ~np.isnan([samples.scores[name] for name in names]).any(axis=0)
    if not whole_B.any():
        raise UserError(
            f"{table.source}: must have responses that all reward models scored, but each lacks the score of some "
            f"({', '.join(names)}). Name those to compare: rms=COLUMN,COLUMN."
        )
    _note_missing(samples, names, whole_B, missing, notes)
    log_prob_B = _log_probs(table, samples, whole_B, notes)
    rows = np.flatnonzero(whole_B)
    rows = rows[np.lexsort((np.random.default_rng(0).random(len(rows)), samples.prompt_B[rows]))]
    rows = without_copies(samples, names, rows, choice.duplicates, notes)
    rows, kept, counts_P = _enough(table, samples, rows, choice.min_samples, notes)
    gold_B = samples.gold_B[rows]
    if gold_B.std() == 0:
        raise UserError(
            f"{table.source}: gold ({samples.says['gold']}) must differ between responses, but is {gold_B[0]:g} for "
            "all. Give columns=gold=COLUMN."
        )
    return ScoredPool(
        form=samples.form,
        prompts=[samples.prompts[key] for key in kept],
        counts_P=counts_P,
        gold_B=gold_B,
        scores={name: samples.scores[name][rows] for name in names},
        log_prob_B=None if log_prob_B is None else log_prob_B[rows],
        responses=None if samples.responses is None else samples.responses.take(pa.array(rows)),
        read_as=_read_as(samples, names),
        notes=tuple(notes),
    )


def _read_as(samples: Samples, names: Sequence[str]) -> str:
    says = ", ".join(f"{meaning} = {column}" for meaning, column in samples.says.items())
    return f"read as {samples.form}: {says}; reward models: {', '.join(names)}"


def _reward_models(
    table: Table, samples: Samples, whole_B: np.ndarray, rms: str
) -> tuple[list[str], Mapping[str, str]]:
    prompt_B, gold_B = samples.prompt_B[whole_B], samples.gold_B[whole_B]
    if not rms:
        names, left_out = usable(samples, prompt_B, gold_B)
        if not names:
            reasons = ", ".join(f"{name} ({reason})" for name, reason in left_out.items()) or "none besides gold"
            raise UserError(
                f"{table.source}: must have a column of a reward model's scores; its columns of numbers are {reasons}. "
                "Add one, or name it: rms=COLUMN."
            )
        return names, left_out
    names = parse_rms(rms, [*samples.scores, *samples.left_out], table.source)
    for name in names:
        reason = samples.left_out.get(name) or why_not(samples.scores[name][whole_B], prompt_B, gold_B)
        if reason and (name in samples.left_out or not is_gold(samples.scores[name][whole_B], gold_B)):
            raise UserError(f"rms={name}: must be a score of each response, but it is {reason}. Leave it out.")
    return names, {}


def _refuse_infinite(table: Table, samples: Samples, name: str, values_B: Array) -> None:
    infinite_B = np.abs(values_B) > LARGEST_SCORE
    if infinite_B.any():
        place = table.place(int(samples.row_B[infinite_B.argmax()]))
        raise UserError(
            f"{place}: {name} must be finite, and at most {LARGEST_SCORE:g} ({int(infinite_B.sum())} are not). Leave "
            "the cell empty where there is no score, or name other columns (rms=)."
        )


def _note_missing(samples: Samples, names: Sequence[str], whole_B: np.ndarray, before: int, notes: list[str]) -> None:
    missing = {name: int(np.isnan(samples.scores[name]).sum()) for name in names}
    lost = int((~whole_B).sum()) - before
    if lost:
        counts = ", ".join(f"{name} {count:,}" for name, count in missing.items() if count)
        notes.append(
            f"{lost:,} responses lack the score of some reward model ({counts}) and are left out for all, so that all "
            "choose among the same"
        )


def _log_probs(table: Table, samples: Samples, whole_B: np.ndarray, notes: list[str]) -> Array | None:
    """Log-probabilities, where all samples have one.

    Raises:
        UserError: for one above 0.
    """
    if samples.log_prob_B is None:
        return None
    name = samples.says["logprob"]
    high_B = samples.log_prob_B > 1e-6
    if high_B.any():
        index = int(high_B.argmax())
        raise UserError(
            f"{table.place(int(samples.row_B[index]))}: {name} must be at most 0, being a log-probability, but is "
            f"{samples.log_prob_B[index]:g}. Give columns=logprob=COLUMN, the sum over the response's tokens."
        )
    unknown = int((~np.isfinite(samples.log_prob_B[whole_B])).sum())
    if unknown:
        notes.append(f"{name} is missing for {unknown:,} responses, so it is not used: KL is the bound alone")
        return None
    return np.minimum(samples.log_prob_B, 0.0)


def _enough(
    table: Table, samples: Samples, rows: np.ndarray, min_samples: int, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of prompts that have enough responses, these prompts, and their numbers of responses.

    Raises:
        UserError: if too few are left.
    """
    keys, inverse, counts = np.unique(samples.prompt_B[rows], return_inverse=True, return_counts=True)
    least = min_samples or max(2, int(np.ceil(_ENOUGH * np.median(counts))))
    kept = counts >= least
    if not kept.all():
        how = f"min_samples={min_samples}" if min_samples else "half the median"
        notes.append(
            f"{int((~kept).sum()):,} of {len(keys):,} prompts have fewer than {least} responses ({how}) and are left "
            "out"
        )
    if kept.sum() < MIN_PROMPTS:
        raise UserError(
            f"{table.source}: must have {MIN_PROMPTS} prompts with at least {least} scored responses each, since every "
            f"interval is over prompts, but has {int(kept.sum())} (prompt = {samples.says.get('prompt', 'the row')}, "
            f"{len(keys):,} prompts with at most {int(counts.max())} responses). Add responses, or give "
            "columns=prompt=COLUMN."
        )
    return rows[kept[inverse]], keys[kept], counts[kept]
