"""A user's Python functions, named PACKAGE.MODULE:FUNCTION. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from mlproject.errors import UserError, is_interruption, text_of

ScoreFunction = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""(prompts, responses) -> one number each."""

_MAX_MESSAGE = 300


def load_function(name: str) -> ScoreFunction:
    """Import a function.

    Args:
        name: PACKAGE.MODULE:FUNCTION.

    Raises:
        UserError: if there is no such function.
    """
    module_name, _, attribute = name.partition(":")
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
    if not callable(function):
        raise UserError(
            f"{name}: must be a function of (prompts, responses), not {type(function).__name__}. Name another."
        )
    return function


def describe(error: BaseException) -> str:
    """Type and message of an exception, shortened to one line."""
    message = " ".join(text_of(error).split())[:_MAX_MESSAGE]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
