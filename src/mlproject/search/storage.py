"""Optuna's own storage, never MLflow's database, and the studies, samplers and pruners in it."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import optuna
from sqlalchemy.exc import SQLAlchemyError

from mlproject.config.schema import Config
from mlproject.errors import UserError, first_line
from mlproject.models.checkpoints import inspect_checkpoint
from mlproject.models.sizes import is_checkpoint
from mlproject.optimization import METHODS
from mlproject.search.law_pruner import LawPruner
from mlproject.search.space import GRIDS, Space
from mlproject.tracking.store import Store, hide_password

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

HEARTBEAT_SECONDS, GRACE_SECONDS = 5, 30
"""How often a worker says that it is alive, and after which silence it counts as dead."""

_RANDOM_TRIALS = 4
"""Trials drawn at random before the sampler starts to model them."""


def open_storage(config: Config, store: Store) -> optuna.storages.RDBStorage:
    """`storage`, or `optuna.db` beside the SQLite tracking store.

    Raises:
        UserError: where there is none; asked before any work, so that a study does not fail at its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage")  # workers send their own
    if not config.storage and store.folder is None:
        raise UserError(
            "storage: with a tracking server, name Optuna's storage: storage=URL (or n_trials=0: no search)"
        )
    try:
        return optuna.storages.RDBStorage(
            config.storage or f"sqlite:///{store.folder}/optuna.db",
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = first_line(error)
        raise UserError(
            f"storage={hide_password(config.storage)}: cannot be opened ({reason}); give a database URL"
        ) from None


def new_sampler(config: Config, number: int) -> BaseSampler:
    """The sampler of one trial: seeded by its number, so that a search taken up again proposes what it would have.

    The first trial is fixed (see `Space.first`): a high peak early lets the pruner end the others soon.
    """
    if number == 0:
        return optuna.samplers.PartialFixedSampler(Space.of(config).first(), _sampler(config, number))
    return _sampler(config, number)


def _sampler(config: Config, number: int) -> BaseSampler:
    seed = 1000 * config.seed + number
    if config.search_sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if config.search_sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=_RANDOM_TRIALS, deterministic_objective=False)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_TRIALS, multivariate=True)


def new_pruner(config: Config) -> BasePruner | None:
    """The pruner of all trials; None where none is wanted, or there are two objectives (Optuna prunes for one only)."""
    if config.search_objective != "peak" or config.search_pruner == "none":
        return None
    return LawPruner(config.ppo_updates) if config.search_pruner == "law" else optuna.pruners.MedianPruner()


def directions(config: Config) -> list[str]:
    """Peak gold up; and its cost down, where that is the second objective."""
    return ["maximize"] if config.search_objective == "peak" else ["maximize", "minimize"]


def policy_run_options(config: Config) -> str:
    """All options of proxies and PPO that trials share, as one text."""
    names = [name for name in METHODS["ppo"].options if name not in GRIDS or not getattr(config, GRIDS[name])]
    shared: dict[str, Any] = config.select(*names, "rm_epochs", "rm_batch_size", "rm_lr", "mixed_precision")
    further = config.changed(*METHODS["ppo"].further, "rm_checkpoint_lr")
    watched = {name: value for name, value in config.select("test_rms", "ensemble").items() if value}
    own = {
        name: inspect_checkpoint(name, "search_rm_sizes").digest
        for name in config.search_rm_sizes
        if is_checkpoint(name)
    }
    return json.dumps({**shared, **further, **watched, **({"checkpoints": own} if own else {})})
