"""A command that waits for its tracking store says so, from its first write to its last."""

import time

import pytest
from mlflow import MlflowClient

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
