"""No cell of a grid is tried twice while others are untried, by the samplers as the search uses them."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from mlproject.config.schema import load_config
from mlproject.search.distinct import DistinctSampler
from mlproject.search.space import Space
from mlproject.search.storage import new_sampler
from mlproject.search.trials import next_batches

optuna.logging.set_verbosity(optuna.logging.ERROR)
GRID = {"search_kl_coefs": "0,0.01,0.1", "search_rm_sizes": "1k,3k,13k,25k"}


def searched(sampler: str, n_trials: int, batch: int, interrupted_after: int | None = None) -> list[tuple[int, ...]]:
    """Cells by trial number. The best gold is at one cell, to which samplers that learn would return."""
    config = load_config(
        "smoke", {**GRID, "search_sampler": sampler, "n_trials": str(n_trials), "search_batch": str(batch)}
    )
    study = optuna.create_study(direction="maximize", sampler=new_sampler(config, 0))
    for asked in range(2):
        for number, trials in enumerate(next_batches(study, config)):
            if asked == 0 and number == interrupted_after:
                break  # as if the process had died with these trials running
            for trial in trials:
                kl, rm = trial.params["kl_coef_index"], trial.params["rm_size_index"]
                study.tell(trial, -abs(kl - 1) - abs(rm - 2))
        if interrupted_after is None:
            break
    trials = study.get_trials()
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    return [tuple(trial.params[name] for name in Space.of(config).distributions()) for trial in trials]


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_as_many_trials_as_cells_try_every_cell_once(sampler) -> None:
    cells = searched(sampler, 12, batch=4)
    assert len(cells) == 12 and len(set(cells)) == 12
    assert cells[0] == (0, 3), "the most promising cell is first"


def test_more_trials_than_cells_repeat_some() -> None:
    cells = searched("random", 15, batch=5)
    assert len(cells) == 15 and len(set(cells)) == 12


def test_a_search_that_was_interrupted_tries_the_cells_that_an_uninterrupted_one_would_have_tried() -> None:
    assert searched("tpe", 12, batch=3, interrupted_after=2) == searched("tpe", 12, batch=3)


def test_a_deterministic_sampler_s_neighbour_is_taken() -> None:
    config = load_config("smoke", {**GRID, "n_trials": "3"})
    study = optuna.create_study(sampler=new_sampler(config, 0))
    fixed = optuna.samplers.PartialFixedSampler(
        {"kl_coef_index": 1, "rm_size_index": 2}, optuna.samplers.RandomSampler()
    )
    study.sampler = DistinctSampler(fixed, Space.of(config).distributions())
    space, cells = Space.of(config).distributions(), []
    for _ in range(3):
        trial = study.ask(space)
        cells.append((trial.params["kl_coef_index"], trial.params["rm_size_index"]))
    assert cells[0] == (1, 2) and all(abs(kl - 1) + abs(rm - 2) == 1 for kl, rm in cells[1:])
