"""LawPruner: ends trials that cannot win or are past their peak, by the law of over-optimization.

It works in any Optuna study that maximizes the peak of gold over KL. A trial reports its points with `report_point` and
asks `LawPruner.evaluate` after each. Decisions depend on gold only, never on the proxy.

Axis letters: S curve points, L laws, E exponents, F misfit sizes (see `mlproject.laws.posterior`).
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
from mlproject.laws.forms import Method
from mlproject.laws.posterior import EXPONENT_L, LOG_D_L, Posterior, posterior, rise
from mlproject.laws.prior import Prior, points_of_law
from mlproject.laws.summaries import points_from_summaries
from mlproject.names import TrialAttribute

_SCATTER = np.array([0.25, 0.12])
"""Standard deviations of log peak d and of peak gold among trials of one RM. Measured: .18 and .11 over KL
coefficients of a 3k RM."""

_CREEP = 0.1
"""Standard deviation of the gain in gold over a budget while a penalty keeps KL constant: .1 over the last 42 of 60
updates of a 3k RM under coefficients of .1 and .3."""

_CACHE_SIZE = 64
"""Number of priors in the cache."""


class PrunerDecision(Enum):
    """Whether a trial should continue, and if not, why. The values are written to runs and to `trials.csv`.

    Examples:
        >>> from mlproject import PrunerDecision
        >>> [decision.name for decision in PrunerDecision]
        ['CONTINUE', 'CANNOT_WIN', 'PAST_PEAK']
    """

    CONTINUE = "go on"
    CANNOT_WIN = "cannot win"
    PAST_PEAK = "peak is behind"


@dataclass(frozen=True)
class TrialEvaluation:
    """A decision with the numbers behind it. Gold in standard deviations; nan if there is no estimate.

    Attributes:
        decision: whether the trial should continue.
        predicted_peak_gold: median of the highest gold of the trial within its budget, past points included.
        predicted_upper: upper bound of the same quantity.
        best_peak_gold: best value of a finished trial.
        p_past_peak: P(past peak).
    """

    decision: PrunerDecision
    predicted_peak_gold: float = float("nan")
    predicted_upper: float = float("nan")
    best_peak_gold: float = float("nan")
    p_past_peak: float = float("nan")

    def as_dict(self) -> dict[str, float]:
        """The numbers by name, without the decision."""
        return {name: value for name, value in asdict(self).items() if name != "decision"}


def report_point(trial: Trial, step: int, gold: float, gold_se: float, kl: float) -> None:
    """Report a curve point: gold as Optuna's intermediate value, the rest as user attributes.

    Args:
        trial: running trial of a study.
        step: number of updates, 0 or more.
        gold: mean gold relative to the initial policy, standard deviations.
        gold_se: standard error of `gold`.
        kl: KL from the initial policy, nats.

    Examples:
        >>> import optuna
        >>> from mlproject import report_point
        >>> trial = optuna.create_study(direction="maximize").ask()
        >>> report_point(trial, step=10, gold=0.4, gold_se=0.05, kl=2.5)
        >>> trial.user_attrs
        {'curve/kl': {'10': 2.5}, 'curve/gold_se': {'10': 0.05}}
    """
    trial.report(gold, step)
    for name, value in ((TrialAttribute.CURVE_KL, kl), (TrialAttribute.CURVE_GOLD_SE, gold_se)):
        trial.set_user_attr(name, {**trial.user_attrs.get(name, {}), str(step): value})


def points_of(trial: FrozenTrial) -> list[CurvePoint]:
    """The points reported with `report_point`, ordered by update; points without KL or standard error are left out."""
    kl, gold_se = (
        {int(k): v for k, v in trial.user_attrs.get(name, {}).items()}
        for name in (TrialAttribute.CURVE_KL, TrialAttribute.CURVE_GOLD_SE)
    )
    steps = sorted(trial.intermediate_values.keys() & kl.keys() & gold_se.keys())
    rows = [(step, kl[step], trial.intermediate_values[step], gold_se[step]) for step in steps]
    rows = [row for row in rows if np.isfinite(row).all()]
    return points_from_summaries(*zip(*rows, strict=True), prompts=max(256, len(rows) + 2)) if rows else []


class LawPruner(BasePruner):
    """Ends trials by a posterior over laws, given the points of the trial and the curves of finished trials.

    It is deterministic. Before the first trial has finished it can only decide that a trial is past its peak.

    Args:
        budget: updates of a complete trial. It bounds the KL that a trial can reach, since sqrt(KL) grows ever more
            slowly up to the peak, above all under a KL penalty. None: no bound.
        rm_params: number of parameters of a trial's reward model: name of a user attribute, or function of the trial.
            Trials without it count as trials of one size.
        confidence: one-sided confidence level of the upper bound on peak gold.
        certainty: P(past peak) at which a trial ends.
        method: what optimizes the policy, as for `mlproject.laws.law_for`.

    Examples:
        >>> import optuna
        >>> from mlproject import LawPruner, PrunerDecision, report_point
        >>> pruner = LawPruner(budget=7)
        >>> study = optuna.create_study(direction="maximize", pruner=pruner)
        >>> trial = study.ask()
        >>> gold_of = {0: 0.0, 0.5: 0.38, 1: 0.5, 2: 0.59, 4: 0.65, 8: 0.62, 16: 0.45, 24: 0.28}  # by KL
        >>> for step, (kl, gold) in enumerate(gold_of.items()):
        ...     report_point(trial, step, gold, gold_se=0.03, kl=kl)
        ...     if pruner.evaluate(study, trial).decision is PrunerDecision.PAST_PEAK:
        ...         break
        >>> 4 < kl <= 16
        True
    """

    def __init__(
        self,
        budget: int | None = None,
        rm_params: str | Callable[[FrozenTrial], float] = TrialAttribute.RM_PARAMS,
        confidence: float = 0.95,
        certainty: float = 0.95,
        method: str | Method = "ppo",
    ) -> None:
        self._budget, self._rm_params, self._method = budget, rm_params, method
        self._confidence, self._certainty = confidence, certainty
        self._priors: dict[object, Prior | None] = {}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial should end; `evaluate` also says why."""
        return self.evaluate(study, trial).decision is not PrunerDecision.CONTINUE

    def evaluate(self, study: optuna.Study, trial: FrozenTrial | Trial) -> TrialEvaluation:
        """Evaluate a running trial by the points reported so far.

        Raises:
            ValueError: if the study does not maximize.
        """
        if study.direction != StudyDirection.MAXIMIZE:
            raise ValueError("LawPruner needs a study that maximizes peak gold")
        trials = study.get_trials(deepcopy=False)
        frozen = trials[trial.number] if isinstance(trial, Trial) else trial
        points = points_of(frozen)
        if not points:
            return TrialEvaluation(PrunerDecision.CONTINUE)
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        finished = [other for other in trials if other.state in states and other.number != frozen.number]
        d_S, _ = points_of_law(self._method, points)
        prior = self._prior(study, finished, self._size(frozen))
        if prior is None and len(np.unique(d_S[d_S > 0])) < MIN_POINTS:
            return TrialEvaluation(PrunerDecision.CONTINUE)
        laws = self._posterior(points, prior or Prior.weak())
        p_past_peak = laws.probability_past(points[-1].sqrt_kl)
        median, upper = self._within_budget(laws, points).peak_gold([0.5, self._confidence]).tolist()
        best, best_se = _best(finished)
        cannot_win = median + np.hypot(upper - median, NormalDist().inv_cdf(self._confidence) * best_se) < best
        decision = PrunerDecision.CANNOT_WIN if cannot_win else PrunerDecision.CONTINUE
        if p_past_peak >= self._certainty:
            decision = PrunerDecision.PAST_PEAK
        return TrialEvaluation(decision, median, upper, best, p_past_peak)

    def _posterior(self, points: Sequence[CurvePoint], prior: Prior) -> Posterior:
        log_prior_L, gold_mean_L, gold_sd = prior.on_grid()
        return posterior(*points_of_law(self._method, points), log_prior_L, gold_mean_L, gold_sd)

    def _size(self, trial: FrozenTrial) -> float:
        if callable(self._rm_params):
            return float(self._rm_params(trial))
        return float(trial.user_attrs.get(self._rm_params, 1.0))

    def _prior(self, study: optuna.Study, finished: Sequence[FrozenTrial], size: float) -> Prior | None:
        """Prior from the curves of finished trials; None if there are none. A curve that was reused counts once."""
        key = study.study_name, tuple(trial.number for trial in finished), size
        if key not in self._priors:
            distinct = {(self._size(trial), *trial.intermediate_values.items()): points_of(trial) for trial in finished}
            curves: dict[float, list[list[CurvePoint]]] = {}
            for (trial_size, *_), points in distinct.items():
                curves.setdefault(trial_size, []).append(points)
            if len(self._priors) >= _CACHE_SIZE:
                self._priors.clear()
            self._priors[key] = self._fit_prior(curves, size)
        return self._priors[key]

    def _fit_prior(self, curves: Mapping[float, Sequence[Sequence[CurvePoint]]], size: float) -> Prior | None:
        """Trends over size, updated with the trials of the same size, which share its reward model."""
        usable = {
            rm_params: [Curve.from_points(points) for points in group if len(points) > MIN_POINTS]
            for rm_params, group in curves.items()
        }
        if not any(usable.values()):
            return None
        trend = Prior.from_curves(self._method, usable, size)  # type: ignore[arg-type]
        precision_22 = np.linalg.inv(trend.covariance_33[1:, 1:])  # of (log peak d, peak gold)
        weighted_mean_2 = precision_22 @ trend.mean_3[1:]
        for points in curves.get(size, []):
            mean_2, variance_2 = self._posterior(points, Prior.weak()).moments()
            trial_22 = np.diag(1 / (np.square(_SCATTER) + variance_2))
            precision_22, weighted_mean_2 = precision_22 + trial_22, weighted_mean_2 + trial_22 @ mean_2
        covariance_33 = np.diag(np.diag(trend.covariance_33))
        covariance_33[1:, 1:] = np.linalg.inv(precision_22)
        if curves.get(size):
            covariance_33[1:, 1:] += np.diag(np.square(_SCATTER))
        mean_3 = np.append(trend.mean_3[0], np.linalg.solve(precision_22, weighted_mean_2))
        return Prior(mean_3, covariance_33, trend.exponent_E)

    def _within_budget(self, laws: Posterior, points: Sequence[CurvePoint]) -> Posterior:
        """The laws, whose peak gold is replaced by gold at the largest d within reach if that is before their peak.

        The trial is assumed to move at most as fast in d as over the second half of its updates so far.
        """
        last = points[-1]
        half = max(
            (point for point in points if 2 * point.step <= last.step), key=lambda point: point.step, default=last
        )
        if self._budget is None or len(points) <= MIN_POINTS or half.step == last.step:
            return laws
        speed = max(last.sqrt_kl - half.sqrt_kl, 0.0) / (last.step - half.step)
        reach = last.sqrt_kl + speed * max(self._budget - last.step, 0)
        share_L = rise(np.minimum(reach / np.exp(LOG_D_L), 1.0), EXPONENT_L)
        creep_L = _CREEP * np.sqrt(max(1 - last.step / self._budget, 0.0)) * (share_L < 1)
        gold_sd_FL = np.hypot(laws.gold_sd_FL * share_L, creep_L)
        return replace(laws, gold_FL=laws.gold_FL * share_L, gold_sd_FL=gold_sd_FL)


def _best(finished: Sequence[FrozenTrial]) -> tuple[float, float]:
    """Best value of a complete trial and the standard error of gold at its peak; (nan, 0) if there is none."""
    values = [
        (float(trial.value), trial)
        for trial in finished
        if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    if not values:
        return float("nan"), 0.0
    value, best = max(values, key=lambda pair: pair[0])
    return value, max(((point.gold, point.gold_se) for point in points_of(best)), default=(0.0, 0.0))[1]
