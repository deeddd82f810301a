"""A piece of work that is interrupted anywhere ends as one that was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mlproject.resume.resumption import Resumption
from mlproject.resume.state import State, generator_state, load_generator, load_numpy, numpy_state
from mlproject.resume.state_folder import StateFolder


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


def test_nothing_is_saved_before_its_time_or_where_it_is_turned_off(tmp_path: Path) -> None:
    clock = Clock()
    random_walk(Resumption(StateFolder(tmp_path, "walk"), 100, clock), clock, 12)
    random_walk(Resumption(StateFolder(tmp_path, "walk"), 0, clock), clock, 12)
    assert not list(tmp_path.iterdir())
