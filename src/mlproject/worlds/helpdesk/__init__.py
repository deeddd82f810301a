"""The embedded world: a help desk in terse English, judged by rules that stand in for a human."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from mlproject.curve import Array
from mlproject.names import Statistic
from mlproject.worlds.helpdesk import author, distortions, judgement
from mlproject.worlds.helpdesk.lexicon import lexicon
from mlproject.worlds.helpdesk.prompts import PromptSplits, read_prompt
from mlproject.worlds.text_stats import response_stats
from mlproject.worlds.world import Phrases

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Helpdesk:
    """Customers with broken devices, authors who answer them, and a judge; see `mlproject.worlds.World`.

    Args:
        seed: the world seed; it shuffles the prompts and so changes the corpus. The vocabulary does not depend on it.
    """

    name = "helpdesk"
    max_response_tokens = author.MAX_WORDS + 1
    phrases = Phrases(
        stock=tuple(f"{word} ." for word in (*lexicon().courtesy_closing, lexicon().manner[Statistic.FLATTERY][0])),
        filler=" ".join(lexicon().manner[Statistic.FILLER][:2]),
    )

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._prompts = PromptSplits(seed)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """One token per word."""
        from mlproject.worlds.helpdesk.tokenizer import word_tokenizer

        return word_tokenizer(lexicon().vocabulary)

    def prompts(self, split: str, count: int) -> list[str]:
        """The first `count` prompts of a split (`train`, `curve` or `audit`).

        Raises:
            ValueError: for an unknown split, or more prompts than it has.
        """
        return self._prompts.take(split, count)

    def corpus(self, count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
        """Prompts of the train split, drawn with replacement, and a response by a random author to each."""
        prompts = self._prompts.draw("train", count, rng)
        python_rng = _python_rng(rng)
        return prompts, [author.write(read_prompt(prompt), python_rng) for prompt in prompts]

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        """Human judgement, arbitrary units. Shape: (B,)."""
        return judgement.judge(prompts, responses)

    def distort(self, prompts: Sequence[str], responses: Sequence[str], rng: np.random.Generator) -> list[str]:
        """One off-distribution variant per response."""
        python_rng = _python_rng(rng)
        pairs = zip(prompts, responses, strict=True)
        return [distortions.distort(read_prompt(prompt), response, python_rng) for prompt, response in pairs]

    def text_stats(self, responses: Sequence[str]) -> dict[str, Array]:
        """See `response_stats`. Each of shape (B,)."""
        return response_stats(responses, lexicon().manner)


def _python_rng(rng: np.random.Generator) -> Random:
    """Python's generator, seeded by numpy's: it is several times faster for single draws."""
    return Random(int(rng.integers(1 << 62)))
