"""What a person sees while steps run: lines in a file, a bar on a terminal, from any thread."""

from __future__ import annotations

import io
import re
import threading

import pytest

from mlproject.execution import progress
from mlproject.execution.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_finished_step_is_one_line_with_its_seconds() -> None:
    display = Progress(stream := io.StringIO())
    display.expect(2)
    display.start("gold RM 100k")
    display.update("gold RM 100k", 0.5)
    display.finish("gold RM 100k", 12.34)
    assert re.fullmatch(r"\[ +\d+\.\d s\] gold RM 100k \(12\.3 s\)\n", stream.getvalue())


def test_a_long_wait_is_broken_by_a_line_with_the_shares_of_all_running_steps(monkeypatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", -1.0)
    display = Progress(stream := io.StringIO())
    display.start("pool")
    display.start("gold RM")
    display.update("gold RM", 0.25)
    assert stream.getvalue().endswith("running: pool 0%, gold RM 25%\n")


def test_the_share_of_a_step_that_has_finished_is_ignored(monkeypatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", -1.0)
    display = Progress(stream := io.StringIO())
    display.start("pool")
    display.finish("pool", 1.0)
    display.update("pool", 0.9)  # it was on its way from a worker
    assert "90%" not in stream.getvalue()


def test_a_terminal_shows_the_share_of_all_expected_steps() -> None:
    display = Progress(stream := Terminal())
    display.expect(4)
    for name in ("one", "two"):
        display.start(name)
    display.finish("one", 1.0)
    display.update("two", 0.5)
    display.say("a line")
    display.close()
    shown = stream.getvalue()
    assert " 38%|" in shown and "two" in shown.rpartition("38%")[2]
    assert "a line\n" in shown


def test_shares_may_come_from_many_threads_while_steps_start_and_finish(monkeypatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", -1.0)
    display = Progress(stream := io.StringIO())
    display.start("long")
    errors: list[BaseException] = []

    def update() -> None:
        try:
            for i in range(300):
                display.update("long", i / 300)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=update) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(300):
        display.start(f"short {i}")
        display.finish(f"short {i}", 0.0)
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert errors == []
    assert len(lines) == 4 * 300 + 300
    assert all(re.match(r"\[ +\d+\.\d s\] (running: long|short)", line) for line in lines)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_closing_twice_does_no_harm(stream: io.StringIO) -> None:
    display = Progress(stream)
    display.close()
    display.close()
    assert "Traceback" not in stream.getvalue()
