"""What a failed step is said to have done: where it failed, and what its process met."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from concurrent.futures import Future

from mlproject.errors import MachineError, NotFiniteError, UserError
from mlproject.execution.assignment import Outcome
from mlproject.execution.worker import WorkerLostError
from mlproject.pipeline.step import Step

_UNKNOWN_EXIT_CODE = 255
"""What multiprocessing says where it does not know how a process ended."""


def outcome_of(future: Future[Outcome | None], step: Step, beside: Sequence[Step]) -> Outcome | None:
    """The outcome of a step that is done.

    Args:
        future: of the step.
        step: what was executed.
        beside: steps that ran at the same time.

    Raises:
        Exception: what the step raised. A lost process is the cause of a UserError or a MachineError.
    """
    try:
        return future.result()
    except WorkerLostError as error:
        if error.exit_code is not None and 0 <= error.exit_code < _UNKNOWN_EXIT_CODE:
            raise UserError(
                f"{step.name}: its process must not end before its time, but did, with exit code "
                f"{error.exit_code}. Let the code that it calls raise an error instead of calling os._exit."
            ) from error
        others = f" (beside it ran {', '.join(other.name for other in beside)})" if beside else ""
        raise MachineError(
            f"{step.name}: its process was ended from outside{_by_signal(error.exit_code)}{others}, as Linux ends "
            "one where memory runs out. Set workers or batch sizes lower, or give the machine more memory, and run "
            "the same command again: it continues."
        ) from error
    except NotFiniteError as error:
        raise error.at(f"in the step {step.name!r}") from None


def _by_signal(exit_code: int | None) -> str:
    """Which signal ended a process, as far as that is known."""
    if exit_code is None or exit_code >= 0:
        return ""
    names = {each.value: each.name for each in signal.Signals}
    return f" by {names.get(-exit_code, -exit_code)}"
