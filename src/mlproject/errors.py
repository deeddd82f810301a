"""Exceptions for a user's mistake and for a refusal, and the one-line message of any exception."""


class UserError(ValueError):
    """A mistake that the user can correct: one line that says what was given, what must hold and what to do.

    The command line prints the line without a traceback and exits with code 2.

    Examples:
        >>> from mlproject import UserError, load_config
        >>> try:
        ...     load_config("laptop", {"ppo_updates": 0})
        ... except UserError as error:
        ...     print(error)
        ppo_updates=0: must be a whole number of at least 1.
    """


class RefusedError(Exception):
    """What was asked for is refused: an answer, not a mistake. Exit code 3.

    Examples:
        >>> from mlproject import RefusedError, UserError
        >>> issubclass(RefusedError, UserError)  # a refusal is an answer, not a mistake
        False
    """


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or the name of its class if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
