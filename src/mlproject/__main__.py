"""`python -m mlproject ENTRY_POINT --option value ...`: the same names and parameters as the MLproject file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from mlproject.cli.early_checks import check_arguments
from mlproject.cli.parser import parse_command_line
from mlproject.cli.secret_options import guard
from mlproject.config.rules import warnings_for
from mlproject.errors import RefusedError, UserError
from mlproject.names.quoting import one_line
from mlproject.options.secrets import mask, mask_output
from mlproject.pipeline import preflight

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # `mlflow run` forwards Ctrl-C as both; clusters send SIGTERM
_LONGEST_MESSAGE = 2000

EXIT_OK, EXIT_MISTAKE, EXIT_REFUSED, EXIT_INTERRUPTED = 0, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one entry point.

    Returns:
        exit code: 0, 2 for a mistake of the user's (one line on standard error, no traceback), 3 for a promotion that
        was refused, 130 after Ctrl-C. Anything unexpected is raised, which Python turns into 1.
    """
    is_first = int(os.environ.get("RANK", "0")) == 0  # of several processes that a launcher started together
    for ending in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # `mlflow run` forwards Ctrl-C as both; cluster schedulers send SIGTERM
        signal.signal(ending, _interrupt)
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        guard(words)
        command = parse_command_line(words)
        mask_output()  # the user's file may have told of further secrets
        if command is None:
            return EXIT_OK
        for warning in warnings_for(command.config) if is_first else []:
            print(f"mlproject: {mask(warning)}", file=sys.stderr)
        if command.entry_point.text:
            print(mask(command.entry_point.text(command.config, command.preset)), end="")
            return EXIT_OK
        check_arguments(command.arguments)
        for line in preflight.check(command.config, command.arguments.get("proxy", "")):
            if is_first:
                print(line, flush=True)
        commands = import_module("mlproject.cli.commands")  # heavy imports, only now
        entry_point = getattr(commands, command.entry_point.name)
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            entry_point(command)
            return EXIT_OK
        distributed = import_module("mlproject.execution.distributed")
        if not is_first:
            return distributed.worker()
        with distributed.main_process():
            entry_point(command)
    except UserError as mistake:
        if is_first:
            print(f"mlproject: {_line(mistake)}", file=sys.stderr)
        return EXIT_MISTAKE
    except RefusedError as refusal:
        print(f"mlproject: {_line(refusal)}", file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        print("mlproject: interrupted. Run the same command to continue.", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_OK


def _line(error: Exception) -> str:
    """The message of an error as one line, whatever stands in the names and values that it quotes."""
    return one_line(mask(str(error)), _LONGEST_MESSAGE)


def _interrupt(*signal_and_frame: object) -> None:
    """Treat SIGTERM as Ctrl-C, and only the first signal: the study closes its runs and ends."""
    for signal_number in _ENDING_SIGNALS:
        signal.signal(signal_number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
