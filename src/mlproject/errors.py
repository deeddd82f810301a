"""The one exception that stands for a mistake of the user's."""


class UserError(Exception):
    """Something the user can mend: one line saying what was given, what is allowed and what to do.

    The command line prints the line without a traceback and exits with code 2.
    """


class RefusedError(Exception):
    """An answer, not a mistake: what was asked for is refused. Exit code 3."""
