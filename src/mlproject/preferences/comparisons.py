"""Comparisons: pairs of responses to one prompt, labelled by whoever plays the ground truth.

Axis letters: B comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import Sequences
from mlproject.preferences import HALF, HALVES

COLUMNS = ("prompt", "response_a", "response_b", "score_a", "score_b", "prefers_a", "held_out")


def label_comparisons(
    prompts: Sequence[str],
    responses_a: Sequence[str],
    responses_b: Sequence[str],
    scores_a: NDArray[np.float64],
    scores_b: NDArray[np.float64],
    *,
    held_out: float,
    label_noise: float,
    rng: np.random.Generator,
    labels: str = "hard",
) -> pd.DataFrame:
    """Label pairs by the higher score, or by a coin that it biases, and drop exact ties.

    Sampled labels only add noise (Gao et al. 2022, section 2.2). Like flipped ones they are confined to the training
    part, so that held-out figures always speak of the true labels.

    Args:
        prompts, responses_a, responses_b: texts. Length B.
        scores_a, scores_b: of the judge. Shape: (B,).
        held_out: share of the comparisons kept for validation, 0 to 1.
        label_noise: share of the training labels that are flipped, 0 to 1.
        rng: decides who is held out, which labels are sampled and whose label is flipped.
        labels: "hard", or "sampled" with probability sigmoid(score_a - score_b).

    Returns:
        A table with the columns `COLUMNS`, one row per comparison that is no tie.
    """
    table = pd.DataFrame(
        {
            "prompt": list(prompts),
            "response_a": list(responses_a),
            "response_b": list(responses_b),
            "score_a": scores_a,
            "score_b": scores_b,
        }
    )
    table = table[table.score_a != table.score_b].reset_index(drop=True)
    order = rng.permutation(len(table))
    table["held_out"] = order < round(held_out * len(table))
    flipped = (rng.random(len(table)) < label_noise) & ~table.held_out.to_numpy()
    margin = (table.score_a - table.score_b).to_numpy()
    prefers_a = margin > 0
    if labels == "sampled":
        coin = rng.random(len(table)) < 1 / (1 + np.exp(-margin))
        prefers_a = np.where(table.held_out, prefers_a, coin)
    table["prefers_a"] = prefers_a ^ flipped
    return table[list(COLUMNS)]


def comparisons_from_preferences(
    prompts: Sequence[str],
    chosen: Sequence[str],
    rejected: Sequence[str],
    *,
    held_out: float,
    label_noise: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Comparisons that somebody labelled already; their scores are unknown (nan).

    Args:
        prompts, chosen, rejected: texts. Length B.
        held_out: share of the prompts whose comparisons are kept for validation, 0 to 1; two prompts at least.
        label_noise: share of the training labels that are flipped, 0 to 1.
        rng: decides which response stands first, who is held out and whose label is flipped.

    Returns:
        A table with the columns `COLUMNS`, one row per comparison, and a column `HALF`: all comparisons of a prompt
        are in the same half, and either half holds its share of those kept.
    """
    distinct = list(dict.fromkeys(prompts))
    shuffled, most = [distinct[i] for i in rng.permutation(len(distinct))], max(2, round(held_out * len(distinct)))
    kept = set(shuffled[:most])
    half_of = {prompt: HALVES[i % 2] for part in (shuffled[:most], shuffled[most:]) for i, prompt in enumerate(part)}
    first = rng.random(len(prompts)) < 0.5
    is_held_out = np.array([prompt in kept for prompt in prompts])
    flipped = (rng.random(len(prompts)) < label_noise) & ~is_held_out
    pairs = list(zip(chosen, rejected, strict=True))
    table = pd.DataFrame(
        {
            "prompt": list(prompts),
            "response_a": [pair[0 if is_first else 1] for pair, is_first in zip(pairs, first, strict=True)],
            "response_b": [pair[1 if is_first else 0] for pair, is_first in zip(pairs, first, strict=True)],
            "score_a": np.nan,
            "score_b": np.nan,
            "prefers_a": first ^ flipped,
            "held_out": is_held_out,
            HALF: [half_of[prompt] for prompt in prompts],
        }
    )
    return table[[*COLUMNS, HALF]]


@dataclass(frozen=True)
class EncodedComparisons:
    """Comparisons as tokens.

    Attributes:
        a, b: the two responses to each prompt. Length B each.
        prefers_a_B: the label. Shape: (B,).
        margin_B: the judge's score of a minus that of b; nan where the judge gave none. Shape: (B,).
    """

    a: Sequences
    b: Sequences
    prefers_a_B: NDArray[np.bool_]
    margin_B: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.margin_B)


def encode_comparisons(table: pd.DataFrame, prompt_format: PromptFormat) -> EncodedComparisons:
    """Tokenize labelled comparisons."""
    prompts = table.prompt.tolist()
    return EncodedComparisons(
        a=prompt_format.encode(prompts, table.response_a.tolist()),
        b=prompt_format.encode(prompts, table.response_b.tolist()),
        prefers_a_B=table.prefers_a.to_numpy(dtype=bool),
        margin_B=(table.score_a - table.score_b).to_numpy(dtype=float),
    )
