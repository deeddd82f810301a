"""Comparisons: pairs of responses to one prompt, labelled by gold or by a user.

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
    """Label pairs by the higher score, or by a random draw, and drop ties.

    Sampled labels only add noise (Gao et al. 2022, section 2.2). Only labels of the training part are sampled or
    flipped, so that metrics on the held-out part refer to the true labels.

    Args:
        prompts: the prompt of each pair. Length B.
        responses_a: first response of each pair. Length B.
        responses_b: second response of each pair. Length B.
        scores_a: scores of the first responses by whoever labels. Shape: (B,).
        scores_b: scores of the second responses. Shape: (B,).
        held_out: share of the comparisons that are held out for validation, 0 to 1.
        label_noise: share of the training labels that are flipped, 0 to 1.
        rng: randomness of the held-out part, of sampled and of flipped labels.
        labels: "hard", or "sampled" with probability sigmoid(score_a - score_b).

    Returns:
        A table with the columns `COLUMNS`, one row per comparison without a tie.
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
        sampled = rng.random(len(table)) < 1 / (1 + np.exp(-margin))
        prefers_a = np.where(table.held_out, prefers_a, sampled)
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
    """Comparisons from preferences of a user, with unknown scores (nan).

    Args:
        prompts: the prompt of each preference. Length B.
        chosen: the preferred response. Length B.
        rejected: the other response. Length B.
        held_out: share of the prompts whose comparisons are held out for validation, 0 to 1; at least two prompts.
        label_noise: share of the training labels that are flipped, 0 to 1.
        rng: randomness of the order of the two responses, of the held-out part and of flipped labels.

    Returns:
        A table with the columns `COLUMNS`, one row per comparison, and a column `HALF`: all comparisons of a prompt
        are in the same half, and each half has half of the held-out prompts.
    """
    distinct = list(dict.fromkeys(prompts))
    shuffled, count = [distinct[i] for i in rng.permutation(len(distinct))], max(2, round(held_out * len(distinct)))
    held_out_prompts = set(shuffled[:count])
    half_of = {prompt: HALVES[i % 2] for part in (shuffled[:count], shuffled[count:]) for i, prompt in enumerate(part)}
    first = rng.random(len(prompts)) < 0.5
    is_held_out = np.array([prompt in held_out_prompts for prompt in prompts])
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
    """Tokenized comparisons.

    Attributes:
        a: first response to each prompt. Length B.
        b: second response to each prompt. Length B.
        prefers_a_B: the label. Shape: (B,).
        margin_B: score of a minus score of b, by whoever labelled; nan if unknown. Shape: (B,).
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
