"""The executor that the options of a command ask for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mlproject.config.schema import Config
from mlproject.errors import UserError
from mlproject.execution.distributed import TorchrunExecutor, world_size
from mlproject.execution.engine import EngineExecutor
from mlproject.execution.executors import Executor, LocalExecutor
from mlproject.execution.resources import ResourceTable
from mlproject.tracking.store import Store

_RAY, _SUBMITIT = "ray", "submitit"
_FOLDER = "mlproject-jobs"


def new_executor(config: Config, store: Store, say: Callable[[str], None]) -> Executor:
    """The executor of a command.

    Args:
        config: its options.
        store: where runs are kept.
        say: prints a line.

    Raises:
        UserError: where an engine is not installed, does not answer, or cannot be used here.
    """
    engine = config.engine
    for name in ("engine_address", "engine_resources"):
        if (value := getattr(config, name)) and engine not in (_RAY, _SUBMITIT):
            raise UserError(f"{name}={value}: must be empty when engine=local. Remove it, or give engine=ray.")
    if world_size() > 1:
        if engine in (_RAY, _SUBMITIT):
            raise UserError(f"engine={engine}: must be local under torchrun. Start the command without torchrun.")
        return TorchrunExecutor()
    if engine == _RAY:
        resources = ResourceTable(config.engine_resources)
        ray = _module_of(_RAY)
        return EngineExecutor(ray.RayEngine(config.engine_address, resources, config.workers), say)
    if engine == _SUBMITIT:
        resources = ResourceTable(config.engine_resources)
        folder = (store.folder or Path.cwd()) / _FOLDER
        batch = _module_of(_SUBMITIT)
        return EngineExecutor(batch.SubmititEngine(config.engine_address, resources, folder, config.workers), say)
    return LocalExecutor(config.workers)


def _module_of(engine: str) -> ModuleType:
    try:
        return import_module(f"mlproject.execution.{engine}_engine")
    except ModuleNotFoundError as error:
        if error.name != engine:
            raise
        raise UserError(
            f"engine={engine}: must be installed. Run `pip install '.[{engine}]'`, or use engine=local."
        ) from None
