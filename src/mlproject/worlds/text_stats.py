"""Statistics of texts that change with over-optimization and need no model.

Axis letters: B responses.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from mlproject.curve import Array
from mlproject.worlds.lexicons import phrase_lists
from mlproject.worlds.word_split import is_word, split_words


def response_stats(responses: Sequence[str], phrases: Mapping[str, Sequence[str]] | None = None) -> dict[str, Array]:
    """Length, repetition, diversity and phrase counts of each response.

    Args:
        responses: texts in any script; `split_words` splits them. Length B.
        phrases: words or phrases to count, by the name of their statistic; None: the lists of `lexicons`. Matching
            ignores case and the punctuation between words; of two overlapping phrases the longer one counts.

    Returns:
        `length`: tokens, punctuation marks included; `repetition`: share of tokens that repeat an earlier one (0 for an
        empty text; 1 minus distinct-1); `distinct-2`: share of distinct pairs among the pairs of neighbouring tokens (1
        if there are none); and one count per list. Each of shape (B,).
    """
    lists = {name: _by_first_word(words) for name, words in (phrase_lists() if phrases is None else phrases).items()}
    counts = {name: np.zeros(len(responses)) for name in lists}
    length_B, repetition_B = np.zeros(len(responses)), np.zeros(len(responses))
    distinct_B = np.ones(len(responses))
    for row, response in enumerate(responses):
        tokens = split_words(response)
        length_B[row] = len(tokens)
        if tokens:
            repetition_B[row] = 1.0 - len(set(tokens)) / len(tokens)
        if len(tokens) > 1:
            distinct_B[row] = len(set(pairwise(tokens))) / (len(tokens) - 1)
        words = [token for token in tokens if is_word(token)]
        for name, phrases_by_word in lists.items():
            counts[name][row] = _count_phrases(words, phrases_by_word)
    return {"length": length_B, "repetition": repetition_B, "distinct-2": distinct_B} | counts


def collective_stats(responses: Sequence[str]) -> dict[str, float]:
    """Statistics of a set of responses, which show a policy that writes the same to every prompt.

    Args:
        responses: texts. Length B, 1 or more.

    Returns:
        `distinct-responses`: share of distinct texts; `compression`: size of all texts divided by their compressed size
        (zlib), which rises as they come to share phrases.
    """
    raw = "\n".join(responses).encode()
    return {
        "distinct-responses": len(set(responses)) / len(responses),
        "compression": len(raw) / len(zlib.compress(raw, 9)),
    }


def _by_first_word(phrases: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """Phrases as tuples of words, by their first word, the longest first."""
    by_word: dict[str, set[tuple[str, ...]]] = {}
    for phrase in phrases:
        words = tuple(word for word in split_words(phrase) if is_word(word))
        by_word.setdefault(words[0], set()).add(words)
    return {first: sorted(group, key=len, reverse=True) for first, group in by_word.items()}


def _count_phrases(words: Sequence[str], phrases_by_word: Mapping[str, Sequence[tuple[str, ...]]]) -> int:
    """Number of phrases in a text, read from left to right without overlaps."""
    count = end = 0  # end: first word that no counted phrase holds
    for position, word in enumerate(words):
        if word in phrases_by_word and position >= end:
            candidates = phrases_by_word[word]
            match = next((p for p in candidates if tuple(words[position : position + len(p)]) == p), ())
            count += bool(match)
            end = position + len(match)
    return count
