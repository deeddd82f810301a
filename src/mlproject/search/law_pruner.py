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

from collections.abc import Callable, Mapping, Sequence
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
from mlproject.laws.posterior import EXPONENT_L, LOG_D_L, Posterior, posterior, rise
from mlproject.laws.prior import Prior, points_of_law
from mlproject.laws.summaries import points_from_summaries
from mlproject.names import TrialAttribute

_SCATTER = np.array([0.25, 0.12])
"""Standard deviations of log peak d and peak gold among trials of one RM: .18, .11 over KL coefficients of a 3k RM."""

_CREEP = 0.1
"""Standard deviation of what gold may gain over a budget while a penalty holds KL where it is: .1 over the last 42
of 60 updates of a 3k RM under coefficients of .1 and .3."""

_CACHED = 64
"""Priors kept."""


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
    for name, value in ((TrialAttribute.CURVE_KL, kl), (TrialAttribute.CURVE_GOLD_SE, gold_se)):
        trial.set_user_attr(name, {**trial.user_attrs.get(name, {}), str(step): value})


def points_of(trial: FrozenTrial) -> list[CurvePoint]:
    """The points that were reported with `report`, by update; others are left out."""
    kl, gold_se = (
        {int(k): v for k, v in trial.user_attrs.get(name, {}).items()}
        for name in (TrialAttribute.CURVE_KL, TrialAttribute.CURVE_GOLD_SE)
    )
    steps = sorted(trial.intermediate_values.keys() & kl.keys() & gold_se.keys())
    rows = [(step, kl[step], trial.intermediate_values[step], gold_se[step]) for step in steps]
    rows = [row for row in rows if np.isfinite(row).all()]
    return points_from_summaries(*zip(*rows, strict=True), prompts=max(256, len(rows) + 2)) if rows else []


class LawPruner(BasePruner):
    """Ends trials by what the law makes of their own points and of the curves of finished trials.

    Deterministic. Without a finished trial it can only see that a peak is behind.

    Args:
        budget: updates of a whole trial. It bounds the KL that a trial can reach, for sqrt(KL) grows ever more slowly
            up to the peak, above all under a KL penalty. None: no bound.
        rm_params: the parameters of a trial's reward model: a user attribute, or what tells them from a trial. Trials
            for which there are none are taken for trials of one size.
        confidence: one-sided, of the upper bound on peak gold.
        certainty: chance of a peak behind that ends a trial.
        method: of optimization, as `mlproject.laws.law_for` takes it.
    """

    def __init__(
        self,
        budget: int | None = None,
        rm_params: str | Callable[[FrozenTrial], float] = TrialAttribute.RM_PARAMS,
        confidence: float = 0.95,
        certainty: float = 0.95,
        method: str = "ppo",
    ) -> None:
        self._budget, self._rm_params, self._method = budget, rm_params, method
        self._confidence, self._certainty = confidence, certainty
        self._priors: dict[object, Prior | None] = {}

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
        d_S, _ = points_of_law(self._method, points)
        prior = self._prior(study, finished, self._size(own))
        if prior is None and len(np.unique(d_S[d_S > 0])) < MIN_POINTS:
            return Judgement(Verdict.GO_ON)
        found = self._weigh(points, prior or Prior.weak())
        past = found.probability_past(points[-1].sqrt_kl)
        within = self._within_reach(found, points)
        median, upper = within.peak_gold([0.5, self._confidence]).tolist()
        best, best_se = _best(finished)
        cannot_win = median + np.hypot(upper - median, NormalDist().inv_cdf(self._confidence) * best_se) < best
        kind = Verdict.CANNOT_WIN if cannot_win else Verdict.GO_ON
        if past >= self._certainty:
            kind = Verdict.PEAK_IS_BEHIND
        return Judgement(kind, median, upper, best, past)

    def _weigh(self, points: Sequence[CurvePoint], prior: Prior) -> Posterior:
        log_prior_L, gold_mean_L, gold_sd = prior.on_grid()
        return posterior(*points_of_law(self._method, points), log_prior_L, gold_mean_L, gold_sd)

    def _size(self, trial: FrozenTrial) -> float:
        if callable(self._rm_params):
            return float(self._rm_params(trial))
        return float(trial.user_attrs.get(self._rm_params, 1.0))

    def _prior(self, study: optuna.Study, finished: Sequence[FrozenTrial], size: float) -> Prior | None:
        """What the curves of finished trials say; None where there is none. Trials that repeat a curve count once."""
        key = study.study_name, tuple(trial.number for trial in finished), size
        if key not in self._priors:
            made = {(self._size(trial), *trial.intermediate_values.items()): points_of(trial) for trial in finished}
            curves: dict[float, list[list[CurvePoint]]] = {}
            for (its_size, *_), points in made.items():
                curves.setdefault(its_size, []).append(points)
            if len(self._priors) >= _CACHED:
                self._priors.clear()
            self._priors[key] = self._learn(curves, size)
        return self._priors[key]

    def _learn(self, curves: Mapping[float, Sequence[Sequence[CurvePoint]]], size: float) -> Prior | None:
        """The trends over sizes, then what trials of this very size say, which share its reward model."""
        whole = {its: [Curve.from_points(p) for p in many if len(p) > MIN_POINTS] for its, many in curves.items()}
        if not any(whole.values()):
            return None
        trend = Prior.from_curves(self._method, whole, size)  # type: ignore[arg-type]
        belief_22 = np.linalg.inv(trend.covariance_33[1:, 1:])  # inverse of a covariance, of (log peak d, peak gold)
        sum_2 = belief_22 @ trend.mean_3[1:]
        for points in curves.get(size, []):
            mean_2, variance_2 = self._weigh(points, Prior.weak()).moments()
            told_22 = np.diag(1 / (np.square(_SCATTER) + variance_2))
            belief_22, sum_2 = belief_22 + told_22, sum_2 + told_22 @ mean_2
        covariance_33 = np.diag(np.diag(trend.covariance_33))
        covariance_33[1:, 1:] = np.linalg.inv(belief_22) + (np.diag(np.square(_SCATTER)) if curves.get(size) else 0.0)
        return Prior(np.append(trend.mean_3[0], np.linalg.solve(belief_22, sum_2)), covariance_33, trend.exponent_E)

    def _within_reach(self, found: Posterior, points: Sequence[CurvePoint]) -> Posterior:
        """The laws with their gold at the furthest d that the trial can reach, where that is before their peak.

        It goes on at most as fast as on the second half of its way.
        """
        last = points[-1]
        half = max(
            (point for point in points if 2 * point.step <= last.step), key=lambda point: point.step, default=last
        )
        if self._budget is None or len(points) <= MIN_POINTS or half.step == last.step:
            return found
        speed = max(last.sqrt_kl - half.sqrt_kl, 0.0) / (last.step - half.step)
        reach = last.sqrt_kl + speed * max(self._budget - last.step, 0)
        share_L = rise(np.minimum(reach / np.exp(LOG_D_L), 1.0), EXPONENT_L)
        creep_L = _CREEP * np.sqrt(max(1 - last.step / self._budget, 0.0)) * (share_L < 1)
        gold_sd_FL = np.hypot(found.gold_sd_FL * share_L, creep_L)
        return replace(found, gold_FL=found.gold_FL * share_L, gold_sd_FL=gold_sd_FL)


def _best(finished: Sequence[FrozenTrial]) -> tuple[float, float]:
    """Best value of a finished trial and the standard error of gold at its peak; nan, 0 where there is none."""
    values = [
        (float(trial.value), trial)
        for trial in finished
        if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    if not values:
        return float("nan"), 0.0
    value, best = max(values, key=lambda pair: pair[0])
    return value, max(((point.gold, point.gold_se) for point in points_of(best)), default=(0.0, 0.0))[1]
