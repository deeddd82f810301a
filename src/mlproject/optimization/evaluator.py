"""The evaluator: KL, proxy, gold and human score of a policy, always on the same prompts.

Scores are gains over the initial policy, prompt by prompt: each prompt's mean score over the initial policy's samples
in the pool is subtracted, so that differences between prompts add no noise to a curve. A selection from the pool starts
at exactly 0; a policy that is measured on fresh samples starts there up to sampling noise.

Axis letters: P prompts, N samples per prompt in the pool, M samples per prompt drawn at a curve point, G grid entries,
B responses, R tokens of a response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mlproject.curve import Array, CurvePoint
from mlproject.errors import located
from mlproject.models.finite import Report, check_kl, told_at
from mlproject.models.generation import sample_responses
from mlproject.models.log_probs import Divergence, measure_kl
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.scorers import Rates, Scorer, rated
from mlproject.names import Diagnostic, Statistic
from mlproject.optimization.auxiliary_rms import auxiliary_statistics, pool_gains
from mlproject.optimization.kl_check import sampled_estimates
from mlproject.optimization.pool_samples import Judge
from mlproject.optimization.sample_pool import Pool
from mlproject.optimization.snapshot import SHOWN_PROMPTS, Snapshot
from mlproject.optimization.win_rate import win_rate_P, win_rate_PN
from mlproject.resume.resumption import Resumption
from mlproject.worlds.text_stats import collective_stats

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_BASELINE_SAMPLES = 16
"""Samples per prompt that give the initial policy's mean score by the proxy and by auxiliary RMs."""


class ImplicitProxy(Rates, Protocol):
    """What plays the proxy of a method that has none: it changes with the policy, so its baseline does too."""

    def baseline_P(self) -> Array:
        """Mean score of the initial policy on each prompt, now. Shape: (P,)."""
        ...


class Evaluator:
    """Measures curve points on fixed held-out prompts.

    Args:
        world: human judgement and text statistics.
        prompt_format: of the policy; it bounds the length of a response.
        prompts: the curve prompts, P texts.
        initial_policy: KL is measured from it.
        proxy, gold: scorers, gold standard deviations; no proxy where a method brings its own to every point.
        human_units: (mean, standard deviation) of the human judgement over the initial policy's responses.
        pool: the initial policy's samples on the same prompts.
        samples_per_prompt: responses drawn per prompt to measure a policy.
        seed: seed of these draws, the same at every point.
        round_start: policy that this round of an iterated run started from; KL from it is measured too.
        auxiliary_rms: scorers that nobody optimizes, by role (see `mlproject.optimization.auxiliary_rms`). Each
            adds its mean gain over the initial policy to the statistics of a point.
        resumption: where scores of the whole pool are kept as they come.

    Attributes:
        snapshot: responses and policy of the last curve point; None before the first.
    """

    def __init__(
        self,
        *,
        world: Judge,
        prompt_format: PromptFormat,
        prompts: Sequence[str],
        initial_policy: PreTrainedModel,
        proxy: Scorer | None,
        gold: Scorer,
        human_units: tuple[float, float],
        pool: Pool,
        samples_per_prompt: int,
        seed: int,
        round_start: PreTrainedModel | None = None,
        auxiliary_rms: Mapping[str, Scorer] | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        self._resumption = resumption or Resumption()
        self._auxiliary_rms = dict(auxiliary_rms or {})
        self._world, self._prompt_format, self._texts = world, prompt_format, list(prompts)
        self._initial_policy, self._gold, self._pool = initial_policy, gold, pool
        self._proxy: Rates | None = proxy
        self._human_units, self._samples, self._seed = human_units, samples_per_prompt, seed
        self._round_start = round_start
        self.snapshot: Snapshot | None = None
        rated_here = {**({} if proxy is None else {"proxy": proxy}), **self._auxiliary_rms}
        baselines_P = self.baselines_P(rated_here)
        self._proxy_baseline_P = baselines_P.pop("proxy", np.zeros(pool.shape[0]))
        self._auxiliary_baselines_P = baselines_P
        self._gold_baseline_P = pool.gold_PN.mean(axis=1)
        self._has_gold = bool(np.isfinite(pool.gold_PN).all())
        self._human_baseline_P = None if pool.human_PN is None else pool.human_PN.mean(axis=1)

    def baselines_P(self, scorers: Mapping[str, Scorer]) -> dict[str, Array]:
        """Mean score of the initial policy on each prompt, by each of several scorers, from which a curve's scores are
        measured. Shapes: (P,).

        Args:
            scorers: by what messages call them.
        """
        prompts, samples = self._pool.shape[0], min(_BASELINE_SAMPLES, self._pool.shape[1])
        first = self._pool.samples.first(samples)
        return {
            role: rated(scorer, first, role).reshape(prompts, samples).mean(axis=1) for role, scorer in scorers.items()
        }

    def evaluate_policy(
        self,
        policy: PreTrainedModel,
        step: int,
        diagnostics: Mapping[str, float] | None = None,
        report: Report | None = None,
        proxy: ImplicitProxy | None = None,
    ) -> CurvePoint:
        """Measure a policy on samples that it generates now.

        Args:
            policy: in eval mode, on the initial policy's device.
            step: integer step of the point.
            diagnostics: statistics of the optimization, by name.
            report: told of scores and a KL that are not finite, instead of an error; they are so in the point.
            proxy: plays the proxy, where the evaluator was given none.

        Raises:
            NotFiniteError: where the policy gives nan; without `report` also for a score or KL of nan or infinity.
        """
        with located(f"at step {step}"):
            if proxy is not None:
                self._proxy, self._proxy_baseline_P = proxy, proxy.baseline_P()
            return self._measured(policy, step, diagnostics or {}, told_at(report, f"at step {step}"))

    def _measured(
        self, policy: PreTrainedModel, step: int, diagnostics: Mapping[str, float], report: Report | None
    ) -> CurvePoint:
        generator = torch.Generator(device=policy.device).manual_seed(self._seed)
        responses = sample_responses(
            policy, self._prompt_format, self._texts, generator=generator, samples_per_prompt=self._samples
        )
        sequences = responses.sequences.to(policy.device)
        divergence = measure_kl(policy, self._initial_policy, sequences)
        check_kl(divergence.kl_B.cpu().numpy(), responses, report)
        all_diagnostics = {**diagnostics, **sampled_estimates(divergence)}
        if self._round_start is not None:
            all_diagnostics[Diagnostic.ROUND_KL] = float(measure_kl(policy, self._round_start, sequences).kl_B.mean())
        assert self._proxy is not None, "a method without a proxy brings its own"
        proxy_PM, gold_PM = (
            self._by_prompt(rated(scorer, responses, role, report))
            for role, scorer in (("proxy", self._proxy), ("gold", self._gold))
        )
        human_B = self._world.judge(responses.prompts, responses.texts)
        human_PM = None if human_B is None else self._by_prompt(self._in_human_units(human_B))
        point = CurvePoint(
            step=step,
            kl=float(divergence.kl_B.mean()),
            proxy_P=proxy_PM.mean(axis=1) - self._proxy_baseline_P,
            gold_P=gold_PM.mean(axis=1) - self._gold_baseline_P,
            human_P=self._human_gain(None if human_PM is None else human_PM.mean(axis=1)),
            statistics=self._statistics(responses, proxy_PM, divergence, report),
            diagnostics=all_diagnostics,
            win_P=win_rate_P(gold_PM, self._pool.gold_PN) if self._has_gold and np.isfinite(gold_PM).all() else None,
        )
        shown = slice(0, SHOWN_PROMPTS)
        self._record(
            point,
            responses.texts[:: self._samples][shown],
            proxy_PM[shown, 0],
            gold_PM[shown, 0],
            None if human_PM is None else human_PM[shown, 0],
            policy,
        )
        return point

    def evaluate_selection(
        self,
        steps: Sequence[int],
        kl_G: Array,
        proxy_PN: Array,
        select: Callable[[Array], Array],
        choice_GP: NDArray[np.int64],
        diagnostics_G: Sequence[Mapping[str, float]],
    ) -> Iterator[CurvePoint]:
        """Measure rules that select one of the pool's samples per prompt.

        The same `select` is applied to proxy, gold, human and statistics, so that they describe the same selection.

        Args:
            steps: integer step of each rule. Length G.
            kl_G: KL of each rule from the initial policy, nats. Shape: (G,).
            proxy_PN: proxy score of the samples, gold standard deviations. Shape: (P, N).
            select: expected value of a property of the selected sample, under each rule; (P, N) -> (G, P).
            choice_GP: one selected sample under each rule, for sample tables. Shape: (G, P), values in 0..N-1.
            diagnostics_G: statistics of each rule, by name. Length G.
        """
        pool = self._pool
        proxy_GP, gold_GP = select(proxy_PN), select(pool.gold_PN)
        human_GP = None if pool.human_PN is None else select(pool.human_PN)
        win_GP = select(win_rate_PN(pool.gold_PN)) if self._has_gold else None
        statistics_G = {name: select(values_PN).mean(axis=1) for name, values_PN in self._statistics_of_pool(proxy_PN)}
        proxy_mean_P = proxy_PN.mean(axis=1)
        shown = np.arange(min(SHOWN_PROMPTS, pool.shape[0]))
        for g, step in enumerate(steps):
            point = CurvePoint(
                step=int(step),
                kl=float(kl_G[g]),
                proxy_P=proxy_GP[g] - proxy_mean_P,
                gold_P=gold_GP[g] - self._gold_baseline_P,
                human_P=self._human_gain(None if human_GP is None else human_GP[g]),
                statistics={name: float(values_G[g]) for name, values_G in statistics_G.items()},
                diagnostics=diagnostics_G[g],
                win_P=None if win_GP is None else win_GP[g],
            )
            chosen = choice_GP[g, shown]
            self._record(
                point,
                pool.samples.choose(shown, chosen).texts,
                proxy_PN[shown, chosen],
                pool.gold_PN[shown, chosen],
                None if pool.human_PN is None else pool.human_PN[shown, chosen],
                None,
            )
            yield point

    def _statistics(
        self, responses: Responses, proxy_PM: Array, divergence: Divergence, report: Report | None
    ) -> dict[str, float]:
        gains_PM = {
            role: self._by_prompt(rated(rm, responses, role, report)) - self._auxiliary_baselines_P[role][:, None]
            for role, rm in self._auxiliary_rms.items()
        }
        statistics = {
            **self._world.text_stats(responses.texts),
            **auxiliary_statistics(proxy_PM - self._proxy_baseline_P[:, None], gains_PM),
        }
        tokens = int(responses.sequences.response_lengths_B.sum())
        return {
            **{name: float(values.mean()) for name, values in statistics.items()},
            **collective_stats(responses.texts),
            Statistic.ENTROPY: float(divergence.entropy_B.sum()) / tokens,
        }

    def _statistics_of_pool(self, proxy_PN: Array) -> Iterator[tuple[str, Array]]:
        """Names and values, one at a time in memory."""
        samples = self._pool.samples
        yield from ((name, samples.statistic(name)) for name in samples.statistics)
        gains_PN = pool_gains(samples, self._auxiliary_rms, self._resumption)
        yield from auxiliary_statistics(proxy_PN - proxy_PN.mean(axis=1, keepdims=True), gains_PN).items()

    def _by_prompt(self, scores_B: Array) -> Array:
        return scores_B.reshape(len(self._texts), self._samples)

    def _in_human_units(self, human_B: Array) -> Array:
        mean, deviation = self._human_units
        return (human_B - mean) / deviation

    def _human_gain(self, human_P: Array | None) -> Array | None:
        return None if human_P is None or self._human_baseline_P is None else human_P - self._human_baseline_P

    def _record(
        self,
        point: CurvePoint,
        responses: Sequence[str],
        proxy: Array,
        gold: Array,
        human: Array | None,
        policy: PreTrainedModel | None,
    ) -> None:
        if human is not None and self._human_baseline_P is not None:
            human = human - self._human_baseline_P.mean()
        self.snapshot = Snapshot(
            point,
            responses,
            proxy - self._proxy_baseline_P.mean(),
            gold - self._gold_baseline_P.mean(),
            human,
            policy,
        )
