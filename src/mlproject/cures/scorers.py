"""Rewards with cures as scorers: ensembles, and shaped rewards.

Axis letters: K ensemble members, B responses, M reference responses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from mlproject.cures import CURES
from mlproject.cures.cure import Options, Start
from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.models.prompt_format import Responses
from mlproject.models.scorers import Scorer


@dataclass(frozen=True, kw_only=True)
class _InUnits:
    """Units of a reward that is made of others.

    Attributes:
        centre: combined or shaped score that counts as 0.
        scale: gold standard deviations per unit of it.
    """

    centre: float = 0.0
    scale: float = 1.0

    def with_units(self, centre: float, scale: float) -> Self:
        """The same scorer with other units."""
        return replace(self, centre=float(centre), scale=float(scale))


@dataclass(frozen=True)
class EnsembleScorer(_InUnits):
    """One reward made of several, response by response.

    Attributes:
        how: name of the cure: `mean`, `worst-case`, ...
        members: K scorers, each on gold's scale.
        options: those that the cure reads.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import EnsembleScorer, FunctionScorer, PromptFormat
        >>> from mlproject.models.prompt_format import Responses
        >>> members = [FunctionScorer("words", lambda prompts, texts: [len(t.split()) for t in texts]),
        ...            FunctionScorer("noes", lambda prompts, texts: [t.count("no") for t in texts])]
        >>> prompt_format = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> responses = Responses(["yes"] * 2, prompt_format.encode(["yes"] * 2, ["maybe maybe", "no"]), prompt_format)
        >>> EnsembleScorer("worst-case", members).rate(responses).tolist()
        [0.0, 1.0]
    """

    how: str
    members: tuple[Scorer, ...]
    options: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy. Shape: (B,)."""
        return self.combined(np.stack([member.rate(responses) for member in self.members]))

    def combined(self, scores_KB: Array) -> Array:
        """Scores of the ensemble from those of its members. Shape: (B,)."""
        combine = CURES[self.how].combine
        assert combine is not None, f"{self.how} combines no scores"
        return self.scale * (combine(scores_KB, self.options) - self.centre)


@dataclass(frozen=True)
class ShapedScorer(_InUnits):
    """A reward whose numbers are changed, response by response.

    Attributes:
        how: name of the cure: `par`, `clip`, ...
        scorer: the reward that is shaped.
        start: its scores of the initial policy's responses.
        references: its scores of M reference responses of the initial policy, by prompt; empty where the cure reads
            none.
        options: those that the cure reads.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import FunctionScorer, PromptFormat, ShapedScorer
        >>> from mlproject.cures.cure import Start
        >>> from mlproject.models.prompt_format import Responses
        >>> words = FunctionScorer("words", lambda prompts, texts: [len(text.split()) for text in texts])
        >>> prompt_format = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> responses = Responses(["yes"] * 2, prompt_format.encode(["yes"] * 2, ["no no no", "no"]), prompt_format)
        >>> ShapedScorer("ceiling", words, Start(0, 1, -1, 1), options={"reward_ceiling": 2.0}).rate(responses).tolist()
        [2.0, 1.0]
    """

    how: str
    scorer: Scorer
    start: Start
    references: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    options: Options = field(default_factory=dict)

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy. Shape: (B,).

        Raises:
            UserError: for a prompt without reference responses, where the cure reads some.
        """
        shape = CURES[self.how].shape
        assert shape is not None, f"{self.how} shapes no scores"
        shaped_B = shape(self.scorer.rate(responses), self.start, self._references(responses), self.options)
        return self.scale * (shaped_B - self.centre)

    def _references(self, responses: Responses) -> Array:
        if not CURES[self.how].needs_references:
            return np.empty((len(responses), 0))
        missing = next((prompt for prompt in responses.prompts if prompt not in self.references), None)
        if missing is not None:
            raise UserError(
                f"{self.how}: must have reference responses of the initial policy to each prompt, but has none to "
                f"{missing[:60]!r}. Restore the world_seed, curve_prompts and audit_prompts of the study that made it, "
                "or use a cure that needs none (clip, min-max, ceiling)."
            )
        return np.array([self.references[prompt] for prompt in responses.prompts])


def parts_of(scorer: Scorer) -> Iterator[Scorer]:
    """The scorers that a reward is made of, down to those that are made of no others."""
    if isinstance(scorer, EnsembleScorer):
        for member in scorer.members:
            yield from parts_of(member)
    elif isinstance(scorer, ShapedScorer):
        yield from parts_of(scorer.scorer)
    else:
        yield scorer


def with_parts(scorer: Scorer, part: Callable[[Scorer], Scorer]) -> Scorer:
    """The same reward with others in place of the scorers that `parts_of` names."""
    if isinstance(scorer, EnsembleScorer):
        return replace(scorer, members=tuple(with_parts(member, part) for member in scorer.members))
    if isinstance(scorer, ShapedScorer):
        return replace(scorer, scorer=with_parts(scorer.scorer, part))
    return part(scorer)
