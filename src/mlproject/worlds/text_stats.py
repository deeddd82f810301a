"""Qualitative signs of over-optimization that anyone can count in a text.

Axis letters: B responses.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from mlproject.curve import Array
from mlproject.names import Statistic
from mlproject.worlds.lexicons import phrase_lists
from mlproject.worlds.word_split import is_word, split_words


def response_stats(responses: Sequence[str], phrases: Mapping[str, Sequence[str]] | None = None) -> dict[str, Array]:
    """Length, repetition, diversity and phrases of given kinds, per response.

    Args:
        responses: texts in any script; see `tokens`. Length B.
        phrases: words or phrases to count, by the name of their sign; None: the lists of `lexicons`. A phrase is found
            whatever its case and the punctuation between its words; of two that overlap the longer one counts.

    Returns:
        `length` in words, where a punctuation mark is one; `repetition`, the share of words that repeat an earlier one
        (0 if empty; 1 less distinct-1); `distinct-2`, the share of distinct pairs among the pairs of neighbouring words
        (1 if there are none); and a count for each list. Each of shape (B,).
    """
    lists = {name: _by_first_word(words) for name, words in (phrase_lists() if phrases is None else phrases).items()}
    counts_BK = np.zeros((len(responses), len(lists)))
    length_B, repetition_B = np.zeros(len(responses)), np.zeros(len(responses))
    distinct_B = np.ones(len(responses))
    for row, response in enumerate(responses):
        words = split_words(response)
        length_B[row] = len(words)
        if words:
            repetition_B[row] = 1.0 - len(set(words)) / len(words)
        if len(words) > 1:
            distinct_B[row] = len(set(pairwise(words))) / (len(words) - 1)
        spoken = [word for word in words if is_word(word)]
        for column, known in enumerate(lists.values()):
            counts_BK[row, column] = _occurrences(spoken, known)
    signs = {Statistic.LENGTH: length_B, Statistic.REPETITION: repetition_B, Statistic.DISTINCT_2: distinct_B}
    return signs | {name: counts_BK[:, column] for column, name in enumerate(lists)}


def _by_first_word(phrases: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """Phrases as words, by their first, the longest first."""
    known: dict[str, list[tuple[str, ...]]] = {}
    for phrase in phrases:
        words = tuple(word for word in split_words(phrase) if is_word(word))
        known.setdefault(words[0], []).append(words)
    return {first: sorted(set(found), key=len, reverse=True) for first, found in known.items()}


def _occurrences(words: Sequence[str], known: Mapping[str, Sequence[tuple[str, ...]]]) -> int:
    """How many phrases stand in a text, from left to right, none inside another."""
    count = free = 0
    for place, word in enumerate(words):
        if word in known and place >= free:
            found = next((phrase for phrase in known[word] if tuple(words[place : place + len(phrase)]) == phrase), ())
            count += bool(found)
            free = place + len(found)
    return count


def collective_stats(responses: Sequence[str]) -> dict[str, float]:
    """Signs that only many responses together show: a policy that says the same to everybody.

    Args:
        responses: texts. Length B, 1 or more.

    Returns:
        `distinct-responses`, the share of distinct texts; `compression`, the size of all texts over their compressed
        size (zlib), which rises as they come to share phrases.
    """
    raw = "\n".join(responses).encode()
    return {
        Statistic.DISTINCT_RESPONSES: len(set(responses)) / len(responses),
        Statistic.COMPRESSION: len(raw) / len(zlib.compress(raw, 9)),
    }
