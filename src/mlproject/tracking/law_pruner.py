"""LawPruner: ends trials that cannot win and trials whose peak is behind, by the law of over-optimization.

For any Optuna study that maximizes the peak of gold over KL. A trial reports its points with `report`; gold decides
alone, the proxy is never asked:

    pruner = LawPruner(budget=60)
    study = optuna.create_study(direction="maximize", pruner=pruner)

    def objective(trial):
        trial.set_user_attr("rm_params", ...)
        for step, gold, gold_se, kl in train(trial):
            report(trial, step, gold, gold_se, kl)
            judged = pruner.verdict(study, trial)
            if judged.kind is Verdict.CANNOT_WIN:
                raise optuna.TrialPruned
            if judged.kind is Verdict.PEAK_IS_BEHIND:
                break
        return the peak so far

Axis letters: S curve points, H laws (see `mlproject.laws.posterior`), R curves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from statistics import NormalDist

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from mlproject.curve import Curve, CurvePoint
from mlproject.laws.fits import MIN_POINTS
from mlproject.laws.posterior import EXPONENT_H, LOG_D_H, Posterior, posterior, rise
from mlproject.laws.prior import Prior, usable
from mlproject.laws.summaries import points_from_summaries

KL, GOLD_SE, RM_PARAMS = "curve/kl", "curve/gold_se", "rm_params"
"""User attributes of a trial: KL (nats) and standard error of gold by update, and the size of its reward model."""

_MARGIN = 1.0
"""."""


class Verdict(Enum):
    """What should become of a trial."""

    GO_ON = "go on"
    CANNOT_WIN = "cannot win"
    PEAK_IS_BEHIND = "peak is behind"


PEAK_IS_BEHIND = Verdict.PEAK_IS_BEHIND.value


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on. Gold in standard deviations; nan where nothing can be said.

    Attributes:
        kind: the verdict.
        predicted_peak_gold: median of the gold that the trial can still show, or has shown, within its budget.
        predicted_upper: its upper bound.
        best_peak_gold: best value of a finished trial.
        p_past_peak: chance that the peak is behind.
    """

    kind: Verdict
    predicted_peak_gold: float = float("nan")
    predicted_upper: float = float("nan")
    best_peak_gold: float = float("nan")
    p_past_peak: float = float("nan")

    def as_dict(self) -> dict[str, float]:
        """The numbers, by name."""
        return {name: value for name, value in asdict(self).items() if name != "kind"}


def report(trial: Trial, step: int, gold: float, gold_se: float, kl: float) -> None:
    """Report a curve point: gold as Optuna's intermediate value, the rest as user attributes.

    Args:
        trial: of the running study.
        step: update, 0 or more.
        gold, gold_se: mean above the initial policy's and its standard error, standard deviations.
        kl: from the initial policy, nats.
    """
    trial.report(gold, step)
    for name, value in ((KL, kl), (GOLD_SE, gold_se)):
        trial.set_user_attr(name, {**trial.user_attrs.get(name, {}), str(step): value})


def points_of(trial: FrozenTrial) -> list[CurvePoint]:
    """The points that were reported with `report`, by update; others are left out."""
    kl, gold_se = ({int(k): v for k, v in trial.user_attrs.get(name, {}).items()} for name in (KL, GOLD_SE))
    steps = sorted(trial.intermediate_values.keys() & kl.keys() & gold_se.keys())
    gold = [trial.intermediate_values[step] for step in steps]
    return points_from_summaries(
        steps, [kl[s] for s in steps], gold, [gold_se[s] for s in steps], prompts=max(256, len(steps) + 2)
    )


class LawPruner(BasePruner):
    """Ends trials by what the law makes of their own points and of the curves of finished trials.

    Deterministic. Without a finished trial it can only see that a peak is behind.

    Args:
        budget: updates of a whole trial. Bounds the KL that a trial can reach: sqrt(KL) grows ever more slowly up to the
            peak, above all under a KL penalty. None: no bound.
        rm_params: the parameters of a trial's reward model: a user attribute, or what tells them from a trial. Trials
            for which there are none are taken for trials of one size.
        confidence: one-sided, of the upper bound on peak gold.
        certainty: chance of a peak behind that ends a trial.
        method: of optimization, as `mlproject.laws.law_for` takes it.
    """

    def __init__(
        self,
        budget: int | None = None,
        rm_params: str | Callable[[FrozenTrial], float] = RM_PARAMS,
        confidence: float = 0.95,
        certainty: float = 0.95,
        method: str = "ppo",
    ) -> None:
        self._budget, self._rm_params, self._method = budget, rm_params, method
        self._confidence, self._certainty = confidence, certainty
        self._known: object = None
        self._priors: dict[float, Prior | None] = {}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial should end; `verdict` says why."""
        return self.verdict(study, trial).kind is not Verdict.GO_ON

    def verdict(self, study: optuna.Study, trial: FrozenTrial | Trial) -> Judgement:
        """Judge a running trial by the points that it has reported.

        Raises:
            ValueError: where the study does not maximize.
        """
        if study.direction != StudyDirection.MAXIMIZE:
            raise ValueError("LawPruner needs a study that maximizes peak gold")
        trials = study.get_trials(deepcopy=False)
        own = trials[trial.number] if isinstance(trial, Trial) else trial
        points = points_of(own)
        if not points:
            return Judgement(Verdict.GO_ON)
        finished = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED) and t.number != own.number]
        d_S, gold_SP = usable(self._method, points)
        prior = self._prior(study, finished, self._size(own))
        if prior is None and len(np.unique(d_S[d_S > 0])) < MIN_POINTS:
            return Judgement(Verdict.GO_ON)
        found = posterior(d_S, gold_SP, *(prior or Prior.weak()).on_grid())
        past = found.peak_before(points[-1].sqrt_kl)
        within = self._within_reach(found, points)
        median, upper = within.peak_gold([0.5, self._confidence]).tolist()
        best, best_se = _best(finished)
        cannot_win = median + np.hypot(upper - median, NormalDist().inv_cdf(self._confidence) * best_se) < best
        kind = Verdict.CANNOT_WIN if cannot_win else Verdict.GO_ON
        if past >= self._certainty:
            kind = Verdict.PEAK_IS_BEHIND
        return Judgement(kind, median, upper, best, past)

    def _size(self, trial: FrozenTrial) -> float:
        if callable(self._rm_params):
            return float(self._rm_params(trial))
        return float(trial.user_attrs.get(self._rm_params, 1.0))

    def _prior(self, study: optuna.Study, finished: Sequence[FrozenTrial], size: float) -> Prior | None:
        """What the curves of finished trials say; trials that repeat a curve count once."""
        known = study.study_name, tuple(trial.number for trial in finished)
        if known != self._known:
            self._known, self._priors = known, {}
        if size not in self._priors:
            made = {(self._size(t), *t.intermediate_values.items()): points_of(t) for t in finished}
            curves: dict[float, list[Curve]] = {}
            for (its_size, *_), points in made.items():
                if len(points) > MIN_POINTS:
                    curves.setdefault(its_size, []).append(Curve.from_points(points))
            self._priors[size] = Prior.from_curves(self._method, curves, size) if curves else None
        return self._priors[size]

    def _within_reach(self, found: Posterior, points: Sequence[CurvePoint]) -> Posterior:
        """The same laws, each with its gold at the furthest d that the trial can reach, where that is before its peak."""
        last = points[-1]
        half = max((p for p in points if 2 * p.step <= last.step), key=lambda p: p.step, default=last)
        if self._budget is None or len(points) <= MIN_POINTS or half.step == last.step:
            return found
        speed = max(last.sqrt_kl - half.sqrt_kl, 0.0) / (last.step - half.step)
        reach = last.sqrt_kl + _MARGIN * speed * max(self._budget - last.step, 0)
        share_H = rise(np.minimum(reach / np.exp(LOG_D_H), 1.0), EXPONENT_H)
        return replace(found, gold_MH=found.gold_MH * share_H, gold_sd_MH=found.gold_sd_MH * share_H)


def _best(finished: Sequence[FrozenTrial]) -> tuple[float, float]:
    """Best value of a finished trial and the standard error of gold at its peak; nan, 0 where there is none."""
    complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    if not complete:
        return float("nan"), 0.0
    best = max(complete, key=lambda trial: trial.value or float("-inf"))
    return float(best.value or 0.0), max(points_of(best), key=lambda p: p.gold).gold_se if points_of(best) else 0.0
