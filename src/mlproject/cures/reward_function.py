"""A scorer of this project as a reward function of TRL's trainers (`reward_funcs`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.scorers import Scorer
from mlproject.strict_json import strict_json

RewardFunction = Callable[..., list[float]]


def as_reward_function(scorer: Scorer, prompt_format: PromptFormat, name: str = "reward") -> RewardFunction:
    """A function `(prompts, completions, **columns) -> rewards`, as TRL's GRPO and RLOO trainers call it.

    Args:
        scorer: a reward model, or a reward with cures: an ensemble, a shaped reward.
        prompt_format: of the policy that is trained.
        name: under which the trainer logs it.

    Returns:
        takes texts, or messages as a trainer gives them for a dataset of conversations, and ignores further columns.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import EnsembleScorer, FunctionScorer, PromptFormat, as_reward_function
        >>> words = FunctionScorer("words", lambda prompts, texts: [len(text.split()) for text in texts])
        >>> noes = FunctionScorer("noes", lambda prompts, texts: [text.count("no") for text in texts])
        >>> prompt_format = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> worst = as_reward_function(EnsembleScorer("worst-case", (words, noes)), prompt_format)
        >>> worst(prompts=["yes", "yes"], completions=["maybe maybe", "no"])
        [0.0, 1.0]
    """

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        texts = [_prompt(prompt) for prompt in prompts]
        written = [each if isinstance(each, str) else each[-1]["content"] for each in completions]
        scores: list[float] = scorer.rate(
            Responses(texts, prompt_format.encode(texts, written), prompt_format)
        ).tolist()
        return scores

    reward.__name__ = name
    return reward


def _prompt(prompt: Any) -> str:
    """A prompt as the project writes it: the text of a single question, JSON of a longer conversation."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return str(prompt[0]["content"])
    return strict_json([{"role": turn["role"], "content": turn["content"]} for turn in prompt])
