"""The run of an invocation has a truthful status, also where the first lines or the last ones of a command fail."""

from __future__ import annotations

import signal

import pytest
from mlflow import MlflowClient
from tests.execution.toy_steps import toy

from mlproject import __main__ as command_line
from mlproject.cli.parser import parse_command_line
from mlproject.errors import Interrupted, UserError
from mlproject.execution import invocation as module
from mlproject.execution.invocation import Invocation


@pytest.fixture
def command(store):
    return parse_command_line(["history", "--preset", "smoke", "--experiment", "trial"])


def newest(store) -> tuple[str, str]:
    """Status and life-cycle stage of the newest run."""
    [run] = store.client().search_runs(store.experiments, run_view_type=3, max_results=1)
    return run.info.status, run.info.lifecycle_stage


@pytest.mark.parametrize("what", ["log_batch", "update_run", "scheduler"])
@pytest.mark.parametrize(
    ("error", "left"),
    [
        (RuntimeError("planted"), ("FAILED", "active")),
        (Interrupted(), ("KILLED", "active")),
        (UserError("planted"), ("FAILED", "deleted")),
    ],
    ids=["failure", "interruption", "mistake"],
)
def test_an_invocation_that_fails_in_its_first_lines_is_closed(store, command, monkeypatch, what, error, left):
    def fail(*arguments, **more):
        raise error

    monkeypatch.setattr(module, "Scheduler", fail) if what == "scheduler" else monkeypatch.setattr(
        MlflowClient, what, fail
    )
    with pytest.raises(type(error)):
        Invocation(command)
    assert newest(store) == left


def test_a_run_says_from_its_first_moment_which_process_it_belongs_to(store, command, monkeypatch):
    made = []

    def create(self, experiment, tags):
        made.append(tags)
        raise Interrupted

    monkeypatch.setattr(MlflowClient, "create_run", create)
    with pytest.raises(Interrupted):
        Invocation(command)
    assert {"mlproject.host", "mlproject.pid", "mlproject.pid_started"} <= set(made[0])


def test_an_invocation_whose_workers_cannot_be_ended_is_closed_all_the_same(store, command, monkeypatch):
    def fail(self, interrupt=False):
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError), Invocation(command) as invocation:
        monkeypatch.setattr(invocation.scheduler, "close", lambda interrupt: fail(invocation))
    assert newest(store) == ("FAILED", "active")


@pytest.mark.parametrize("raised", [AssertionError("a library's"), UserError("a store's"), Interrupted()])
def test_whatever_libraries_make_of_a_signal_the_command_says_that_it_was_interrupted(raised, monkeypatch, capsys):
    def ended_by_signal(*arguments):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise raised from None

    monkeypatch.setattr(command_line, "_execute", ended_by_signal)
    assert command_line.main(["history", "--preset", "smoke"]) == 130
    assert capsys.readouterr().err == "mlproject: interrupted. Run the same command to continue.\n"


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_ending_signal_gets_one_line(ending, monkeypatch, capsys):
    monkeypatch.setattr(command_line, "_execute", lambda *arguments: signal.raise_signal(getattr(signal, ending)))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert command_line.main(["history", "--preset", "smoke"]) == 130
    assert capsys.readouterr().err == "mlproject: interrupted. Run the same command to continue.\n"


def test_a_command_under_nohup_outlives_its_terminal(monkeypatch):
    monkeypatch.setattr(command_line, "_execute", lambda *arguments: signal.raise_signal(signal.SIGHUP) or 0)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert command_line.main(["history", "--preset", "smoke"]) == 0
    signal.signal(signal.SIGHUP, before)


def test_an_error_that_is_no_interruption_is_raised(monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "_execute", fail)
    with pytest.raises(ZeroDivisionError):
        command_line.main(["history", "--preset", "smoke"])


def test_a_command_without_steps_does_not_read_the_runs_of_the_store(store, command, monkeypatch):
    filters, search = [], MlflowClient.search_runs
    monkeypatch.setattr(
        MlflowClient, "search_runs", lambda *args, **more: filters.append(args[2:]) or search(*args, **more)
    )
    with Invocation(command) as invocation:
        invocation.finish()
    assert filters and all(condition and condition[0] for condition in filters), "each search asks for few"
    filters.clear()
    with Invocation(command) as invocation:
        invocation.scheduler.find(toy("nothing", 1, version=3))
    assert ("",) in filters, "all runs are read once a step is asked for"
