"""States on disk: whole or absent whenever the process dies, passed over where they are damaged or another's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mlproject.resume import state_folder
from mlproject.resume.state import State, merge
from mlproject.resume.state_folder import StateFolder


def numbered(number: int) -> State:
    return State({"weight": torch.full((3,), float(number))}, {"number": number})


def same(one: State | None, other: State) -> bool:
    return (
        one is not None
        and one.values == other.values
        and one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())
        and all(tensor.dtype == other.tensors[name].dtype for name, tensor in one.tensors.items())
    )


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    weight = torch.randn(4, 3)
    state = State(
        {
            "output": weight,
            "embedding": weight,  # tied: the same memory twice
            "transposed": weight.T,
            "half": weight.bfloat16(),
            "random": torch.Generator().get_state(),
            "mask": torch.tensor([True, False]),
            "empty": torch.zeros(0, 5),
            "scalar": torch.tensor(0.1, dtype=torch.float64),
        },
        {"steps": 7, "big": 2**200, "third": 1 / 3, "text": "häh\n", "list": [1, {"a": None}]},
    )
    StateFolder(tmp_path / "new" / "folder", "me").write("running", state)
    assert same(StateFolder(tmp_path / "new" / "folder", "me").read("running"), state)


def test_the_newest_state_counts_and_one_before_it_is_kept(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "me")
    for number in range(1, 6):
        folder.write("running", numbered(number))
        folder.write("phase-mix", numbered(100))
    assert same(folder.read("running"), numbered(5)) and same(folder.read("phase-mix"), numbered(100))
    assert len(list(tmp_path.glob("running.*"))) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_state_is_passed_over_for_the_one_before_it(tmp_path: Path, damage: str) -> None:
    folder = StateFolder(tmp_path, "me")
    folder.write("running", numbered(1))
    newest = folder.write("running", numbered(2))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    damaged = {"cut": content[:-1], "flipped": content, "empty": b""}
    if damage == "gone":
        newest.unlink()
    else:
        newest.write_bytes(damaged[damage])
    assert same(folder.read("running"), numbered(1))
    folder.write("running", numbered(3))
    assert same(folder.read("running"), numbered(3))


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "loop", "deep", "list", "number", "missing"])
def test_what_is_no_state_is_passed_over_and_does_not_hang(tmp_path: Path, what: str) -> None:
    folder = StateFolder(tmp_path, "me")
    folder.write("running", numbered(1))
    path = tmp_path / f"running.000009.{'0' * 16}.safetensors"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what in ("device", "loop"):
        path.symlink_to("/dev/zero" if what == "device" else path.name)
    else:
        values = {"deep": {"values": "[" * 100_000}, "list": {"values": "[1]"}, "number": {"values": "3"}}
        save_file({}, path, {"format": "1", "owner": "me", **values.get(what, {})})
        path.rename(tmp_path / f"running.000009.{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.safetensors")
    assert same(folder.read("running"), numbered(1))


def test_states_of_another_step_are_not_read(tmp_path: Path) -> None:
    StateFolder(tmp_path, "another").write("running", numbered(1))
    assert StateFolder(tmp_path, "me").read("running") is None
    assert StateFolder(tmp_path / "nowhere", "me").read("running") is None
    (tmp_path / "a file").touch()
    assert StateFolder(tmp_path / "a file", "me").read("running") is None


def test_a_disk_that_is_full_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StateFolder(tmp_path, "me")
    folder.write("running", numbered(1))

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    for operation in ("save_file", "_flush"):
        with monkeypatch.context() as patch:
            patch.setattr(state_folder, operation, full)
            with pytest.raises(OSError, match="No space left"):
                folder.write("running", numbered(2))
        assert same(folder.read("running"), numbered(1))
        assert [path.name.split(".")[0] for path in tmp_path.iterdir()] == ["running"]


def killed_before(operations: Iterator[int], fatal: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        if next(operations) == fatal:
            os._exit(9)
        return function(*arguments, **options)

    return counted


def write_and_die(folder: Path, fatal: int) -> bool:
    """Write the third state in a process that dies before a file operation; False where it came to its end."""
    pid = os.fork()
    if pid == 0:
        operations = count()
        state_folder.save_file = killed_before(operations, fatal, state_folder.save_file)  # type: ignore[assignment]
        for name in ("open", "fsync", "close"):
            setattr(os, name, killed_before(operations, fatal, getattr(os, name)))
        for name in ("replace", "unlink", "mkdir"):
            setattr(Path, name, killed_before(operations, fatal, getattr(Path, name)))
        StateFolder(folder, "me").write("running", numbered(3))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_a_process_killed_before_any_of_its_file_operations_leaves_a_whole_state(tmp_path: Path) -> None:
    for fatal in count():
        folder = StateFolder(tmp_path / str(fatal), "me")
        folder.write("running", numbered(1))
        folder.write("running", numbered(2))
        died = write_and_die(folder.path, fatal)
        state = folder.read("running")
        assert same(state, numbered(2)) or same(state, numbered(3))
        folder.write("running", numbered(4))
        assert same(folder.read("running"), numbered(4))
        assert len(list(folder.path.iterdir())) == 2  # nothing unfinished is left
        if not died:
            break
    assert fatal > 6


def test_parts_are_taken_out_of_a_merged_state_as_they_were() -> None:
    parts = {"policy": numbered(1), "curve": State(values={"points": [1, 2]}), "policy2": numbered(3)}
    merged = merge({"outer": merge(parts)})
    for name, part in parts.items():
        assert same(merged.within("outer").within(name), part)
