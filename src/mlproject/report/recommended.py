"""The recommendation of a study, from the data of its report; computed once, for page, figures and record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from mlproject.laws import law_for
from mlproject.laws.weighted import LawPeak, quoted_peak
from mlproject.optimization import METHODS, find_method
from mlproject.recommendation.recommend import Recommendation, recommend
from mlproject.recommendation.setting import Setting
from mlproject.report.records import PolicyRunRecord, Report


@lru_cache(maxsize=1)
def recommendation_of(report: Report) -> Recommendation:
    """What to do, by all curves of a study and of its search; a promoted reward model goes before others."""
    return recommend(settings_of(report), preferred=report.promoted_rm)


@lru_cache(maxsize=1)
def settings_of(report: Report) -> list[Setting]:
    """The settings of a study: its planned policy runs, seeds together, then those that only its search tried."""
    planned = _grouped(report.policy_runs, from_search=False)
    tried = {_key(run) for run in report.policy_runs}
    return planned + _grouped([run for run in report.search_runs if _key(run) not in tried], from_search=True)


def law_of(setting: Setting) -> LawPeak:
    """The peak of the law of a setting's method, with the errors of its points; or why it is withheld."""
    return quoted_peak(law_for(find_method(setting.method)), setting.curve)


@lru_cache(maxsize=1)
def laws_of(report: Report) -> dict[tuple[str, str], LawPeak]:
    """The laws of the planned settings, by method and reward model."""
    planned = [setting for setting in settings_of(report) if not setting.from_search]
    return {(setting.method, setting.rm): law_of(setting) for setting in planned}


def _key(run: PolicyRunRecord) -> tuple[str, int, str, float]:
    return run.method, run.rm_params, run.rm_size, run.kl_coef


def _grouped(runs: Sequence[PolicyRunRecord], from_search: bool) -> list[Setting]:
    groups: dict[tuple[str, int, str, float], dict[int, PolicyRunRecord]] = {}
    for run in runs:
        groups.setdefault(_key(run), {})[run.seed] = run
    return [
        Setting(
            method=method,
            rm=rm,
            rm_params=params,
            curves={seed: run.curve for seed, run in sorted(seeds.items())},
            kl_coef=kl_coef if method in METHODS and METHODS[method].trains_policy else None,
            from_search=from_search,
            run_ids={seed: run.run_id for seed, run in sorted(seeds.items())},
        )
        for (method, params, rm, kl_coef), seeds in sorted(groups.items())
    ]
