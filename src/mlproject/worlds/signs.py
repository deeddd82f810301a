"""Qualitative signs of over-optimization that anyone can count in a text.

Axis letters: B responses.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from mlproject.curve import Array


def count_signs(responses: Sequence[str], word_lists: Mapping[str, Sequence[str]]) -> dict[str, Array]:
    """Length, repetition, diversity and words of given kinds, per response.

    Args:
        responses: words separated by spaces; punctuation marks are words. Length B.
        word_lists: words to count, by the name of their sign.

    Returns:
        `length` in words; `repetition`, the share of words that repeat an earlier one (0 if empty);
        `distinct-2`, the share of distinct pairs among the pairs of neighbouring words (1 if there are none);
        and a count for each word list. Each of shape (B,).
    """
    kinds = {word: column for column, words in enumerate(word_lists.values()) for word in words}
    counts_BK = np.zeros((len(responses), len(word_lists)))
    length_B, repetition_B = np.zeros(len(responses)), np.zeros(len(responses))
    distinct_B = np.ones(len(responses))
    for row, response in enumerate(responses):
        words = response.split()
        length_B[row] = len(words)
        if words:
            repetition_B[row] = 1.0 - len(set(words)) / len(words)
        if len(words) > 1:
            distinct_B[row] = len(set(pairwise(words))) / (len(words) - 1)
        for word in words:
            column = kinds.get(word)
            if column is not None:
                counts_BK[row, column] += 1
    signs = {"length": length_B, "repetition": repetition_B, "distinct-2": distinct_B}
    return signs | {name: counts_BK[:, column] for column, name in enumerate(word_lists)}


def collective_signs(responses: Sequence[str]) -> dict[str, float]:
    """Signs that only many responses together show: a policy that says the same to everybody.

    Args:
        responses: texts. Length B, 1 or more.

    Returns:
        `distinct-responses`, the share of distinct texts; `compression`, the size of all texts over their compressed
        size (zlib), which rises as they come to share phrases.
    """
    raw = "\n".join(responses).encode()
    return {
        "distinct-responses": len(set(responses)) / len(responses),
        "compression": len(raw) / len(zlib.compress(raw, 9)),
    }
