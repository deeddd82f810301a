"""A piece of work that is interrupted anywhere ends as one that was not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mlproject.errors import postpone_interruptions
from mlproject.resume.resumption import Resumption
from mlproject.resume.state import State, generator_state, load_generator, load_numpy, merge, numpy_state
from mlproject.resume.state_folder import StateFolder


@pytest.fixture(autouse=True)
def signals_interrupt_at_once_again() -> Iterator[None]:
    yield
    postpone_interruptions(None)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def random_walk(resumption: Resumption, clock: Clock, steps: int, die_at: int | None = None) -> tuple[float, float]:
    """Two parts with a random stream each, after a phase that draws from both; a step takes one second."""
    torch_stream, numpy_stream = torch.Generator().manual_seed(1), np.random.default_rng(2)

    def draw_start() -> State:
        start = float(torch.rand((), generator=torch_stream)) + numpy_stream.random()
        clock.now += 3
        return State(
            {"torch": generator_state(torch_stream).tensors["state"]},
            {"start": start, "numpy": dict(numpy_state(numpy_stream).values)},
        )

    phase = resumption.once("start", draw_start)
    load_generator(torch_stream, State({"state": phase.tensors["torch"]}))
    load_numpy(numpy_stream, State(values=phase.values["numpy"]))
    first, second, taken = phase.values["start"], phase.values["start"], 0
    if (state := resumption.restored("first")) is not None:
        first, taken = state.values["value"], state.values["taken"]
        load_generator(torch_stream, state.within("stream"))
    if (state := resumption.restored("second")) is not None:
        second = state.values["value"]
        load_numpy(numpy_stream, State(values=state.values["stream"]))
    resumption.keep(
        "first",
        lambda: State({"stream/state": torch_stream.get_state()}, {"value": first, "taken": taken, "stream": {}}),
    )
    resumption.keep("second", lambda: State(values={"value": second, "stream": dict(numpy_state(numpy_stream).values)}))
    for step in range(taken, steps):
        if step == die_at:
            raise KeyboardInterrupt
        first += float(torch.randn((), generator=torch_stream))
        second += numpy_stream.normal()
        taken, clock.now = step + 1, clock.now + 1
        resumption.safe_point()
    return first, second


@pytest.mark.parametrize("seconds", [0.5, 1, 4, 100])
@pytest.mark.parametrize("die_at", range(0, 12, 2))
def test_an_interrupted_walk_goes_on_where_it_was(tmp_path: Path, seconds: float, die_at: int) -> None:
    clock = Clock()
    undisturbed = random_walk(Resumption(), Clock(), 12)
    with pytest.raises(KeyboardInterrupt):
        random_walk(Resumption(StateFolder(tmp_path, "walk"), seconds, clock), clock, 12, die_at)
    begun_at = clock.now
    resumed = Resumption(StateFolder(tmp_path, "walk"), seconds, clock)
    assert random_walk(resumed, clock, 12) == undisturbed
    repeated = clock.now - begun_at - (12 - die_at)
    assert repeated <= seconds + 3  # the phase of three seconds is lost whole where it was not saved
    resumed.remove()
    assert not tmp_path.exists() or not list(tmp_path.iterdir())


def row_of_numbers(resumption: Resumption, clock: Clock, count: int, die_at: int | None = None) -> tuple[list, int]:
    """Numbers drawn from a stream, one a second, and how many of them were drawn now."""
    stream, drawn = torch.Generator().manual_seed(1), 0

    def draw() -> State:
        nonlocal drawn
        if drawn == die_at:
            raise KeyboardInterrupt
        drawn, clock.now = drawn + 1, clock.now + 1
        number = State({"number": torch.rand(3, generator=stream)})
        return merge({"number": number, "stream": generator_state(stream)})

    row, numbers = resumption.row("a row"), []
    for _ in range(count):
        state = row.next(draw)
        load_generator(stream, state.within("stream"))
        numbers.append(state.within("number").tensors["number"].tolist())
    return numbers, drawn


@pytest.mark.parametrize("seconds", [0.5, 2, 3, 100])
def test_a_row_that_is_interrupted_again_and_again_goes_on_where_it_was(tmp_path: Path, seconds: float) -> None:
    undisturbed, _ = row_of_numbers(Resumption(), Clock(), 12)
    clock, lives = Clock(), 3
    for _ in range(lives):
        with pytest.raises(KeyboardInterrupt):
            row_of_numbers(Resumption(StateFolder(tmp_path, "row"), seconds, clock), clock, 12, die_at=3)
    kept = 3 // max(1, seconds) * max(1, seconds) if seconds < 100 else 0
    numbers, drawn = row_of_numbers(Resumption(StateFolder(tmp_path, "row"), seconds, clock), clock, 12)
    assert (numbers, drawn) == (undisturbed, 12 - lives * kept)


def test_the_results_behind_a_damaged_file_are_made_again(tmp_path: Path) -> None:
    def resumption() -> Resumption:
        return Resumption(StateFolder(tmp_path, "row"), 2, clock)

    clock = Clock()
    undisturbed, _ = row_of_numbers(resumption(), clock, 12)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 6  # of two numbers each
    files[2].write_bytes(files[2].read_bytes()[:-1] + b"?")
    assert row_of_numbers(resumption(), clock, 12) == (undisturbed, 8)
    assert row_of_numbers(resumption(), clock, 12) == (undisturbed, 0)


def test_files_of_two_machines_that_cut_a_row_elsewhere_are_not_mixed_up(tmp_path: Path) -> None:
    clock = Clock()
    undisturbed, _ = row_of_numbers(Resumption(StateFolder(tmp_path / "two", "row"), 2, clock), clock, 12)
    row_of_numbers(Resumption(StateFolder(tmp_path / "three", "row"), 3, clock), clock, 12)
    [second] = (tmp_path / "two").glob("*-000001.*")
    [other] = (tmp_path / "three").glob("*-000001.*")
    second.unlink()
    other.rename(tmp_path / "two" / other.name)  # numbers 3 to 5, behind numbers 0 and 1
    assert row_of_numbers(Resumption(StateFolder(tmp_path / "two", "row"), 2, clock), clock, 12) == (undisturbed, 10)


def test_nothing_is_saved_before_its_time_or_where_it_is_turned_off(tmp_path: Path) -> None:
    clock = Clock()
    random_walk(Resumption(StateFolder(tmp_path, "walk"), 100, clock), clock, 12)
    random_walk(Resumption(StateFolder(tmp_path, "walk"), 0, clock), clock, 12)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("took", "between"), [(2.0, 202), (0.5, 11)])
def test_states_that_take_long_are_taken_less_often(tmp_path: Path, took: float, between: float) -> None:
    """A state of 2 s every 10 s would cost a sixth of the time: every 200 s it is. One of 0.5 s comes as asked."""
    clock, taken_at = Clock(), []

    class SlowDisk(StateFolder):
        def write(self, name: str, state: State) -> Path:
            clock.now += took
            return super().write(name, state)

    resumption = Resumption(SlowDisk(tmp_path, "me"), 10, clock)
    resumption.keep("work", lambda: State(values={"taken": taken_at.append(clock.now)}))
    for _ in range(500):
        clock.now += 1
        resumption.safe_point()
    assert len(taken_at) > 1
    assert np.diff(taken_at) == pytest.approx(between, abs=1.01)
