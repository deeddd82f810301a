"""Rankings: several responses to one prompt in the order of their gold scores, and as the pairs that they are made of.

A table of rankings is a table of comparisons with three columns more: all pairs of a ranking are rows of it, so that
whatever reads comparisons reads rankings.

Axis letters: P prompts, N responses to a prompt in a batch, B comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import Sequences
from mlproject.preferences.comparisons import COLUMNS

RANKING, RANKS = "ranking", ("rank_a", "rank_b")
"""Number of the ranking that a comparison belongs to, and the places of its responses: 0 is the best."""


def pairs_of(responses: int) -> int:
    """Number of comparisons that a ranking of so many responses holds."""
    return responses * (responses - 1) // 2


def label_rankings(
    prompts: Sequence[str],
    responses: Sequence[Sequence[str]],
    scores_PN: NDArray[np.float64],
    *,
    held_out: float,
    label_noise: float,
    rng: np.random.Generator,
    labels: str = "hard",
) -> pd.DataFrame:
    """Rank the responses to each prompt by their scores, or by a random draw; drop rankings with ties.

    Only rankings of the training part are drawn or reversed.

    Args:
        prompts: P texts.
        responses: N to each. Length P.
        scores_PN: scores by whoever labels. Shape: (P, N).
        held_out: share of the rankings that are held out for validation, 0 to 1.
        label_noise: share of the training rankings that are turned round, which flips all their pairs; 0 to 1.
        rng: randomness of the held-out part, of drawn and of reversed rankings.
        labels: "hard", or "sampled" by Plackett-Luce: the best with probability softmax(scores), then the best of the
            rest, and so on; of two responses, sigmoid of the difference.

    Returns:
        A table with the columns of comparisons, `RANKING` and `RANKS`; all pairs of a ranking side by side.
    """
    count = scores_PN.shape[1]
    clear_P = np.array([len(np.unique(row)) == count for row in scores_PN], dtype=bool)
    kept = clear_P.nonzero()[0]
    order = rng.permutation(len(kept))
    is_held_out = order < round(held_out * len(kept))
    drawn_PN = scores_PN[kept] + rng.gumbel(size=(len(kept), count))
    reversed_P = rng.random(len(kept)) < label_noise
    rows = []
    for number, (p, out, turned) in enumerate(zip(kept.tolist(), is_held_out, reversed_P, strict=True)):
        by = drawn_PN[number] if labels == "sampled" and not out else scores_PN[p]
        rank_N = (-by).argsort().argsort()
        if turned and not out:
            rank_N = count - 1 - rank_N
        for a, b in combinations(range(count), 2):
            texts = prompts[p], responses[p][a], responses[p][b]
            places = int(rank_N[a]), int(rank_N[b])
            rows.append((*texts, scores_PN[p, a], scores_PN[p, b], places[0] < places[1], out, number, *places))
    return pd.DataFrame(rows, columns=[*COLUMNS, RANKING, *RANKS])


@dataclass(frozen=True)
class EncodedRankings:
    """Tokenized rankings.

    Attributes:
        sequences: responses, those of a ranking side by side, the best first. Length P * N.
        scores_PN: by whoever labelled, in the same order; nan if unknown. Shape: (P, N).
    """

    sequences: Sequences
    scores_PN: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores_PN)


def encode_rankings(table: pd.DataFrame, prompt_format: PromptFormat) -> EncodedRankings:
    """Tokenize rankings; comparisons that belong to none are rankings of two responses."""
    table = table if RANKING in table else _of_pairs(table)
    sides = [
        pd.DataFrame(
            {
                "ranking": table[RANKING], "rank": table[f"rank_{side}"], "prompt": table.prompt,
                "response": table[f"response_{side}"], "score": table[f"score_{side}"],
            }
        )
        for side in "ab"
    ]  # fmt: skip
    each = pd.concat(sides).drop_duplicates(["ranking", "rank"]).sort_values(["ranking", "rank"], kind="stable")
    count = int(each["rank"].max()) + 1
    return EncodedRankings(
        prompt_format.encode(each.prompt.tolist(), each.response.tolist()),
        each.score.to_numpy(dtype=float).reshape(-1, count),
    )


def _of_pairs(table: pd.DataFrame) -> pd.DataFrame:
    made, second_a = table.copy(), (~table.prefers_a.astype(bool)).astype(int)
    made[RANKING] = np.arange(len(table))
    made[RANKS[0]], made[RANKS[1]] = second_a, 1 - second_a
    return made


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of comparisons as one; rankings of different parts stay apart."""
    start, numbered = 0, []
    for part in parts:
        if RANKING in part:
            part = part.assign(**{RANKING: part[RANKING] + start})
            start = int(part[RANKING].max()) + 1 if len(part) else start
        numbered.append(part)
    return pd.concat(numbered, ignore_index=True)


def middle(table: pd.DataFrame) -> int:
    """Row at which a table is halved: no ranking is divided."""
    half = len(table) // 2
    if RANKING not in table or not len(table):
        return half
    return int((table[RANKING] >= table[RANKING].iloc[half]).to_numpy().argmax())


def resampled(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """As many comparisons, or rankings, drawn with replacement."""
    if RANKING not in table:
        return table.iloc[rng.integers(len(table), size=len(table))].reset_index(drop=True)
    groups = [group for _, group in table.groupby(RANKING, sort=False)]
    drawn = rng.integers(len(groups), size=len(groups))
    return pd.concat([groups[i].assign(**{RANKING: n}) for n, i in enumerate(drawn.tolist())], ignore_index=True)
