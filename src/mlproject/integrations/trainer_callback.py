"""The monitor inside a `transformers.Trainer`, and so inside TRL's RLOO, GRPO, DPO and further trainers.

    callback = OveroptimizationCallback(prompts, proxy="reward-model/", gold="held-out-rm/", every=10, stop=True)
    trainer = GRPOTrainer(..., callbacks=[callback])
    trainer.train()

KL is measured from the policy as it is when training begins, whatever the trainer's own KL coefficient. Points go into
the MLflow run that the trainer reports to, if there is one, and always into two files of its output folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import UserError, first_line
from mlproject.models.live_policy import as_reference, ending_like, unwrapped
from mlproject.models.prompt_format import PromptFormat
from mlproject.monitoring.metrics import summaries
from mlproject.monitoring.monitor import MonitorReading, OveroptimizationMonitor
from mlproject.monitoring.policy_evaluator import PolicyEvaluator, ScorerLike
from mlproject.names import Artifact, Metric, Tag, TagPrefix
from mlproject.optimization.sample_pool import Judge
from mlproject.tracking.trainer_run import TrainerRun

TABLE, SAVED_CURVE = Artifact.TRAINER_TABLE, f"overoptimization/{Artifact.CURVE}"
"""Files in the trainer's output folder: points for `python -m mlproject fit`, and every prompt's own score."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Decision:
    """What rank zero decides for all ranks.

    Attributes:
        stop: whether the training ends here.
        next_step: step of the next look.
        error: what went wrong on rank zero.
    """

    stop: bool
    next_step: int
    error: str = ""


class OveroptimizationCallback(TrainerCallback):
    """Measures the policy every few steps, forecasts its peak, and may end the training there.

    Rank zero measures while the others wait, and all ranks stop together. The training itself is untouched: weights are
    bit for bit those of a training without the callback, up to where it is stopped.

    Args:
        prompts: held-out texts, none of them trained on; 64 to 256 serve well. Without what the trainer's dataset may
            carry behind a prompt (a separator, a chat template): `PromptFormat` adds it.
        proxy: the reward that is optimized: a reward model, its folder, or a function of (prompts, responses).
        gold: what plays the truth, likewise; it must not be what is optimized. None: KL, proxy and signs alone.
        every: optimizer steps between looks. Doubled whenever a look took longer than `max_seconds`.
        stop: whether alarms that ask for it end the training.
        monitor: forecast, alarms, KL budget.
        tokenizer: of the policy; None: the trainer's.
        max_response_tokens: the longest response; None: the trainer's `max_completion_length`.
        initial_policy: model or folder to measure KL from; None: the policy when training begins. Needed where a
            training is resumed.
        max_seconds: what one look may cost, see `PolicyEvaluator`; None: no bound.
        samples_per_prompt: see `PolicyEvaluator`, as for the arguments that follow.
        pool_samples: see there.
        judge: see there.
        witnesses: see there.
        calibrate: see there.
        seed: see there.

    Attributes:
        monitor: holds points and readings, on rank zero.
        seconds: spent here so far, on rank zero.

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
        prompts: Sequence[str],
        proxy: ScorerLike,
        gold: ScorerLike | None = None,
        *,
        every: int = 10,
        stop: bool = False,
        monitor: OveroptimizationMonitor | None = None,
        tokenizer: PreTrainedTokenizerFast | None = None,
        max_response_tokens: int | None = None,
        initial_policy: PreTrainedModel | str | Path | None = None,
        max_seconds: float | None = 60.0,
        samples_per_prompt: int = 1,
        pool_samples: int = 8,
        judge: Judge | None = None,
        witnesses: Mapping[str, ScorerLike] | None = None,
        calibrate: bool = True,
        seed: int = 0,
    ) -> None:
        if every < 1:
            raise UserError(f"every={every}: allowed is a number of steps from 1 on")
        self.monitor = monitor or OveroptimizationMonitor(samples_per_prompt=samples_per_prompt)
        self.seconds = 0.0
        self._prompts, self._proxy, self._gold = list(prompts), proxy, gold
        self._every, self._stop = every, stop
        self._tokenizer, self._longest, self._initial = tokenizer, max_response_tokens, initial_policy
        self._max_seconds = max_seconds
        self._options = {
            "judge": judge, "witnesses": witnesses, "calibrate": calibrate, "pool_samples": pool_samples,
            "samples_per_prompt": samples_per_prompt, "seed": seed,
        }  # fmt: skip
        self._watch: PolicyEvaluator | None = None
        self._run: TrainerRun | None = None
        self._next_step = 0
        self._alarmed: set[str] = set()

    @property
    def points(self) -> list[CurvePoint]:
        """The points so far, on rank zero."""
        return self.monitor.points

    @property
    def readings(self) -> list[MonitorReading]:
        """What the monitor said after each, on rank zero."""
        return self.monitor.readings

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Keep the initial policy, find units, measure the first point."""
        self._began = perf_counter()
        self._look(
            args, state, control, lambda: self._set_up(args, state, model, kwargs.get("processing_class")), model
        )

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure when it is time, and at the last step."""
        if state.global_step >= self._next_step or control.should_training_stop:
            self._look(args, state, control, lambda: None, model)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Peak, drop and law of the whole curve go into the run."""
        if not state.is_world_process_zero or not self.points:
            return
        logger.info("overoptimization: %d looks took %.1f s", len(self.points), self.seconds)
        if self._run is not None:
            if self._gold is not None:
                self._run.log_metrics(summaries(self.monitor.curve(), self.monitor.method), self.points[-1].step)
            for name in (TABLE, SAVED_CURVE):
                self._run.log_artifact(Path(args.output_dir, name))

    def _look(self, args: Any, state: Any, control: Any, prepare: Callable[[], None], model: Any) -> None:
        """Measure on rank zero, and let all ranks do what it decides.

        Raises:
            UserError: on all ranks, for what is wrong on rank zero.
        """
        decision, failure = _Decision(False, state.global_step + self._every), None
        if state.is_world_process_zero:
            start = perf_counter()
            try:
                prepare()
                stop = self._measure(Path(args.output_dir), state.global_step, unwrapped(model), start)
                decision = _Decision(stop, state.global_step + self._every)
            except BaseException as error:  # other ranks wait for an answer
                failure = error
                decision = replace(decision, error=first_line(error))
            self.seconds += perf_counter() - start
        decision = _from_rank_zero(decision)
        if failure is not None:
            raise failure
        if decision.error:
            raise UserError(f"rank 0 could not measure the policy: {decision.error}")
        self._next_step = decision.next_step
        if decision.stop:
            control.should_training_stop = True

    def _set_up(self, args: Any, state: Any, model: Any, processing_class: Any) -> None:
        """What only rank zero needs."""
        if self._watch is not None:
            raise UserError("this callback has followed a training already; make a new one for the next")
        policy = unwrapped(model)
        tokenizer = self._tokenizer or getattr(processing_class, "tokenizer", processing_class)
        longest = self._longest or getattr(args, "max_completion_length", None)
        if tokenizer is None:
            raise UserError("the trainer has no processing_class; give tokenizer=")
        if longest is None:
            raise UserError("the trainer has no max_completion_length; give max_response_tokens=, in tokens")
        earlier = self._earlier(Path(args.output_dir), state.global_step)
        self._run = TrainerRun.active()
        if self._run is not None:
            self._run.introduce(type(args).__name__.removesuffix("Config").lower())
        self._watch = PolicyEvaluator(
            self._reference(state.global_step, policy, tokenizer),
            PromptFormat(tokenizer, longest),
            self._prompts if not earlier else self._prompts[: len(earlier[0].proxy_P)],
            self._proxy,
            self._gold,
            max_seconds=None if earlier else self._max_seconds,  # the prompts are settled
            **self._options,  # type: ignore[arg-type]
        )
        for point in earlier:
            self.monitor.update(point)
        if len(self._watch.prompts) < len(self._prompts):
            logger.warning(
                "overoptimization: %d of %d prompts are used, so that a look fits into max_seconds=%g",
                len(self._watch.prompts), len(self._prompts), self._max_seconds,
            )  # fmt: skip

    def _reference(self, step: int, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Any:
        if self._initial is None:
            if step:
                raise UserError(
                    f"training is resumed at step {step}, so the policy is no longer the initial one; give "
                    "initial_policy=, the model or folder that the training began with"
                )
            return as_reference(policy, tokenizer)
        if isinstance(self._initial, PreTrainedModel):
            return as_reference(self._initial, tokenizer)
        try:
            found = AutoModelForCausalLM.from_pretrained(self._initial, dtype=policy.dtype)
        except (OSError, ValueError) as error:
            raise UserError(f"initial_policy={self._initial}: {first_line(error)}") from None
        return ending_like(found.to(policy.device), tokenizer)

    def _earlier(self, folder: Path, step: int) -> list[CurvePoint]:
        """Points that a training which is resumed here had already measured."""
        if not step or self.points or not (folder / SAVED_CURVE).is_file():
            return []
        return [point for point in Curve.load(folder / SAVED_CURVE) if point.step < step]

    def _measure(self, folder: Path, step: int, policy: PreTrainedModel, start: float) -> bool:
        """One point; returns whether the training should end."""
        assert self._watch is not None, "training begins before its steps"
        reading = self.monitor.update(self._watch.measure(policy, step))
        (folder / SAVED_CURVE).parent.mkdir(parents=True, exist_ok=True)
        self.monitor.curve().save(folder / SAVED_CURVE)
        self.monitor.save_csv(folder / TABLE)
        first = self._next_step == 0
        seconds = perf_counter() - start
        total = self.seconds + seconds
        if not first and self._max_seconds is not None and seconds > self._max_seconds:
            self._every *= 2
            logger.warning(
                "overoptimization: a look took %.1f s, over max_seconds=%g; the next ones come every %d steps",
                seconds, self._max_seconds, self._every,
            )  # fmt: skip
        logger.info("overoptimization: %s (%.1f s)", reading.line(self.monitor.truth), seconds)
        for alarm in reading.alarms:
            if alarm.name not in self._alarmed:
                logger.warning("overoptimization: step %d, %s: %s", step, alarm.name, alarm.reason)
        if self._run is not None:
            self._run.log_metrics(
                {
                    **self.monitor.metrics(reading),
                    Metric.MONITOR_SECONDS: seconds,
                    Metric.MONITOR_SHARE: total / max(perf_counter() - self._began, 1e-9),
                    Metric.MONITOR_PROMPTS: len(self._watch.prompts),
                    Metric.MONITOR_EVERY: self._every,
                },
                step,
            )
            fresh = {alarm.name: alarm.reason for alarm in reading.alarms if alarm.name not in self._alarmed}
            tags = {TagPrefix.ALARM + name: f"step {step}: {reason}" for name, reason in fresh.items()}
            if self._stop and reading.should_stop:
                tags[Tag.COMPLETE] = "false"
            if tags:
                self._run.set_tags(tags)
        self._alarmed |= {alarm.name for alarm in reading.alarms}
        return self._stop and reading.should_stop


def _from_rank_zero(decision: _Decision) -> _Decision:
    """Rank zero's decision, on every rank; all wait for it."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return decision
    box = [decision]
    distributed.broadcast_object_list(box, src=0)
    return box[0]
