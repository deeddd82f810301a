"""Policy runs as they were measured, gathered into settings: the same runs give the same settings, whoever asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlproject.cures.cure import PLAIN
from mlproject.curve import Curve
from mlproject.recommendation.setting import Setting

NAMED_OPTIONS = ("n_comparisons", "labels", "label_noise", "ppo_lr", "reward", "ensemble_members")
"""Options by which settings of a store differ, besides reward model, seed and KL coefficient."""

_WITHOUT_CURES = {"reward": PLAIN}
"""Options that a run has though it does not store them."""


def named_options(params: Mapping[str, str]) -> dict[str, str]:
    """The options among a run's parameters by which settings differ."""
    known = {**_WITHOUT_CURES, **params}
    return {name: known[name] for name in NAMED_OPTIONS if name in known}


@dataclass(frozen=True)
class MeasuredRun:
    """A whole policy run.

    Attributes:
        method: name of the method.
        rm: size, or name, of the reward model.
        rm_params: its number of parameters; 0 if unknown.
        seed: of the run.
        curve: what was measured.
        run_id: of the run.
        kl_coef: coefficient of the KL penalty; None for a method without one.
        from_search: whether a search proposed it, rather than the plan of a study.
        options: further options that may tell settings apart, as text by name.
    """

    method: str
    rm: str
    rm_params: int
    seed: int
    curve: Curve
    run_id: str
    kl_coef: float | None = None
    from_search: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


def settings_of_runs(runs: Iterable[MeasuredRun], usual: Mapping[str, str] | None = None) -> list[Setting]:
    """Settings, each with the runs of its seeds.

    An option whose value differs from the usual one becomes a part of the reward model's name, and cures always do. Of
    several runs of a setting and seed the first counts, and a planned run before one of a search.

    Args:
        runs: on the same prompts.
        usual: values of the options that need no mention; by default those of the first planned run that has them.

    Returns:
        planned settings first, then by method, size, name and KL coefficient.
    """
    runs = sorted(runs, key=lambda run: run.from_search)
    if usual is None:
        planned = [run.options for run in runs if not run.from_search]
        usual = {name: value for options in reversed(planned) for name, value in options.items()}
    usual = {**usual, **_WITHOUT_CURES}
    groups: dict[tuple[str, int, str, float | None], list[MeasuredRun]] = {}
    for run in runs:
        others = "".join(f", {name}={value}" for name, value in run.options.items() if usual.get(name) != value)
        groups.setdefault((run.method, run.rm_params, run.rm + others, run.kl_coef), []).append(run)
    settings = []
    for (method, rm_params, rm, kl_coef), members in groups.items():
        by_seed: dict[int, MeasuredRun] = {}
        for run in members:
            if run.from_search == members[0].from_search:
                by_seed.setdefault(run.seed, run)
        seeds = sorted(by_seed)
        settings.append(
            Setting(
                method=method,
                rm=rm,
                rm_params=rm_params,
                curves={seed: by_seed[seed].curve for seed in seeds},
                kl_coef=kl_coef,
                from_search=members[0].from_search,
                run_ids={seed: by_seed[seed].run_id for seed in seeds},
            )
        )
    return sorted(settings, key=lambda s: (s.from_search, s.method, s.rm_params, s.rm, s.kl_coef or 0.0))
