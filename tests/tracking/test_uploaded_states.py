"""States among a run's artifacts: what one machine saved, another goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mlproject.resume.state import State
from mlproject.resume.state_folder import StateFolder
from mlproject.tracking import uploaded_states
from mlproject.tracking.uploaded_states import UploadedStates


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """The states as a machine sees them; all machines see the same artifacts."""
    monkeypatch.setattr(uploaded_states, "_SHARE", 1e9)  # however long an upload takes, the next may follow at once

    def states(name, seconds=0.0, owner="a step"):
        return UploadedStates(tmp_path / name / "run", owner, (tmp_path / "artifacts").as_uri(), "", seconds)

    return states


def state(number):
    return State({"number": torch.tensor([number])}, {"number": number})


def number_of(states, name="running"):
    found = states.read(name)
    return None if found is None else (found.values["number"], int(found.tensors["number"]))


def uploaded(tmp_path):
    return sorted(path.name.split(".")[0] for path in tmp_path.glob("artifacts/states/*"))


def test_another_machine_reads_the_newest_state_and_the_one_before_it(machine, tmp_path):
    one = machine("one")
    for number in range(5):
        one.write("running", state(number))
        one.settle()
    one.write("running", state(5))  # the machine dies before it is taken there
    assert number_of(machine("two")) == (4, 4)
    newest = max(tmp_path.glob("artifacts/states/*"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")
    assert number_of(machine("three")) == (3, 3)
    assert number_of(machine("one")) == (5, 5)


def test_a_machine_that_comes_back_goes_on_from_what_another_did_since(machine):
    one, two = machine("one"), machine("two")
    for states, numbers in ((one, (0, 1)), (two, (2, 3))):
        states.read("running")
        for number in numbers:
            states.write("running", state(number))
        states.settle()
    assert number_of(machine("one")) == (3, 3)


def test_what_is_old_is_removed_and_at_the_end_all_is(machine, tmp_path):
    states = machine("one")
    states.write("phase-a", state(0))
    for number in range(5):
        states.write("running", state(number))
        states.settle()
    assert uploaded(tmp_path) == ["phase-a", "running", "running"]
    states.remove()
    assert uploaded(tmp_path) == [] and not (tmp_path / "one").exists()


def test_states_are_taken_there_no_more_often_than_asked_but_when_the_process_ends(machine, tmp_path):
    states = machine("one", seconds=3600)
    states.write("running", state(1))
    states.settle()
    assert uploaded(tmp_path) == []
    states.settle(is_ending=True)
    assert uploaded(tmp_path) == ["running"]


def test_an_artifact_store_that_does_not_answer_leaves_the_states_of_this_machine(machine, tmp_path, monkeypatch):
    def away(*args):
        raise ConnectionError("the server is away")

    states = machine("one")
    for call in ("list_artifacts", "log_artifact", "delete_artifacts", "download_artifacts"):
        monkeypatch.setattr(states._repository, call, away)
    states.write("running", state(7))
    states.settle()
    assert number_of(states) == (7, 7)
    states.remove()
    assert not list(Path(tmp_path, "one").glob("*"))


def test_states_of_another_step_and_other_files_are_passed_over(machine, tmp_path):
    machine("one").write("running", state(1))
    machine("one").settle(is_ending=True)
    (tmp_path / "artifacts/states/running.txt").write_text("no state")
    other = machine("two", owner="another step")
    assert number_of(other) is None
    assert isinstance(other, StateFolder) and not (other.path / "running.txt").exists()
