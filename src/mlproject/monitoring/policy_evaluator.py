"""The evaluation of a policy while somebody else's trainer trains it, from what its user has at hand.

A policy, its tokenizer, held-out prompts and two scorers are enough. Units are fitted on the initial policy, and the
cost of one evaluation is bounded before the first one.

Axis letters: B responses, P prompts, N samples per prompt in the pool.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from mlproject.curve import Array, CurvePoint
from mlproject.errors import NotFiniteError, UserError
from mlproject.models.chat_template import PromptLike, as_prompts, check_prompts
from mlproject.models.finite import Report
from mlproject.models.generation import sample_responses
from mlproject.models.live_policy import WithoutAdapter, measurable
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import NoGold, Scorer, TextRewardModel, rated
from mlproject.models.turns import response_ends
from mlproject.monitoring.user_scorers import ScorerLike, as_scorer, calibrated
from mlproject.optimization.evaluator import Evaluator
from mlproject.optimization.pool_samples import Judge, draw_samples
from mlproject.optimization.sample_pool import Pool, score_pool
from mlproject.worlds.text_stats import response_stats

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MIN_PROMPTS = 8
_HEADROOM = 0.8
"""Share of `max_seconds` that is planned with: responses may grow longer as a policy is optimized."""

_BATCH = 2048
"""Responses sampled at a time for the pool."""


class PlainTexts:
    """The `Judge` of responses in any language: no human judgement, and the statistics of any text."""

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> Array | None:
        """None: there is no human judgement."""
        return None

    def text_stats(self, responses: Sequence[str]) -> Mapping[str, Array]:
        """Length in words, repetition, distinct pairs, hedges and stock phrases (see `response_stats`)."""
        return response_stats(responses)


class PolicyEvaluator:
    """Measures a policy while it is trained, always on the same held-out prompts.

    Setting it up draws a pool of the initial policy's responses and, with `max_seconds`, times evaluations of the
    initial policy at doubling numbers of prompts: in all about as much as `pool_samples` evaluations at worst, and 2
    more.

    Units: gold above the initial policy's own, in standard deviations of its gold scores over the pool; the proxy
    likewise, with one calibration scale fitted on pairs of the pool against soft gold labels, so that the two can be
    compared. Where gold is the same for every response of the initial policy its unit is its own; without gold the
    proxy is in standard deviations of its scores.

    Args:
        initial_policy: KL is measured from it; in eval mode, never changed (see `as_reference`).
        prompt_format: of the policy; holds the longest response that the policy may write.
        prompts: held-out texts, or conversations as lists of messages, 2 or more; 64 to 256 serve well.
        proxy: what is optimized against.
        gold: what plays the truth; None: nothing does.
        judge: human judgement and text statistics; `PlainTexts` by default.
        auxiliary_rms: further scorers that nobody optimizes, by role (`test_rm.NAME`, `member.NAME`; see
            `mlproject.optimization.auxiliary_rms`): their gains, and gaps to the proxy, stand among a point's
            statistics, in units fitted like the proxy's.
        calibrate: False leaves proxy and gold in their own units.
        pool_samples: responses of the initial policy per prompt (N), 2 or more.
        samples_per_prompt: responses drawn per prompt at each evaluation, 1 or more.
        max_seconds: upper bound for one evaluation; fewer of the prompts are used where all would take longer. None:
            no bound.
        seed: of all responses drawn.
        witnesses: the old name of `auxiliary_rms`, for one release.

    Attributes:
        prompts: those in use: the first of those given.
        proxy: scorer in the units of the points.
        gold: scorer in the units of the points.
        auxiliary_rms: scorers in the units of the points, by role.

    Raises:
        UserError: for too few prompts or samples, a prompt that a chat template refuses, or a scorer that is none.

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
        prompts: Sequence[PromptLike],
        proxy: ScorerLike,
        gold: ScorerLike | None = None,
        *,
        judge: Judge | None = None,
        auxiliary_rms: Mapping[str, ScorerLike] | None = None,
        calibrate: bool = True,
        pool_samples: int = 8,
        samples_per_prompt: int = 1,
        max_seconds: float | None = None,
        seed: int = 0,
        witnesses: Mapping[str, ScorerLike] | None = None,
    ) -> None:
        texts = as_prompts(prompts)
        if len(texts) < 2:
            raise UserError(f"prompts: must be 2 or more, got {len(texts)}. Give 64 to 256.")
        if pool_samples < 2 or samples_per_prompt < 1:
            raise UserError(
                f"pool_samples={pool_samples}, samples_per_prompt={samples_per_prompt}: must be at least 2 and 1. "
                "Give more."
            )
        if witnesses is not None:
            warnings.warn("witnesses= is now called auxiliary_rms=", DeprecationWarning, stacklevel=2)
            auxiliary_rms = witnesses
        policy = cast("PreTrainedModel", initial_policy)
        ends = response_ends(getattr(policy, "generation_config", None), prompt_format.tokenizer)
        prompt_format = replace(prompt_format, further_ends=tuple(ends))
        self._prompt_format, self._seed = prompt_format, seed
        judge = PlainTexts() if judge is None else judge
        self.proxy = as_scorer(proxy, "proxy", policy, prompt_format)
        self.gold: Scorer = NoGold() if gold is None else as_scorer(gold, "gold", policy, prompt_format)
        self.auxiliary_rms = {
            role: as_scorer(rm, role, policy, prompt_format) for role, rm in (auxiliary_rms or {}).items()
        }
        scorers = {"proxy": self.proxy, "gold": self.gold, **self.auxiliary_rms}
        readers = {role: rm.prompt_format.tokenizer for role, rm in scorers.items() if isinstance(rm, TextRewardModel)}
        check_prompts(texts, {"policy": prompt_format.tokenizer, **readers})
        if calibrate:  # from raw units
            self.proxy, self.gold = self.proxy.with_units(0.0, 1.0), self.gold.with_units(0.0, 1.0)
            self.auxiliary_rms = {role: rm.with_units(0.0, 1.0) for role, rm in self.auxiliary_rms.items()}
        with measurable(initial_policy, prompt_format.tokenizer), TemporaryDirectory(prefix="mlproject-") as folder:
            self.prompts = texts
            if max_seconds is not None:
                count = affordable_prompts(
                    len(texts), max_seconds, lambda n: self._seconds_of(policy, n, samples_per_prompt)
                )
                self.prompts = self.prompts[:count]
            samples = draw_samples(
                policy,
                self.prompts,
                pool_samples,
                Path(folder),
                prompt_format=prompt_format,
                world=judge,
                generator=torch.Generator(device=policy.device).manual_seed(seed),
                batch=_BATCH,
            )
            pool, human_units = _in_human_units(score_pool(samples, self.gold, human_units=(0.0, 1.0)))
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
                auxiliary_rms=self.auxiliary_rms,
            )

    def measure(self, policy: PreTrainedModel, step: int, report: Report | None = None) -> CurvePoint:
        """Evaluate the policy; the policy and all random states are left unchanged.

        Args:
            policy: on the initial policy's device, in whatever mode.
            step: integer step of the point.
            report: told of scores, KL and logits that are not finite, instead of an error; what is not known is then
                nan in the point.

        Raises:
            NotFiniteError: for nan or infinity, unless there is `report`.
        """
        try:
            with measurable(policy, self._prompt_format.tokenizer) as live:
                return self._evaluator.evaluate_policy(live, step, report=report)
        except NotFiniteError as error:  # from the policy itself: no response can be sampled
            if report is None:
                raise
            report(error)
            return self._unknown(step)

    def _unknown(self, step: int) -> CurvePoint:
        """The point of a policy that cannot be measured."""
        nan, nan_P = float("nan"), np.full(len(self.prompts), np.nan)
        known = self._evaluator.snapshot
        return CurvePoint(step, nan, nan_P, nan_P, None, dict.fromkeys(known.point.statistics if known else (), nan))

    def _calibrate(self, pool: Pool) -> Pool:
        """Fit the units of all scorers; returns the pool with gold in its unit."""
        responses = pool.samples.first(pool.shape[1])
        centre, spread = float(pool.gold_PN.mean()), float(pool.gold_PN.std()) or 1.0
        gold_PN = (1 / spread) * (pool.gold_PN - centre)
        self.gold = self.gold.with_units(centre, 1 / spread)
        self.proxy = calibrated(self.proxy, responses, gold_PN, "proxy")
        self.auxiliary_rms = {role: calibrated(rm, responses, gold_PN, role) for role, rm in self.auxiliary_rms.items()}
        return replace(pool, gold_PN=gold_PN)

    def _seconds_of(self, policy: PreTrainedModel, count: int, samples_per_prompt: int) -> float:
        """Seconds of one evaluation of the initial policy on so many prompts."""
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
        for role, scorer in {"proxy": self.proxy, "gold": self.gold, **self.auxiliary_rms}.items():
            rated(scorer, responses, role)
        return perf_counter() - start


def affordable_prompts(available: int, max_seconds: float, seconds_of: Callable[[int], float]) -> int:
    """How many prompts one evaluation can afford.

    Evaluations on 8, 16, 32, ... prompts are timed until twice as many would no longer fit. That costs at most about
    twice `max_seconds`, unless 8 prompts alone are over it.

    Args:
        available: number of prompts.
        max_seconds: upper bound for one evaluation.
        seconds_of: evaluates on so many prompts and returns the seconds that it took.

    Returns:
        a number from 2 to `available`.

    Raises:
        UserError: for a time that is not above 0.
    """
    if not max_seconds > 0:
        raise UserError(f"max_seconds={max_seconds:g}: must be above 0. Give seconds, or None for no bound.")
    count = min(_MIN_PROMPTS, available)
    seconds_of(count)  # the first evaluation loads and compiles what later ones reuse
    while True:
        seconds = seconds_of(count)
        if count == available and seconds <= _HEADROOM * max_seconds:
            return available
        if count == available or 2 * seconds > max_seconds:
            affordable = int(count * _HEADROOM * max_seconds / seconds)
            return min(max(affordable, 2), available)
        count = min(2 * count, available)


def _in_human_units(pool: Pool) -> tuple[Pool, tuple[float, float]]:
    """The pool with human judgement in standard deviations of the initial policy's, and (mean, deviation) of it."""
    if pool.human_PN is None:
        return pool, (0.0, 1.0)
    mean, deviation = float(pool.human_PN.mean()), float(pool.human_PN.std()) or 1.0
    return replace(pool, human_PN=(pool.human_PN - mean) / deviation), (mean, deviation)
