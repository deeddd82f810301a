"""Every way to optimize a policy against a proxy reward. Each yields curve points.

A further method is one new file with a `METHOD`, a subclass of `MethodConfig` for its options and a function
`optimize(task) -> Iterator[CurvePoint]`, and one line in `_MODULES`. The module of `METHOD` imports nothing heavy: it
is read whenever the configuration is. Modules outside of this package are named by the environment variable
`MLPROJECT_METHODS`, separated by commas; they are read in every process.
"""

from __future__ import annotations

import os
import re
from importlib import import_module

from mlproject.errors import UserError, first_line
from mlproject.laws.forms import law_for, name_method
from mlproject.optimization.method import Method
from mlproject.optimization.method_config import BUDGET, EARLY_STOPS, FORECAST, KL_BUDGET, STOPS, MethodConfig
from mlproject.options.columns import plain

__all__ = [
    "BUDGET",
    "EARLY_STOPS",
    "FORECAST",
    "KL_BUDGET",
    "METHODS",
    "METHODS_VARIABLE",
    "STOPS",
    "Method",
    "MethodConfig",
    "find_method",
    "method_named",
    "register",
]

METHODS_VARIABLE = "MLPROJECT_METHODS"

_MODULES = (
    "mlproject.optimization.best_of_n",
    "mlproject.optimization.on_policy.ppo_config",
    "mlproject.optimization.soft_best_of_n",
    "mlproject.optimization.best_of_poisson",
    "mlproject.optimization.pessimistic_best_of_n",
    "mlproject.optimization.regularized_best_of_n",
    "mlproject.optimization.on_policy.grpo_config",
    "mlproject.optimization.on_policy.rloo_config",
    "mlproject.optimization.on_policy.reinforce_config",
    "mlproject.optimization.direct_alignment.methods",
)
"""Modules with a `METHOD`, or several in `METHODS`, in the order in which reports show the methods."""

METHODS: dict[str, Method] = {}
"""The registered methods by name."""


def find_method(name: str) -> Method:
    """The registered method of a name; for any other name a method of another trainer, which trains a policy."""
    label = name.upper() if len(name) <= _ACRONYM else name
    return METHODS.get(name) or Method(name, label, MethodConfig, module="")


def method_named(name: str) -> Method:
    """The method of a name that a user gives, which may be that of another trainer (see `find_method`).

    Raises:
        UserError: for a name that no metric could have, or that only looks like that of a registered method.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"method={name}: must be a name of letters, digits, '-', '_' and '.', such as grpo.")
    meant = next((known for known in METHODS if plain(known) == plain(name)), name)
    if meant != name:
        raise UserError(f"method={name}: must be written {meant}.")
    law_for(name)
    return find_method(name)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,40}")
_ACRONYM = 4
"""Letters of the longest name that is taken for an acronym: DPO, GRPO."""


def register(method: Method) -> None:
    """Add a method, in the modules that this package reads or in a test.

    Raises:
        UserError: where there is another method of that name.
    """
    if METHODS.setdefault(method.name, method) != method:
        raise UserError(f"method {method.name}: is registered twice. Choose another name for yours.")
    name_method(method.name, method)


def _register_those_of(name: str) -> None:
    module = import_module(name)
    for method in getattr(module, "METHODS", None) or [module.METHOD]:
        register(method)


def _register_all() -> None:
    for name in _MODULES:
        _register_those_of(name)
    for name in filter(None, os.environ.get(METHODS_VARIABLE, "").split(",")):
        try:
            _register_those_of(name)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{METHODS_VARIABLE}={name}: must be a module with a METHOD ({first_line(error)}). Correct the name, "
                "or put its folder on PYTHONPATH."
            ) from error


_register_all()
