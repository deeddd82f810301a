"""A command that waits for its tracking store says so, from its first write to its last."""

import os
import time

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlproject.__main__ import main
from mlproject.tracking import patience


@pytest.mark.parametrize("call", ["create_run", "update_run", "log_batch", "set_terminated"])
def test_a_slow_call_of_a_command_is_announced(call, store, monkeypatch, capsys):
    original = getattr(MlflowClient, call)

    def slow(*arguments, **more):
        time.sleep(0.2)
        return original(*arguments, **more)

    monkeypatch.setattr(MlflowClient, call, slow)
    monkeypatch.setattr(patience, "_SILENT_SECONDS", 0.05)
    assert main(["history", "--preset", "smoke"]) == 0
    assert "mlproject: history: waiting for the tracking store" in capsys.readouterr().err


def test_a_server_that_was_waited_for_in_vain_is_not_waited_for_again(monkeypatch):
    """With a port where nobody listens, at once; MLflow's own patience would be some minutes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    client = MlflowClient("http://127.0.0.1:9")
    with pytest.raises(MlflowException) as given_up:
        client.get_run("0" * 32)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    since = time.monotonic()
    with patience.without_waiting(given_up.value), pytest.raises(MlflowException):
        client.get_run("0" * 32)
    assert time.monotonic() - since < 2
    for other in (None, ValueError("a mistake")):
        with patience.without_waiting(other):
            assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
