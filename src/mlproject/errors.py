"""Exceptions that stand for a user's mistake or a refusal, and how any exception is told in one line."""


class UserError(Exception):
    """Something the user can mend: one line saying what was given, what is allowed and what to do.

    The command line prints the line without a traceback and exits with code 2.
    """


class RefusedError(Exception):
    """An answer, not a mistake: what was asked for is refused. Exit code 3."""


def first_line(error: BaseException) -> str:
    """What an exception says, for a message of one line: its first line, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
