"""The monitor inside a `transformers.Trainer`, and so inside TRL's RLOO, GRPO, DPO and further trainers.

    callback = OveroptimizationCallback(prompts, proxy="reward-model/", gold="held-out-rm/", every=10, stop=True)
    trainer = GRPOTrainer(..., callbacks=[callback])
    trainer.train()

KL is measured from the policy as it is when training begins, whatever the trainer's own KL coefficient. Points go into
the MLflow run that the trainer reports to, if there is one, and always into two files of its output folder.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from mlproject.curve import CurvePoint
from mlproject.errors import NotFiniteError, UserError, first_line
from mlproject.integrations.peak_keeper import PeakKeeper, what_tells_the_peak
from mlproject.integrations.rank_zero import Instruction, from_rank_zero
from mlproject.integrations.reading_log import ReadingLog
from mlproject.integrations.trainer_preflight import check_penalty
from mlproject.models.chat_template import PromptLike, as_prompts
from mlproject.models.live_policy import as_reference, ending_like, unwrapped
from mlproject.models.model_loading import load_causal_lm
from mlproject.models.prompt_format import PromptFormat
from mlproject.monitoring.monitor import MonitorReading, OveroptimizationMonitor
from mlproject.monitoring.policy_evaluator import PolicyEvaluator
from mlproject.monitoring.user_scorers import ScorerLike
from mlproject.names import Metric
from mlproject.optimization.penalty_check import Change
from mlproject.optimization.pool_samples import Judge
from mlproject.tracking.trainer_run import TrainerRun

logger = logging.getLogger(__name__)


class OveroptimizationCallback(TrainerCallback):
    """Measures the policy every few steps, forecasts its peak, and may end the training there.

    Rank zero measures while the others wait, and all ranks stop together. The training itself is untouched: weights are
    bit for bit those of a training without the callback, up to where it is stopped.

    Args:
        prompts: held-out texts or lists of messages, none of them trained on; 64 to 256 serve well. Without what the
            trainer's dataset may carry behind a prompt (a separator, a chat template): `PromptFormat` adds it.
        proxy: the reward that is optimized: a reward model, its folder, or a function of (prompts, responses).
        gold: what plays the truth, likewise; it must not be what is optimized. None: nothing does, and neither peak nor
            forecast is known.
        every: optimizer steps between evaluations, 1 or more. Doubled whenever one took longer than `max_seconds`.
        stop: whether alarms that ask for it end the training.
        keep_peak: True saves the policy in the output folder (`overoptimization-peak/`) at each new best of gold, or,
            without gold, of the first of the auxiliary reward models; `"restore"` also gives its weights back to the
            model when the training ends.
        monitor: forecast, alarms, KL budget.
        tokenizer: of the policy; None: the trainer's.
        max_response_tokens: the longest response; None: the trainer's `max_completion_length`.
        initial_policy: model or folder to measure KL from; None: the policy when training begins. Needed where a
            training is resumed.
        max_seconds: upper bound for one evaluation, see `PolicyEvaluator`; None: no bound.
        samples_per_prompt: see `PolicyEvaluator`, as for the arguments that follow.
        pool_samples: see there.
        judge: see there.
        auxiliary_rms: see there.
        calibrate: see there.
        seed: see there.
        witnesses: the old name of `auxiliary_rms`, for one release.

    Attributes:
        monitor: holds points and readings, on rank zero.
        seconds: spent here so far, on rank zero.

    Raises:
        UserError: for `every` below 1, and for `keep_peak` where nothing tells the peak. What is wrong with other
            arguments is found when training begins.

    Examples:
        >>> from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
        >>> from mlproject import OveroptimizationCallback
        >>> policy, tokenizer = AutoModelForCausalLM.from_pretrained("policy"), AutoTokenizer.from_pretrained("policy")
        >>> prompts, proxy = ["yes no", "no", "maybe"], lambda prompts, responses: [len(text) for text in responses]
        >>> callback = OveroptimizationCallback(prompts, proxy, gold="reward-model", every=2, max_response_tokens=8)
        >>> ids = tokenizer("yes no maybe")["input_ids"]
        >>> settings = TrainingArguments("out", max_steps=4, use_cpu=True, report_to="none", disable_tqdm=True)
        >>> data = [{"input_ids": ids, "labels": ids}] * 8
        >>> trainer = Trainer(policy, settings, None, data, processing_class=tokenizer, callbacks=[callback])
        >>> _ = trainer.train()  # doctest: +ELLIPSIS
        {'train_runtime': ...}
        >>> [point.step for point in callback.points], callback.points[-1].kl > callback.points[0].kl == 0
        ([0, 2, 4], True)
    """

    def __init__(
        self,
        prompts: Sequence[PromptLike],
        proxy: ScorerLike,
        gold: ScorerLike | None = None,
        *,
        every: int = 10,
        stop: bool = False,
        keep_peak: bool | str = False,
        monitor: OveroptimizationMonitor | None = None,
        tokenizer: PreTrainedTokenizerFast | None = None,
        max_response_tokens: int | None = None,
        initial_policy: PreTrainedModel | str | Path | None = None,
        max_seconds: float | None = 60.0,
        samples_per_prompt: int = 1,
        pool_samples: int = 8,
        judge: Judge | None = None,
        auxiliary_rms: Mapping[str, ScorerLike] | None = None,
        calibrate: bool = True,
        seed: int = 0,
        witnesses: Mapping[str, ScorerLike] | None = None,
    ) -> None:
        if every < 1:
            raise UserError(f"every={every}: must be at least 1. Give a number of optimizer steps.")
        if witnesses is not None:
            warnings.warn("witnesses= is now called auxiliary_rms=", DeprecationWarning, stacklevel=2)
            auxiliary_rms = witnesses
        self.monitor = monitor or OveroptimizationMonitor(samples_per_prompt=samples_per_prompt)
        self.seconds = 0.0
        self._prompts, self._proxy, self._gold = as_prompts(prompts), proxy, gold
        self._every, self._stop, self._keep_peak = every, stop, keep_peak
        self._peak_role = what_tells_the_peak(keep_peak, gold is not None, list(auxiliary_rms or ()))
        self._peak: PeakKeeper | None = None
        self._tokenizer, self._max_response_tokens = tokenizer, max_response_tokens
        self._initial_policy, self._max_seconds = initial_policy, max_seconds
        self._options = {
            "judge": judge, "auxiliary_rms": auxiliary_rms, "calibrate": calibrate, "pool_samples": pool_samples,
            "samples_per_prompt": samples_per_prompt, "seed": seed,
        }  # fmt: skip
        self._evaluator: PolicyEvaluator | None = None
        self._log: ReadingLog | None = None
        self._next_step = 0

    @property
    def points(self) -> list[CurvePoint]:
        """The points so far, on rank zero."""
        return self.monitor.points

    @property
    def readings(self) -> list[MonitorReading]:
        """What the monitor said after each point, on rank zero."""
        return self.monitor.readings

    def preflight(self, trainer: Any, coefficient: str = "beta") -> Change | None:
        """Check that the KL penalty of a trainer does something, before `trainer.train()`; see `check_penalty`.

        Raises:
            UserError: where neither loss nor gradient change when the coefficient is doubled.
        """
        return check_penalty(trainer, coefficient)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Keep the initial policy, fit the units, measure the first point."""
        self._began = perf_counter()
        tokenizer = kwargs.get("processing_class")
        self._evaluate(args, state, control, lambda: self._set_up(args, state, model, tokenizer), model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure a point where one is due, and at the last step."""
        if state.global_step >= self._next_step or control.should_training_stop:
            self._evaluate(args, state, control, lambda: None, model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Write peak, drop and law of the whole curve to the run; restore the peak where that was asked for."""
        if self._keep_peak == "restore":
            PeakKeeper(Path(args.output_dir)).restore(model)
        if self._log is None or not self.points:
            return
        logger.info("overoptimization: %d evaluations took %.1f s", len(self.points), self.seconds)
        self._log.finish(has_gold=self._gold is not None)

    def _evaluate(self, args: Any, state: Any, control: Any, prepare: Callable[[], None], model: Any) -> None:
        """Measure a point on rank zero, and let all ranks follow its instruction.

        Raises:
            UserError: on all ranks, for what is wrong on rank zero.
        """
        instruction, failure = Instruction(False, state.global_step + self._every), None
        if state.is_world_process_zero:
            start = perf_counter()
            try:
                prepare()
                stop = self._measure(state.global_step, unwrapped(model), start)
                instruction = Instruction(stop, state.global_step + self._every)
            except BaseException as error:  # other ranks wait for an answer
                failure = error
                instruction = replace(instruction, error=first_line(error))
            self.seconds += perf_counter() - start
        instruction = from_rank_zero(instruction)
        if failure is not None:
            raise failure
        if instruction.error:
            raise UserError(f"rank 0 could not measure the policy: {instruction.error}")
        self._next_step = instruction.next_step
        if instruction.stop:
            control.should_training_stop = True

    def _set_up(self, args: Any, state: Any, model: Any, processing_class: Any) -> None:
        """Make what only rank zero needs: evaluator and log; a resumed training goes on with its earlier points."""
        if self._evaluator is not None:
            raise UserError(
                "callback: must follow a single training. Make a new OveroptimizationCallback for the next."
            )
        policy = unwrapped(model)
        tokenizer = self._tokenizer or getattr(processing_class, "tokenizer", processing_class)
        max_tokens = self._max_response_tokens or getattr(args, "max_completion_length", None)
        if tokenizer is None:
            raise UserError("tokenizer=None: must be given to a trainer without processing_class. Give tokenizer=.")
        if max_tokens is None:
            raise UserError(
                "max_response_tokens=None: must be given, since the trainer has no max_completion_length. Give "
                "max_response_tokens=, in tokens."
            )
        run = TrainerRun.active()
        if run is not None:
            run.introduce(type(args).__name__.removesuffix("Config").lower())
        self._log = ReadingLog(self.monitor, Path(args.output_dir), run)
        is_resumed = state.global_step > 0 and not self.points
        earlier = self._log.earlier_points(state.global_step) if is_resumed else []
        self._evaluator = PolicyEvaluator(
            self._reference(state.global_step, policy, tokenizer),
            PromptFormat(tokenizer, max_tokens),
            self._prompts if not earlier else self._prompts[: len(earlier[0].proxy_P)],
            self._proxy,
            self._gold,
            max_seconds=None if earlier else self._max_seconds,  # the prompts are settled
            **self._options,  # type: ignore[arg-type]
        )
        for point in earlier:
            self.monitor.update(point)
        if self._keep_peak:
            self._tokenizer, self._peak = tokenizer, PeakKeeper(Path(args.output_dir), self._peak_role)
            self._peak.resume(state.global_step)
        if len(self._evaluator.prompts) < len(self._prompts):
            logger.warning(
                "overoptimization: %d of %d prompts are used, so that an evaluation fits into max_seconds=%g",
                len(self._evaluator.prompts), len(self._prompts), self._max_seconds,
            )  # fmt: skip

    def _reference(self, step: int, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Any:
        """The policy that KL is measured from."""
        if self._initial_policy is None:
            if step:
                raise UserError(
                    f"initial_policy=None: must be given where a training is resumed at step {step}, since its policy "
                    "has moved. Give initial_policy=, the model or folder that the training began with."
                )
            return as_reference(policy, tokenizer)
        if isinstance(self._initial_policy, PreTrainedModel):
            return as_reference(self._initial_policy, tokenizer)
        source = str(self._initial_policy)
        model = load_causal_lm(source, f"initial_policy={source}", dtype=policy.dtype)
        return ending_like(model.to(policy.device), tokenizer)

    def _measure(self, step: int, policy: PreTrainedModel, start: float) -> bool:
        """Measure one point and take it into the monitor; returns whether the training should end."""
        assert self._evaluator is not None and self._log is not None, "training begins before its steps"
        problems: list[NotFiniteError] = []  # before there is a point, they are errors
        decision = self.monitor(self._evaluator.measure(policy, step, problems.append if self.points else None))
        self._log.save_points()
        if self._peak is not None and self._peak.offer(self.points[-1], policy, self._tokenizer):
            self._log.name_peak(self.points[-1].step, self._peak.folder)
        seconds = perf_counter() - start
        if self._next_step > 0:  # the first evaluation includes the set-up
            self._space_out(seconds)
        stops = self._stop and decision is not None
        cost = {
            Metric.MONITOR_SECONDS: seconds,
            Metric.MONITOR_SHARE: (self.seconds + seconds) / max(perf_counter() - self._began, 1e-9),
            Metric.MONITOR_PROMPTS: len(self._evaluator.prompts),
            Metric.MONITOR_EVERY: self._every,
        }
        self._log.write(self.readings[-1], cost, stops, problems)
        return stops

    def _space_out(self, seconds: float) -> None:
        """Double the steps between evaluations where one took too long."""
        if self._max_seconds is not None and seconds > self._max_seconds:
            self._every *= 2
            logger.warning(
                "overoptimization: an evaluation took %.1f s, over max_seconds=%g; the next ones come every %d steps",
                seconds, self._max_seconds, self._every,
            )  # fmt: skip
