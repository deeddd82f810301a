"""The options of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.config.groups import REWARD
from mlproject.models.sizes import SIZES
from mlproject.optimization import METHODS
from mlproject.options.declaration import Options, option

FORWARD_PASSES = "peak-and-forward-passes"
OBJECTIVES = ("peak", "peak-and-updates", "peak-and-comparisons", FORWARD_PASSES)
"""Peak gold alone, or with a cost: policy updates to the peak, comparisons bought, reward models' forward passes."""

AUTO = "auto"
FIRST = next(method.name for method in METHODS.values() if method.trains_policy)
"""The method that a search is about where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """The search for the KL coefficient and the RM with the highest peak."""

    HEADING: ClassVar[str] = "Search"

    study: str = option("name of the Optuna study")
    n_trials: int = option(
        "trials of the search in total, over all its restarts; 0: no search", minimum=0, maximum=1_000_000
    )
    search_method: str = option(
        f"method whose curves are searched; auto: {FIRST} where it is among methods, otherwise the first of these",
        default=AUTO,
        choices=(AUTO, *METHODS),
    )
    search_kl_coefs: tuple[float, ...] = option("increasing grid of KL coefficients", minimum=0, maximum=100)
    search_rm_sizes: tuple[str, ...] = option("increasing grid of RM sizes", choices=tuple(SIZES), form=REWARD)
    search_n_comparisons: tuple[int, ...] = option(
        "increasing grid of comparison counts; empty: n_comparisons alone",
        minimum=64,
        maximum=1_000_000,
        allow_empty=True,
    )
    search_ppo_lrs: tuple[float, ...] = option(
        "increasing grid of learning rates; empty: ppo_lr alone", minimum=1e-9, maximum=1, allow_empty=True
    )
    search_rewards: tuple[str, ...] = option(
        "grid of rewards, cures joined by +, the best guess first; empty: reward alone",
        allow_empty=True,
        default=(),
    )
    search_ensemble_members: tuple[int, ...] = option(
        "increasing grid of ensemble sizes; empty: ensemble_members alone", minimum=2, maximum=64, allow_empty=True,
        default=(),
    )  # fmt: skip
    search_align_betas: tuple[float, ...] = option(
        "increasing grid of beta, where search_method is a method of direct alignment", minimum=1e-6, maximum=1000,
        default=(0.03, 0.1, 0.3, 1.0),
    )  # fmt: skip
    search_objective: str = option("peak gold alone, or with a second objective, a cost", choices=OBJECTIVES)
    search_sampler: str = option("sampler that proposes trials", choices=("tpe", "gp", "random"))
    search_pruner: str = option("pruner that ends hopeless trials early", choices=("law", "median", "none"))
    search_batch: int = option("trials proposed at a time", minimum=1, maximum=64)
    search_first: str = option(
        "the first trials: the largest RM with the smallest coefficient (best), or the cells that the study runs "
        "itself, at no further cost (study)",
        default="best",
        choices=("best", "study"),
    )
