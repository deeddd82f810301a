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
from mlproject.recommendation.recommend import Recommendation, recommend
from mlproject.recommendation.setting import Setting
from mlproject.recommendation.stop import Stop
from mlproject.report.records import PolicyRunRecord, Report


@lru_cache(maxsize=1)
def recommendation_of(report: Report) -> Recommendation:
    """What to do, by all curves of a study and of its search; of equal reward models, the one that was proposed."""
    proposed = report.outcome.rm if report.outcome and report.outcome.in_study else ""
    return recommend(settings_of(report), preferred=proposed)


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
    """Where to stop in the planned settings, by method and reward model."""
    planned = [each for each in recommendation_of(report).evaluated if not each.setting.from_search]
    return {(each.setting.method, each.setting.rm): each.stop for each in planned}


@lru_cache(maxsize=1)
def laws_of(report: Report) -> dict[tuple[str, str], LawPeak]:
    """The laws of the planned settings, by method and reward model."""
    planned = [setting for setting in settings_of(report) if not setting.from_search]
    return {(setting.method, setting.rm): law_of(setting) for setting in planned}


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
