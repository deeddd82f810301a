"""The two exceptions that the command line expects, and the one-line message of any exception."""

import pickle
import subprocess
import sys

import pytest

from mlproject.errors import RefusedError, UserError, first_line


def test_a_mistake_is_a_value_error_and_a_refusal_is_not():
    assert issubclass(UserError, ValueError)
    assert not issubclass(RefusedError, ValueError)
    assert not issubclass(RefusedError, UserError)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one line"), "one line"),
        (ValueError("the first\nthe second"), "the first"),
        (ValueError(""), "ValueError"),
        (KeyError(), "KeyError"),
        (UserError("rounds=0: must be at least 1."), "rounds=0: must be at least 1."),
    ],
)
def test_the_first_line_of_an_exception_names_its_class_only_if_it_says_nothing(error, line):
    assert first_line(error) == line


def test_a_mistake_in_a_worker_process_arrives_as_it_was():
    error = pickle.loads(pickle.dumps(UserError("a=1: must be 2.")))
    assert type(error) is UserError
    assert str(error) == "a=1: must be 2."


INTERRUPTED_IMPORT = """
import signal, sys, time
from mlproject.errors import Interrupted, interrupt

signal.signal(signal.SIGINT, interrupt)
try:
    import interrupted_by_itself
    time.sleep(10)
except Interrupted:
    print(getattr(sys.modules.get("interrupted_by_itself"), "state", "not there"))
"""


def test_an_import_is_not_interrupted_but_what_follows_it(tmp_path):
    # torch ends the process with a hundred lines where an exception comes in the middle of its import
    (tmp_path / "interrupted_by_itself.py").write_text(
        "import signal\nstate = 'begun'\nsignal.raise_signal(signal.SIGINT)\nstate = 'whole'\n"
    )
    answer = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORT], cwd=tmp_path, capture_output=True, text=True,
                            timeout=9)  # fmt: skip
    assert answer.stdout == "whole\n", answer.stderr


LOST = """
import signal, time, weakref
from mlproject.errors import ENDING_SIGNALS, Interrupted, interrupt

for ending in ENDING_SIGNALS:
    signal.signal(ending, interrupt)
class Thing:
    pass
try:
    thing = Thing()
    seen = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    del thing
    print("lost")
    time.sleep(10)
except Interrupted:
    print("ended")
"""


def test_an_interruption_that_python_cannot_raise_comes_again():
    answer = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=60)
    assert answer.stdout == "lost\nended\n"
    assert not answer.stderr


def test_an_import_that_does_not_end_is_interrupted_in_time_though_the_machine_is_slow(tmp_path):
    # each look comes late, since the import is in C for long: 10 of them would take 1 s, where 0.1 s are allowed
    (tmp_path / "interrupted_by_itself.py").write_text(
        "import hashlib, signal\nstate = 0\nsignal.raise_signal(signal.SIGINT)\n"
        "import __main__\nwhile state < 100:\n"
        "    hashlib.pbkdf2_hmac('sha256', b'a', b'b', 200_000)\n    state += 1\n    __main__.chunks = state\n"
    )
    code = "from mlproject import errors\nerrors._IMPORT_SECONDS, errors._LOOK_SECONDS = 0.1, 0.01\nchunks = 0"
    code = f"{code}{INTERRUPTED_IMPORT.replace('time.sleep(10)', 'pass')}\nprint(chunks)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert answer.stdout.splitlines()[0] == "not there", answer.stderr
    assert int(answer.stdout.splitlines()[1]) < 8
