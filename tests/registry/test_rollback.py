"""A rollback returns the alias to the previous champion and records who asked and why."""

from tests.registry import planted

from mlproject.__main__ import main
from mlproject.names import VersionTag
from mlproject.registry.history import history
from mlproject.registry.lock import promotion_runs
from mlproject.registry.versions import version_by_alias

NAME = "reward-model"


def test_a_rollback_returns_the_alias_and_is_in_the_history(plant, tmp_path, capsys):
    store = plant({("1k", 0): 0.8})
    client = store.client()
    planted.promoting(tmp_path)
    plant({("3k", 0): 1.2})
    planted.promoting(tmp_path)
    second = str(version_by_alias(client, NAME).version)
    assert main(["rollback", "--preset", "smoke", "--why", "it likes lists"]) == 0
    first = version_by_alias(client, NAME)
    assert first.tags["rm_size"] == "1k"
    assert first.tags[VersionTag.STATUS] == "passed"
    assert client.get_model_version(NAME, second).tags[VersionTag.STATUS] == "retired"
    last = history(client, NAME)[-1]
    assert (last.action, last.why) == ("rollback", "it likes lists")
    assert (last.from_version, last.to_version) == (second, str(first.version))
    assert "@" in last.who
    capsys.readouterr()
    assert main(["history", "--preset", "smoke"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 3
    assert "it likes lists" in lines[2]
    assert planted.promoting(tmp_path) == 0, "a version that was rolled back is not selected again"
    assert version_by_alias(client, NAME).version == first.version


def test_there_is_nothing_to_roll_back_to_before_the_second_champion(plant, tmp_path, capsys):
    store = plant({("1k", 0): 0.8})
    assert main(["rollback", "--preset", "smoke", "--why", "x"]) == 2
    assert "there is no champion" in capsys.readouterr().err
    planted.promoting(tmp_path)
    capsys.readouterr()
    assert main(["rollback", "--preset", "smoke", "--why", "x"]) == 2
    assert "is the first champion" in capsys.readouterr().err
    assert len(promotion_runs(store.client(), NAME)) == 1, "a usage error leaves no run behind"


def test_a_rollback_needs_a_reason(plant, tmp_path, capsys):
    plant({("1k", 0): 0.8})
    assert main(["rollback", "--preset", "smoke"]) == 2
    assert "why" in capsys.readouterr().err
