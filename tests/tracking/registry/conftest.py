import os

import pytest
from tests.tracking.registry import planted


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Plants a store in a folder of its own; afterwards folder and environment are as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    yield lambda heights, **more: planted.plant(tmp_path, heights, **more)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
