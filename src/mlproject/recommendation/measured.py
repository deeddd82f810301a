"""Policy runs as they were measured, gathered into settings: the same runs give the same settings, whoever asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from mlproject.config.groups import ProxyOptions
from mlproject.cures import REWARD_PARAMS
from mlproject.cures.options import RewardOptions
from mlproject.curve import Curve
from mlproject.options.values import to_text
from mlproject.preferences.loss_options import RewardLoss
from mlproject.recommendation.setting import Setting

_OF_STUDY = ("n_comparisons", "labels", "label_noise", "rm_epochs", "rm_batch_size", "ppo_lr")
_WITH_DEFAULT = (*REWARD_PARAMS, "rm_start", "ranked_responses", *(each.name for each in fields(RewardLoss)))
NAMED_OPTIONS = (*_OF_STUDY, *_WITH_DEFAULT)
"""Options by which settings of a store differ, besides reward model, seed and KL coefficient."""

_DEFAULTS = {
    each.name: to_text(each.default)
    for group in (RewardOptions, ProxyOptions)
    for each in fields(group)
    if each.name in _WITH_DEFAULT
}
"""What a run has of some of them where it stores none."""


def named_options(params: Mapping[str, str]) -> dict[str, str]:
    """The options among a run's parameters by which settings differ."""
    return {name: params[name] for name in NAMED_OPTIONS if name in params}


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

    An option whose value differs from the usual one becomes a part of the reward model's name; of cures and of the
    training of reward models, the usual one is the default. Of several runs of a setting and seed the first counts,
    and a planned run before one of a search.

    Args:
        runs: on the same prompts.
        usual: values of the other options that need no mention; by default those of the first planned run that has
            them.

    Returns:
        planned settings first, then by method, size, name and KL coefficient.
    """
    runs = sorted(runs, key=lambda run: run.from_search)
    if usual is None:
        planned = [run.options for run in runs if not run.from_search]
        usual = {name: value for options in reversed(planned) for name, value in options.items()}
    usual = {**usual, **_DEFAULTS}
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
