"""Scorers: whatever gives a response a number, be it a reward model or a function of somebody's own.

Axis letters: B responses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from mlproject.errors import UserError
from mlproject.models.checkpoints import prompt_format_of
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel

Array = NDArray[np.float64]
ScoreFunction = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


class Scorer(Protocol):
    """Rates responses."""

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy. Shape: (B,)."""
        ...

    def with_units(self, centre: float, scale: float) -> Self:
        """The same, read on another scale: score = scale * (raw - centre)."""
        ...


@dataclass(frozen=True)
class TextRewardModel:
    """A reward model with a tokenizer of its own: it reads the texts of responses, not the policy's ids.

    Attributes:
        reward_model: with its units.
        prompt_format: its own.
    """

    reward_model: RewardModel
    prompt_format: PromptFormat

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy. Shape: (B,)."""
        return self.reward_model.scores(self.prompt_format.encode(responses.prompts, responses.texts))

    def with_units(self, centre: float, scale: float) -> TextRewardModel:
        """The same, read on another scale."""
        return replace(self, reward_model=self.reward_model.with_units(centre, scale))


@dataclass(frozen=True)
class FunctionScorer:
    """A Python function of prompts and responses: a programmatic check, a judge, a client of somebody's service.

    Attributes:
        name: `package.module:function`, for messages.
        function: (prompts, responses) -> one number each.
        centre, scale: score = scale * (raw - centre).

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

    def rate(self, responses: Responses) -> Array:
        """Scores in gold standard deviations above the initial policy, equal responses scored once. Shape: (B,).

        Raises:
            UserError: where the function fails, or does not return one finite number for each response.
        """
        pairs = list(zip(responses.prompts, responses.texts, strict=True))
        distinct = list(dict.fromkeys(pairs))
        try:
            said = self.function([prompt for prompt, _ in distinct], [response for _, response in distinct])
        except Exception as error:
            raise UserError(f"{self.name}: failed ({_one_line(error)}); mend the function") from error
        try:
            raw_D = np.asarray(said, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError(f"{self.name}: returned a {type(said).__name__}; return one number a response") from None
        if raw_D.shape != (len(distinct),) or not np.isfinite(raw_D).all():
            got = f"shape {raw_D.shape}" if raw_D.shape != (len(distinct),) else "nan or infinity"
            raise UserError(f"{self.name}: returned {got} for {len(distinct)} responses; return one finite number each")
        score_of = dict(zip(distinct, self.scale * (raw_D - self.centre), strict=True))
        return np.array([score_of[pair] for pair in pairs])

    def with_units(self, centre: float, scale: float) -> FunctionScorer:
        """The same, read on another scale."""
        return replace(self, centre=float(centre), scale=float(scale))


def _one_line(error: Exception) -> str:
    """Kind of an exception and what it says, cut to one line."""
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def load_function(name: str) -> ScoreFunction:
    """Import `package.module:function`.

    Raises:
        UserError: where there is none of that name; one line says what is missing.
    """
    module, _, attribute = name.partition(":")
    try:
        imported = import_module(module)
    except Exception as error:
        raise UserError(
            f"{name}: cannot be imported ({_one_line(error)}); give package.module:function on the path"
        ) from None
    if not hasattr(imported, attribute):
        raise UserError(f"{name}: {module} has no {attribute}; give package.module:function") from None
    found = getattr(imported, attribute)
    if not callable(found):
        raise UserError(f"{name}: is a {type(found).__name__}; give a function of (prompts, responses)")
    return found


def load_reward_model(
    folder: Path, policy: PromptFormat, device: torch.device | str = "cpu"
) -> RewardModel | TextRewardModel:
    """Read a reward model, which reads the policy's ids where its tokenizer is the policy's, and texts otherwise.

    Args:
        folder: in Hugging Face's form.
        policy: how the policy reads whose responses are rated.
        device: where it goes.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import PromptFormat, load_reward_model
        >>> policy = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> type(load_reward_model("reward-model", policy)).__name__  # it has the policy's tokenizer, so it reads ids
        'RewardModel'
    """
    reward_model = RewardModel.load(folder, device)
    own = prompt_format_of(AutoTokenizer.from_pretrained(folder), reward_model.model)
    if getattr(reward_model.model.config, "reads_texts", False) or not own.is_like(policy):
        return TextRewardModel(reward_model, own)
    return reward_model
