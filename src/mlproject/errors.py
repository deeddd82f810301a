"""Exceptions for a user's mistake and for a refusal, and the one-line message of any exception."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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


class NotFiniteError(UserError):
    """A score, log-probability, KL or weight that is nan or infinite, named where it came from.

    Args:
        source: what gave it: a reward model, a function, a policy.
        problem: what it gave.
        remedy: what to do, a whole sentence.
        places: where, from the inside out: the prompt, the step, the run.
        row: index of the first response concerned, for those who know its prompt; None: unknown.

    Examples:
        >>> from mlproject import NotFiniteError
        >>> print(NotFiniteError("proxy my-rm", "gives nan to 1 of 8 responses", "Check its weights.").at("at step 3"))
        proxy my-rm: gives nan to 1 of 8 responses, at step 3. Check its weights.
    """

    def __init__(
        self, source: str, problem: str, remedy: str, places: tuple[str, ...] = (), row: int | None = None
    ) -> None:
        super().__init__(source, problem, remedy, places, row)
        self.source, self.problem, self.remedy, self.places, self.row = source, problem, remedy, places, row

    def __str__(self) -> str:
        return f"{', '.join([f'{self.source}: {self.problem}', *self.places])}. {self.remedy}"

    def at(self, place: str) -> NotFiniteError:
        """The same error with one more place."""
        return NotFiniteError(self.source, self.problem, self.remedy, (*self.places, place), self.row)

    def of(self, role: str) -> NotFiniteError:
        """The same error whose source plays a role, where that is not said yet."""
        source = self.source if self.source.startswith(role) else f"{role} {self.source}"
        return NotFiniteError(source, self.problem, self.remedy, self.places, self.row)


@contextmanager
def located(place: str, role: str = "") -> Iterator[None]:
    """Inside, a `NotFiniteError` is told where it happened, and what its source plays."""
    try:
        yield
    except NotFiniteError as error:
        raise error.of(role).at(place) if role else error.at(place) from None


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
