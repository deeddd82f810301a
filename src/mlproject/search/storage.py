"""Optuna's storage, separate from MLflow's database, and the samplers and pruners that a search uses."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from mlproject.config.schema import Config
from mlproject.config.search_options import FIRST
from mlproject.cures import PLAIN, REWARD_PARAMS
from mlproject.errors import UserError, first_line
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.sizes import is_checkpoint
from mlproject.optimization import METHODS
from mlproject.options.secrets import STORAGE_VARIABLE, mask
from mlproject.pipeline.reward import reward_params
from mlproject.rewards.source import is_reward
from mlproject.search.distinct import DistinctSampler
from mlproject.search.law_pruner import LawPruner
from mlproject.search.space import Space
from mlproject.strict_json import strict_json
from mlproject.tracking.database import Database, ensure_database, remaining_tables, table_names
from mlproject.tracking.store import Store

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

HEARTBEAT_SECONDS, GRACE_SECONDS = 5, 30
"""Interval between the heartbeats of a worker, and time without heartbeats after which it counts as dead."""

_RANDOM_TRIALS = 4
"""Number of random trials before the sampler starts to model results."""


def open_storage(config: Config, store: Store) -> optuna.storages.RDBStorage:
    """Open `storage`, or what the environment variable OPTUNA_STORAGE names, or `optuna.db` beside the SQLite store.

    A study opens it before any work, so that a missing storage does not end the study late.

    Raises:
        UserError: if there is none, or it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage")  # workers send their own
    option, url = "storage", config.storage
    if not url:
        option, url = STORAGE_VARIABLE, os.environ.get(STORAGE_VARIABLE, "")
    if not url and store.folder is None:
        raise UserError(
            f"storage: must be given when the tracking store is a server. Set {STORAGE_VARIABLE}=URL (or "
            "storage=URL, where it has no password), or skip the search with n_trials=0."
        )
    url = url or f"sqlite:///{store.folder}/optuna.db"
    try:
        if (path := _sqlite_file(url)) is not None:
            ensure_database(path, _make_database, _is_half_made)
        return optuna.storages.RDBStorage(url, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS)
    except (SQLAlchemyError, ImportError, ValueError, OSError) as error:
        reason = first_line(error)
        raise UserError(f"{option}={mask(url)}: cannot be opened ({mask(reason)}). Give a database URL.") from None


def _sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for another database, and for one in memory."""
    parts = make_url(url)
    name = parts.database or ""
    return Path(name) if parts.get_backend_name() == "sqlite" and name and not name.startswith((":", "file:")) else None


def _make_database(url: str) -> None:
    optuna.storages.RDBStorage(url).engine.dispose()


def _is_half_made(database: Database) -> bool:
    """Whether Optuna was ended while it made this database: its last step is to write down its version."""
    tables = table_names(database)
    if tables and "studies" not in tables:
        return False
    if remaining_tables(database, frozenset({"alembic_version", "version_info"})):
        return False
    return "alembic_version" not in tables or not database.execute("SELECT 1 FROM alembic_version").fetchone()


def new_sampler(config: Config, number: int) -> BaseSampler:
    """The sampler of one trial, seeded by its number, so that a resumed search proposes the same trials.

    The first trials are fixed (see `Space.first`), since a high peak early on lets the pruner end other trials sooner.
    No cell is proposed twice while others are untried.
    """
    space, sampler = Space.of(config), _sampler(config, number)
    first = space.first(config)
    if number < len(first):
        sampler = optuna.samplers.PartialFixedSampler(first[number], sampler)
    return DistinctSampler(sampler, space.distributions())


def _sampler(config: Config, number: int) -> BaseSampler:
    seed = 1000 * config.seed + number
    if config.search_sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if config.search_sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=_RANDOM_TRIALS, deterministic_objective=False)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_TRIALS, multivariate=True)


def new_pruner(config: Config) -> BasePruner | None:
    """The pruner of all trials; None if pruning is off or there are two objectives (Optuna prunes for one only)."""
    if config.search_objective != "peak" or config.search_pruner == "none":
        return None
    if config.search_pruner == "median":
        return optuna.pruners.MedianPruner()
    method = METHODS[config.searched_method]
    budget = config.of_method(method.name).last_step if method.trains_policy else None
    return LawPruner(budget, method=method)


def directions(config: Config) -> list[str]:
    """Directions of the objectives: maximize peak gold, and minimize its cost if that is the second objective."""
    return ["maximize"] if config.search_objective == "peak" else ["maximize", "minimize"]


def shared_options(config: Config) -> str:
    """The options of proxy training and of the method that all trials have in common, as JSON text."""
    options, searched = config.of_method(config.searched_method), Space.of(config).grids
    required = [name for name in options.required() if name not in searched]
    shared: dict[str, Any] = config.select(*required, "rm_epochs", "rm_batch_size", "rm_lr", "mixed_precision")
    changed = {name: value for name, value in options.params().items() if name not in options.required()}
    changed |= config.changed("rm_checkpoint_lr")
    if config.searched_method != FIRST:
        changed |= {"search_method": config.searched_method}
    if (config.reward, *config.search_rewards) != (PLAIN,):
        reward = config.changed(*REWARD_PARAMS, "ensemble_checkpoints")
        changed |= {name: value for name, value in reward.items() if name not in searched}
    auxiliary = {name: value for name, value in config.select("test_rms", "ensemble").items() if value}
    checkpoints = {
        name: inspect_checkpoint(name, option).digest
        for option in ("search_rm_sizes", "ensemble_checkpoints")
        for name in getattr(config, option)
        if is_checkpoint(name)
    }
    rewards = {name: reward_params(config, name) for name in config.search_rm_sizes if is_reward(name)}
    existing = {name: found for name, found in (("checkpoints", checkpoints), ("rewards", rewards)) if found}
    return strict_json({**shared, **changed, **auxiliary, **existing})
