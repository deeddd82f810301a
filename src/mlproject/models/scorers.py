"""Scorers: reward models and functions that give responses numbers.

Axis letters: B responses, U unique responses.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch

from mlproject.curve import Array
from mlproject.errors import NotFiniteError, UserError, describe, is_interruption
from mlproject.models.checkpoints import prompt_format_of
from mlproject.models.conversation_format import ConversationFormat
from mlproject.models.finite import Report, check_scores
from mlproject.models.kept_scores import kept_in
from mlproject.models.libraries import transformers
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.sequences import Sequences
from mlproject.rewards.calls import CachedCalls, Usage, numbers_of
from mlproject.rewards.functions import ScoreFunction

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Rates(Protocol):
    """Anything that gives responses numbers."""

    def rate(self, responses: Responses) -> Array:
        """Scores. Shape: (B,)."""
        ...


class Scorer(Rates, Protocol):
    """Anything that scores responses."""

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy. Shape: (B,)."""
        ...

    def with_units(self, centre: float, scale: float) -> Self:
        """The same scorer with other units: score = scale * (raw - centre)."""
        ...


@dataclass(frozen=True)
class TextRewardModel:
    """A reward model that reads the texts of responses in its own format, not the policy's token ids.

    Attributes:
        reward_model: the model with its units.
        prompt_format: format of the model; it reads whole conversations, also where that of a policy is given.
    """

    reward_model: RewardModel
    prompt_format: PromptFormat

    def __post_init__(self) -> None:
        given = self.prompt_format
        if not isinstance(given, ConversationFormat):
            whole = ConversationFormat(given.tokenizer, given.max_response_tokens, given.max_tokens)
            object.__setattr__(self, "prompt_format", whole)

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy. Shape: (B,).

        Raises:
            NotFiniteError: for a score of nan or infinity.
        """
        return self.reward_model.scores(self.read(responses), responses)

    def read(self, responses: Responses) -> Sequences:
        """What the model reads of responses. Length B."""
        return self.prompt_format.encode(responses.prompts, responses.texts)

    @property
    def reader(self) -> PromptFormat:
        """The old name of `prompt_format`, for one release."""
        warnings.warn("reader is now called prompt_format", DeprecationWarning, stacklevel=2)
        return self.prompt_format

    @property
    def model(self) -> PreTrainedModel:
        """The old way to `reward_model.model`, for one release."""
        warnings.warn("model is now reward_model.model", DeprecationWarning, stacklevel=2)
        return self.reward_model.model

    def with_units(self, centre: float, scale: float) -> TextRewardModel:
        """The same scorer with other units."""
        return replace(self, reward_model=self.reward_model.with_units(centre, scale))


@dataclass(frozen=True)
class FunctionScorer:
    """A Python function of prompts and responses, or a service: a programmatic check, a judge, somebody's reward model.

    Attributes:
        name: `package.module:function`, or the address of a service, for error messages.
        function: (prompts, responses) -> one number each.
        centre: raw score that counts as 0.
        scale: gold standard deviations per unit of the raw score.
        identity: what the scores depend on beside the name: digest of the code, version.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import FunctionScorer, PromptFormat
        >>> from mlproject.models.prompt_format import Responses
        >>> def length(prompts, responses):
        ...     return [len(response.split()) for response in responses]
        >>> prompt_format = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> prompts = ["yes no", "yes no"]
        >>> responses = Responses(prompts, prompt_format.encode(prompts, ["no maybe", "no"]), prompt_format)
        >>> FunctionScorer("length", length).with_units(centre=1.5, scale=2.0).rate(responses).tolist()
        [1.0, -1.0]
    """

    name: str
    function: ScoreFunction
    centre: float = 0.0
    scale: float = 1.0
    identity: Mapping[str, str] = field(default_factory=dict)

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy; equal responses are scored once. Shape: (B,).

        Raises:
            UserError: if the function fails, or does not return one number per response.
            NotFiniteError: for a score of nan, infinity or None.
        """
        pairs = list(zip(responses.prompts, responses.texts, strict=True))
        distinct = list(dict.fromkeys(pairs))
        try:
            with kept_in(None):
                values = self.function([prompt for prompt, _ in distinct], [response for _, response in distinct])
        except UserError:
            raise
        except BaseException as error:
            if is_interruption(error):
                raise
            raise UserError(f"{self.name}: must not fail ({describe(error)}). Fix the function.") from error
        raw_U = numbers_of(values, self.name, len(distinct))
        score_of = dict(zip(distinct, self.scale * (raw_U - self.centre), strict=True))
        scores_B = np.array([score_of[pair] for pair in pairs])
        check_scores(scores_B, self.name, responses, "Fix the function; it must return a number, not None, for each.")
        return scores_B

    @property
    def usage(self) -> Usage:
        """What was asked of it so far; nothing where it has no cache."""
        return self.function.usage if isinstance(self.function, CachedCalls) else Usage()

    def with_units(self, centre: float, scale: float) -> FunctionScorer:
        """The same scorer with other units."""
        return replace(self, centre=float(centre), scale=float(scale))


@dataclass(frozen=True)
class NoGold:
    """Stands in for gold where nothing plays it: every score is nan."""

    def rate(self, responses: Responses) -> Array:
        """nan for every response. Shape: (B,)."""
        return np.full(len(responses), np.nan)

    def with_units(self, centre: float, scale: float) -> Self:
        """The same scorer, since nan has no unit."""
        return self


class NoProxy:
    """Stands where a method needs no proxy: nobody may ask it."""

    def rate(self, responses: Responses) -> Array:
        """Raises: there are no scores."""
        raise RuntimeError("a method with needs_proxy=False has no proxy: it brings its own reward to every point")

    def with_units(self, centre: float, scale: float) -> Self:
        """The same, since what gives no scores has no unit."""
        return self


def rated(scorer: Rates, responses: Responses, role: str, report: Report | None = None) -> Array:
    """Scores of responses, all of them finite unless nothing gives scores.

    Args:
        scorer: gives the scores.
        responses: B of them.
        role: what the scorer plays (proxy, gold, the name of an auxiliary RM), for messages.
        report: told of a score of nan or infinity, instead of an error; all scores are then nan.

    Returns:
        gold standard deviations above the initial policy. Shape: (B,).

    Raises:
        NotFiniteError: for a score of nan or infinity; names role, prompt and response.
    """
    try:
        scores_B = scorer.rate(responses)
        if not isinstance(scorer, NoGold):
            check_scores(scores_B, role, responses)
    except NotFiniteError as error:
        if report is None:
            raise error.of(role) from None
        report(error.of(role))
        return np.full(len(responses), np.nan)
    return scores_B


def load_reward_model(
    folder: Path, policy: PromptFormat, device: torch.device | str = "cpu"
) -> RewardModel | TextRewardModel:
    """Load a reward model. It reads texts in its own format, unless it was trained on the policy's token ids.

    Args:
        folder: a Hugging Face folder.
        policy: prompt format of the policy whose responses are scored.
        device: device of the model.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import PromptFormat, load_reward_model
        >>> policy = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> type(load_reward_model("reward-model", policy)).__name__  # saved with that policy's format, so it reads ids
        'RewardModel'
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return as_it_reads(RewardModel.load(folder, device), tokenizer, policy)


def as_it_reads(
    reward_model: RewardModel, tokenizer: transformers.PreTrainedTokenizerFast, policy: PromptFormat
) -> RewardModel | TextRewardModel:
    """A reward model as a scorer of a policy's responses.

    Only a model that `RewardModel.save` wrote for readers of token ids reads ids, and only where they mean the same in
    the policy and no chat template lays out a whole conversation. A model from elsewhere always reads texts.

    Args:
        reward_model: the model with its units.
        tokenizer: of the model.
        policy: prompt format of the policy whose responses are scored.
    """
    config = reward_model.model.config
    reads_texts = getattr(config, "reads_texts", not hasattr(config, "max_response_tokens"))
    prompt_format = prompt_format_of(tokenizer, reward_model.model)
    if not reads_texts and not tokenizer.chat_template and prompt_format.shares_ids(policy):
        return reward_model
    if hasattr(config, "max_response_tokens") and (reads_texts or tokenizer.chat_template):
        limits = config.max_response_tokens, getattr(config, "max_tokens", None)
        prompt_format = ConversationFormat(tokenizer, *limits)
    return TextRewardModel(reward_model, prompt_format)
