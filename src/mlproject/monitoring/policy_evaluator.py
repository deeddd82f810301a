"""The watch on a live policy: an evaluator set up from what a user of another trainer has at hand.

A policy, its tokenizer, held-out prompts and two scorers are enough. Units are found on the initial policy, and what
one look may cost is bounded before the first one.

Axis letters: P prompts, N samples per prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Self, TypeAlias, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from mlproject.curve import Array, CurvePoint
from mlproject.errors import UserError
from mlproject.models.checkpoints import inspect_reward_model
from mlproject.models.generation import sample_responses
from mlproject.models.live_policy import WithoutAdapter, measurable
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, ScoreFunction, Scorer, load_reward_model
from mlproject.optimization.evaluator import Evaluator
from mlproject.optimization.sample_pool import Judge, Pool, draw_pool
from mlproject.preferences.calibration import calibration_scale
from mlproject.worlds.text_stats import response_stats

ScorerLike: TypeAlias = Scorer | PreTrainedModel | ScoreFunction | str | Path
"""A scorer, a one-label classifier that reads the policy's ids, a function of (prompts, responses) returning a number
each, or the folder of a reward model."""

_FEWEST_PROMPTS = 8
_HEADROOM = 0.8
"""Share of `max_seconds` that is planned with: responses may grow longer as a policy is optimized."""

_BATCH = 2048
"""Responses sampled at a time for the pool."""


class PlainTexts:
    """Responses in any language: no human at hand, and the signs that anyone can count."""

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array | None:
        """Nobody judges."""
        return None

    def text_stats(self, responses: Sequence[str]) -> Mapping[str, Array]:
        """Length in words, repetition, distinct pairs, hedges and stock phrases (see `response_stats`)."""
        return response_stats(responses)


@dataclass(frozen=True)
class Unknown:
    """Plays gold where nothing does: every score is nan."""

    def rate(self, responses: Responses) -> Array:
        """nan. Shape: (B,)."""
        return np.full(len(responses), np.nan)

    def with_units(self, centre: float, scale: float) -> Self:
        """The same."""
        return self


class PolicyEvaluator:
    """Measures a policy while it is trained, always on the same held-out prompts.

    Setting it up draws a pool of the initial policy's responses and, with `max_seconds`, times looks at the initial
    policy at doubling numbers of prompts: in all about as much as `pool_samples` looks at worst, and 2 more.

    Units: gold above the initial policy's own, in standard deviations of its gold scores over the pool; the proxy
    likewise, with one calibration scale fitted on pairs of the pool against soft gold labels, so that the two can be
    compared. Where gold is the same for every response of the initial policy its unit is its own; without gold the
    proxy is in standard deviations of its scores.

    Args:
        initial_policy: KL is measured from it; in eval mode, never changed (see `as_reference`).
        prompt_format: of the policy; its longest response is what the policy may write.
        prompts: held-out texts, 2 or more; 64 to 256 serve well.
        proxy: what is optimized against.
        gold: what plays the truth; None: nothing does.
        judge: human judgement and signs; signs alone by default.
        witnesses: further scorers that nobody optimizes, by name (`test_rm.NAME`, `member.NAME`; see `witnesses`):
            their gains, and gaps to the proxy, stand among the signs, in units found like the proxy's.
        calibrate: False takes proxy and gold in the units that they come with.
        pool_samples: responses of the initial policy per prompt (N).
        samples_per_prompt: responses drawn per prompt at each look.
        max_seconds: one look should cost no more; fewer of the prompts are used where all would. None: no bound.
        seed: of all responses drawn.

    Attributes:
        prompts: those in use: the first of those given.
        proxy, gold, witnesses: scorers in the units of the points.

    Raises:
        UserError: for too few prompts, or a scorer that is none.

    Examples:
        >>> from transformers import AutoModelForCausalLM, AutoTokenizer
        >>> from mlproject import PolicyEvaluator, PromptFormat
        >>> policy = AutoModelForCausalLM.from_pretrained("policy").eval()
        >>> prompt_format = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> prompts, gold = ["yes no", "no", "maybe"], lambda prompts, responses: [len(text) for text in responses]
        >>> evaluator = PolicyEvaluator(policy, prompt_format, prompts, proxy="reward-model", gold=gold)
        >>> evaluator.measure(policy, step=0).kl
        0.0
    """

    def __init__(
        self,
        initial_policy: PreTrainedModel | WithoutAdapter,
        prompt_format: PromptFormat,
        prompts: Sequence[str],
        proxy: ScorerLike,
        gold: ScorerLike | None = None,
        *,
        judge: Judge | None = None,
        witnesses: Mapping[str, ScorerLike] | None = None,
        calibrate: bool = True,
        pool_samples: int = 8,
        samples_per_prompt: int = 1,
        max_seconds: float | None = None,
        seed: int = 0,
    ) -> None:
        if len(prompts) < 2:
            raise UserError(f"prompts: a forecast needs 2 or more, got {len(prompts)}; give 64 to 256")
        if pool_samples < 2 or samples_per_prompt < 1:
            raise UserError(
                f"pool_samples={pool_samples}, samples_per_prompt={samples_per_prompt}: allowed are 2 and 1 or more"
            )
        self._prompt_format, self._seed = prompt_format, seed
        judge = PlainTexts() if judge is None else judge
        policy = cast(PreTrainedModel, initial_policy)
        self.proxy = as_scorer(proxy, "proxy", policy, prompt_format)
        self.gold: Scorer = Unknown() if gold is None else as_scorer(gold, "gold", policy, prompt_format)
        self.witnesses = {
            name: as_scorer(each, name, policy, prompt_format) for name, each in (witnesses or {}).items()
        }
        if calibrate:  # raw first
            self.proxy, self.gold = self.proxy.with_units(0.0, 1.0), self.gold.with_units(0.0, 1.0)
            self.witnesses = {name: each.with_units(0.0, 1.0) for name, each in self.witnesses.items()}
        with measurable(initial_policy, prompt_format.tokenizer):
            self.prompts = list(prompts)
            if max_seconds is not None:
                count = fitting(len(prompts), max_seconds, lambda n: self._rehearse(policy, n, samples_per_prompt))
                self.prompts = self.prompts[:count]
            pool = draw_pool(
                policy,
                self.prompts,
                pool_samples,
                prompt_format=prompt_format,
                gold=self.gold,
                world=judge,
                human_units=(0.0, 1.0),
                generator=torch.Generator(device=policy.device).manual_seed(seed),
                batch=_BATCH,
            )
            pool, human_units = _in_human_units(pool)
            if calibrate:
                pool = self._calibrate(pool)
            self._evaluator = Evaluator(
                world=judge,
                prompt_format=prompt_format,
                prompts=self.prompts,
                initial_policy=policy,
                proxy=self.proxy,
                gold=self.gold,
                human_units=human_units,
                pool=pool,
                samples_per_prompt=samples_per_prompt,
                seed=seed + 1,
                auxiliary_rms=self.witnesses,
            )

    def measure(self, policy: PreTrainedModel, step: int) -> CurvePoint:
        """Look at the policy; it is left as it was found, and so are all random states.

        Args:
            policy: on the initial policy's device, in whatever mode.
            step: integer step of the point.
        """
        with measurable(policy, self._prompt_format.tokenizer) as live:
            return self._evaluator.evaluate_policy(live, step)

    def _calibrate(self, pool: Pool) -> Pool:
        """Find the units of proxy and gold; returns the pool in them."""
        drawn = Responses.of_prompts(self.prompts, pool.sequences, self._prompt_format)
        centre, spread = float(pool.gold_PN.mean()), float(pool.gold_PN.std()) or 1.0
        gold_PN = (1 / spread) * (pool.gold_PN - centre)
        self.gold = self.gold.with_units(centre, 1 / spread)
        self.proxy = _calibrated(self.proxy, drawn, gold_PN)
        self.witnesses = {name: _calibrated(each, drawn, gold_PN) for name, each in self.witnesses.items()}
        return replace(pool, gold_PN=gold_PN)

    def _rehearse(self, policy: PreTrainedModel, count: int, samples_per_prompt: int) -> float:
        """Seconds of one look at the initial policy on so many prompts."""
        start = perf_counter()
        texts = self.prompts[:count]
        responses = sample_responses(
            policy,
            self._prompt_format,
            texts,
            generator=torch.Generator(device=policy.device).manual_seed(self._seed),
            samples_per_prompt=samples_per_prompt,
        )
        measure_kl(policy, policy, responses.sequences.to(policy.device))
        for scorer in (self.proxy, self.gold, *self.witnesses.values()):
            scorer.rate(responses)
        return perf_counter() - start


def fitting(available: int, max_seconds: float, seconds_of: Callable[[int], float]) -> int:
    """How many prompts one look can afford.

    Looks at 8, 16, 32, ... prompts are timed until twice as many would no longer fit. That costs at most about twice
    `max_seconds`, unless 8 prompts alone are over it.

    Args:
        available: prompts there are.
        max_seconds: what a look may cost.
        seconds_of: carries out a look at so many prompts and says what it took.

    Returns:
        a number from 2 to `available`.

    Raises:
        UserError: for a time that is not above 0.
    """
    if not max_seconds > 0:
        raise UserError(f"max_seconds={max_seconds:g}: allowed is a number above 0")
    count = min(_FEWEST_PROMPTS, available)
    seconds_of(count)  # the first look loads and compiles what later ones find ready
    while True:
        seconds = seconds_of(count)
        if count == available and seconds <= _HEADROOM * max_seconds:
            return available
        if count == available or 2 * seconds > max_seconds:
            affordable = int(count * _HEADROOM * max_seconds / seconds)
            return min(max(affordable, 2), available)
        count = min(2 * count, available)


def as_scorer(given: ScorerLike, role: str, policy: PreTrainedModel, prompt_format: PromptFormat) -> Scorer:
    """Whatever gives a response a number, as a scorer.

    A reward model from a folder reads the policy's ids where its tokenizer is the policy's own, and texts otherwise.

    Args:
        given: see `ScorerLike`.
        role: proxy or gold, for messages.
        policy, prompt_format: whose responses are rated.

    Raises:
        UserError: for anything else.
    """
    if isinstance(given, str | Path):
        if not (Path(given) / "config.json").is_file():
            raise UserError(f"{role}={given}: is not the folder of a model; give one with a config.json")
        inspect_reward_model(str(Path(given).resolve()), role)
        return load_reward_model(Path(given), prompt_format, policy.device)
    if hasattr(given, "rate") and hasattr(given, "with_units"):
        return cast(Scorer, given)
    if isinstance(given, PreTrainedModel):
        if given.config.vocab_size != policy.config.vocab_size:
            raise UserError(
                f"{role}: a model with a vocabulary of {given.config.vocab_size} cannot read the ids of a policy with "
                f"{policy.config.vocab_size}; give its folder, or a TextRewardModel"
            )
        return RewardModel(given)
    if callable(given):
        return FunctionScorer(getattr(given, "__qualname__", role), cast(ScoreFunction, given))
    raise UserError(
        f"{role}: is a {type(given).__name__}; give a reward model, its folder, or a function of (prompts, responses)"
    )


def _calibrated(scorer: Scorer, drawn: Responses, gold_PN: Array) -> Scorer:
    """A raw scorer on gold's scale, by pairs of samples; without gold, in standard deviations of its own scores."""
    scores_PN = scorer.rate(drawn).reshape(gold_PN.shape)
    if np.isnan(gold_PN).any():
        return scorer.with_units(float(scores_PN.mean()), 1 / (float(scores_PN.std()) or 1.0))
    even = 2 * (gold_PN.shape[1] // 2)
    margins = [(x_PN[:, 0:even:2] - x_PN[:, 1:even:2]).ravel() for x_PN in (scores_PN, gold_PN)]
    return scorer.with_units(float(scores_PN.mean()), calibration_scale(*margins))


def _in_human_units(pool: Pool) -> tuple[Pool, tuple[float, float]]:
    """The pool with human judgement in standard deviations of the initial policy's, and (mean, deviation) of it."""
    if pool.human_PN is None:
        return pool, (0.0, 1.0)
    mean, deviation = float(pool.human_PN.mean()), float(pool.human_PN.std()) or 1.0
    return replace(pool, human_PN=(pool.human_PN - mean) / deviation), (mean, deviation)
