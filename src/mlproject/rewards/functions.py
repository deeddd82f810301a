"""A user's Python functions, named PACKAGE.MODULE:FUNCTION. Free of torch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.errors import UserError, describe, is_interruption

ScoreFunction = Callable[[Sequence[str], Sequence[str]], Sequence[float] | NDArray[np.float64]]
"""(prompts, responses) -> one number each."""

GIVEN_BY_TRL = {"prompts", "completions", "completion_ids"}
"""Arguments of a reward function in TRL's form that are no columns of the data."""


def load_function(name: str) -> Callable[..., Any]:
    """Import a function; modules in the current folder are found too.

    Args:
        name: PACKAGE.MODULE:FUNCTION.

    Raises:
        UserError: if there is no such function.
    """
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):  # an installed command does not look there by itself
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except BaseException as error:  # SystemExit too: a script may end where it is imported
        if is_interruption(error):
            raise
        raise UserError(
            f"{name}: must be importable ({describe(error)}). Put the module on the path as PACKAGE.MODULE:FUNCTION."
        ) from None
    if not hasattr(module, attribute):
        raise UserError(f"{name}: must exist, but {module_name} has no {attribute}. Correct PACKAGE.MODULE:FUNCTION.")
    function = getattr(module, attribute)
    if not callable(function) or inspect.isclass(function):
        kind = "a class" if inspect.isclass(function) else type(function).__name__
        raise UserError(f"{name}: must be a function of (prompts, responses), not {kind}. Name another.")
    return function


def is_trl_function(function: Callable[..., Any]) -> bool:
    """Whether a function has the form of TRL's reward functions: it is called by names, and takes `completions`."""
    parameters = _parameters(function)
    by_name_alone = all(each.kind in (Parameter.VAR_KEYWORD, Parameter.KEYWORD_ONLY) for each in parameters.values())
    return "completions" in parameters or (bool(parameters) and by_name_alone)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of this name."""
    parameters = _parameters(function)
    return name in parameters or any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())


def required_columns(function: Callable[..., Any]) -> list[str]:
    """The columns of the data without which a function in TRL's form cannot be called."""
    return [
        name
        for name, each in _parameters(function).items()
        if name not in GIVEN_BY_TRL
        and each.default is Parameter.empty
        and each.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    ]


def _parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of a function in C
        return {}
