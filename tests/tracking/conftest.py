import pytest

from mlproject.tracking.store import open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of its own for a file of tests, in a folder that is the working directory meanwhile."""
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("store"))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield open_store("trial")
    patch.undo()
