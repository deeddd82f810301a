"""The recommendation of a study, from the data of its report; computed once, for page, figures and record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from mlproject.laws import law_for
from mlproject.laws.weighted import LawPeak, quoted_peak
from mlproject.optimization import find_method
from mlproject.recommendation.evidence import Figure, evidence_of
from mlproject.recommendation.measured import MeasuredRun, settings_of_runs
from mlproject.recommendation.outcome import Outcome
from mlproject.recommendation.recommend import Recommendation, recommend
from mlproject.recommendation.setting import Setting
from mlproject.recommendation.stop import Stop
from mlproject.report.records import PolicyRunRecord, Report


@lru_cache(maxsize=1)
def recommendation_of(report: Report) -> Recommendation:
    """What to do, by all curves of a study and of its search; of equal reward models, the one that was proposed."""
    outcome = outcome_of(report)
    return recommend(settings_of(report), preferred=outcome.rm if outcome and outcome.in_study else "")


def outcome_of(report: Report) -> Outcome | None:
    """What became of the study's promotion, with the proposed reward model named as the settings are."""
    outcome = report.outcome
    if outcome is None or not outcome.in_study:
        return outcome
    names = {rm_size: setting.rm for setting in settings_of(report) for _, rm_size in _keys(report, setting)}
    return replace(outcome, rm=names.get(outcome.rm, outcome.rm))


@lru_cache(maxsize=1)
def evidence_of_report(report: Report) -> list[Figure]:
    """What speaks for the recommendation."""
    return evidence_of(recommendation_of(report), report.audits)


@lru_cache(maxsize=1)
def settings_of(report: Report) -> list[Setting]:
    """The settings of a study: its planned policy runs, seeds together, then those that only its search tried."""
    settings = settings_of_runs([*_measured(report.policy_runs, False), *_measured(report.search_runs, True)])
    return [replace(setting, rm_is_given=True) for setting in settings] if report.samples else settings


def law_of(setting: Setting) -> LawPeak:
    """The peak of the law of a setting's method, with the errors of its points; or why it is withheld."""
    return quoted_peak(law_for(find_method(setting.method)), setting.curve)


@lru_cache(maxsize=1)
def stops_of(report: Report) -> dict[tuple[str, str], Stop]:
    """Where to stop in the planned settings, by method and RM size."""
    evaluated = recommendation_of(report).evaluated
    return {key: each.stop for each in evaluated for key in _keys(report, each.setting)}


@lru_cache(maxsize=1)
def laws_of(report: Report) -> dict[tuple[str, str], LawPeak]:
    """The laws of the planned settings, by method and RM size."""
    return {key: law_of(setting) for setting in settings_of(report) for key in _keys(report, setting)}


def _keys(report: Report, setting: Setting) -> set[tuple[str, str]]:
    """Method and RM size of a planned setting, whose name may hold options of the study; none for one of a search."""
    sizes = {run.run_id: run.rm_size for run in report.policy_runs}
    planned = () if setting.from_search else setting.run_ids.values()
    return {(setting.method, sizes[run_id]) for run_id in planned if run_id in sizes}


def _measured(runs: Sequence[PolicyRunRecord], from_search: bool) -> list[MeasuredRun]:
    return [
        MeasuredRun(
            method=run.method,
            rm=run.rm_size,
            rm_params=run.rm_params,
            seed=run.seed,
            curve=run.curve,
            run_id=run.run_id,
            kl_coef=run.kl_coef if find_method(run.method).trains_policy else None,
            from_search=from_search,
            options=run.options,
        )
        for run in runs
    ]
