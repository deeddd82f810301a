"""`python -m mlproject ENTRY_POINT --option value ...`: the same names and parameters as the MLproject file."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

_INTERRUPTED = "mlproject: interrupted. Run the same command to continue."
EXIT_OK, EXIT_MISTAKE, EXIT_REFUSED, EXIT_INTERRUPTED = 0, 2, 3, 130

try:
    from mlproject.cli.early_checks import check_arguments
    from mlproject.cli.parser import Command, parse_command_line
    from mlproject.cli.proxies import refuse_reward_of_existing
    from mlproject.cli.secret_options import guard
    from mlproject.config.rules import warnings_for
    from mlproject.errors import ENDING_SIGNALS, MachineError, RefusedError, UserError, interrupt
    from mlproject.execution.fork_server import start_early
    from mlproject.names.quoting import one_line
    from mlproject.options.machine import machine_error
    from mlproject.options.secrets import mask, mask_output
    from mlproject.pipeline import preflight
    from mlproject.tracking.temporary import temporary_folder
except KeyboardInterrupt:  # Ctrl-C before `main` could answer it: these imports take most of that time
    print(_INTERRUPTED, file=sys.stderr)
    sys.exit(EXIT_INTERRUPTED)

_LONGEST_MESSAGE = 2000

EXIT_NO_READER = 141
"""What a shell gives a program that SIGPIPE ended: whoever read its output has gone, as `head` does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one entry point.

    Returns:
        exit code: 0, 2 for a mistake of the user's or a failure of the machine (one line on standard error, no
        traceback), 3 for a promotion that was refused, 130 after Ctrl-C, SIGTERM or SIGHUP, 141 where nobody reads
        the output any more. Anything unexpected is raised, which Python turns into 1.
    """
    try:
        code = _main(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        return EXIT_NO_READER


def _main(arguments: Sequence[str] | None) -> int:
    is_first = int(os.environ.get("RANK", "0")) == 0  # of several processes that a launcher started together
    for ending in ENDING_SIGNALS:
        if ending in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(ending) != signal.SIG_IGN:  # by nohup
            signal.signal(ending, interrupt)
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        guard(words)
        command = parse_command_line(words)
        mask_output()  # the user's file may have told of further secrets
        if command is None:
            return EXIT_OK
        for warning in _warnings(command) if is_first else []:
            print(f"mlproject: {mask(warning)}", file=sys.stderr)
        if command.entry_point.text:
            print(mask(command.entry_point.text(command.config, command.preset)), end="")
            return EXIT_OK
        check_arguments(command.arguments)
        refuse_reward_of_existing(command.arguments, command.config)
        with temporary_folder():
            return _execute(command, is_first)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or _was_interrupted():
            print(_INTERRUPTED, file=sys.stderr)
            return EXIT_INTERRUPTED
        if isinstance(error, BrokenPipeError):
            raise
        if isinstance(error, UserError):
            if is_first:
                print(f"mlproject: {_line(error)}", file=sys.stderr)
            return EXIT_MISTAKE
        if (failure := error if isinstance(error, MachineError) else machine_error(error)) is not None:
            print(f"mlproject: {_line(failure)}", file=sys.stderr)
            return EXIT_MISTAKE
        if isinstance(error, RefusedError):
            print(f"mlproject: {_line(error)}", file=sys.stderr)
            return EXIT_REFUSED
        raise


def _warnings(command: Command) -> list[str]:
    """What is allowed but unwise; of an experiment nothing, whose grid changes the options that these are about."""
    if command.entry_point.name == "experiment":
        return []
    return warnings_for(command.config if command.entry_point.searches else command.config.replace(n_trials=0))


def _execute(command: Command, is_first: bool) -> int:
    proxy = "" if command.arguments.get("samples") else command.arguments.get("proxy", "")  # else: a column
    for line in preflight.check(command.config, proxy):
        if is_first:
            print(line, flush=True)
    is_alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if is_alone and command.entry_point.executes_steps and command.config.engine == "local":
        start_early()
    commands = import_module("mlproject.cli.commands")  # heavy imports, only now
    entry_point = getattr(commands, command.entry_point.name)
    if is_alone:
        entry_point(command)
        return EXIT_OK
    distributed = import_module("mlproject.execution.distributed")
    if not is_first:
        return distributed.worker()
    with distributed.main_process():
        entry_point(command)
    return EXIT_OK


def _reader_is_gone() -> bool:
    """Whether the reader of a standard stream has gone; what is still to be written there is then thrown away, since
    Python would complain about it at its end."""
    poll = select.poll()
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            poll.register(stream.fileno(), 0)  # asks for nothing but errors, such as a pipe without a reader
    gone = [number for number, event in poll.poll(0) if event & (select.POLLERR | select.POLLHUP)]
    for number in gone:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    return bool(gone)


def _line(error: BaseException) -> str:
    """The message of an error as one line, whatever stands in the names and values that it quotes."""
    return one_line(mask(str(error)), _LONGEST_MESSAGE)


def _was_interrupted() -> bool:
    """Whether a signal came, which libraries may have turned into an error of theirs."""
    return signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


if __name__ == "__main__":
    sys.exit(main())
