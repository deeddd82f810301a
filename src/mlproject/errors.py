"""Exceptions that stand for a user's mistake or a refusal, and how any exception is told in one line."""


class UserError(Exception):
    """Something the user can mend: one line saying what was given, what is allowed and what to do.

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
    """An answer, not a mistake: what was asked for is refused. Exit code 3.

    Examples:
        >>> from mlproject import RefusedError, UserError
        >>> issubclass(RefusedError, UserError)  # a refusal is an answer, not a mistake
        False
    """


def first_line(error: BaseException) -> str:
    """What an exception says, for a message of one line: its first line, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
