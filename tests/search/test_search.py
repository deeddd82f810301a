"""A search proposes the same trials whether or not it is interrupted."""

import optuna
import pytest

from mlproject.config.schema import load_config
from mlproject.search.space import Space
from mlproject.search.trials import next_batches

GRID = {"n_trials": 9, "search_batch": 2, "search_kl_coefs": "0,0.01,0.1,0.3", "search_rm_sizes": "1k,3k,25k,100k"}


def peak(rm_size: str, kl_coef: float) -> float:
    return {"1k": 0.7, "3k": 1.0, "25k": 1.1, "100k": 1.3}[rm_size] - kl_coef


def open_study(path):
    return optuna.create_study(
        study_name="trial", storage=f"sqlite:///{path}", direction="maximize", load_if_exists=True
    )


def search(study, config, stop_after=None):
    """Runs the search, and stops after some trials as a killed process would."""
    finished = 0
    for batch in next_batches(study, config):
        for trial in batch:
            if finished == stop_after:
                return
            study.tell(trial, peak(**Space.of(config).cell(trial.params)))
            finished += 1


@pytest.fixture(scope="module")
def config():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return load_config("laptop", GRID)


@pytest.fixture(scope="module")
def uninterrupted(config, tmp_path_factory):
    study = open_study(tmp_path_factory.mktemp("uninterrupted") / "optuna.db")
    search(study, config)
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("stop_after", [0, 1, 2, 5, 8])
def test_a_resumed_search_makes_the_same_proposals(stop_after, config, uninterrupted, tmp_path):
    search(open_study(tmp_path / "optuna.db"), config, stop_after)
    study = open_study(tmp_path / "optuna.db")
    search(study, config)
    assert [trial.params for trial in study.trials] == uninterrupted
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}


def test_n_trials_is_the_total_not_more(config, uninterrupted, tmp_path):
    for _ in range(2):
        search(open_study(tmp_path / "optuna.db"), config)
    assert len(open_study(tmp_path / "optuna.db").trials) == config.n_trials == len(uninterrupted)


def test_more_trials_continue_the_sequence(config, uninterrupted, tmp_path):
    search(open_study(tmp_path / "optuna.db"), config.replace(n_trials=4))
    study = open_study(tmp_path / "optuna.db")
    search(study, config)
    assert [trial.params for trial in study.trials] == uninterrupted


def test_the_indices_name_the_cells_of_the_grid(config):
    space = Space.of(config)
    assert space.cell({"kl_coef_index": 0, "rm_size_index": 3}) == {"kl_coef": 0.0, "rm_size": "100k"}
    assert space.cell({"kl_coef_index": 3, "rm_size_index": 0}) == {"kl_coef": 0.3, "rm_size": "1k"}


def test_further_grids_are_searched_if_they_are_given(config):
    wider = config.replace(search_n_comparisons=(1000, 4000), search_ppo_lrs=(1e-4, 2e-4, 4e-4))
    assert {name: d.high for name, d in Space.of(wider).distributions().items()} == {
        "kl_coef_index": 3, "rm_size_index": 3, "n_comparisons_index": 1, "ppo_lr_index": 2,
    }  # fmt: skip


def test_the_first_trial_has_the_largest_rm_the_most_comparisons_and_the_smallest_coefficient(config, tmp_path):
    wider = config.replace(search_n_comparisons=(500, 1000), n_trials=3)
    study = open_study(tmp_path / "optuna.db")
    first = next(iter(next_batches(study, wider)))[0]
    cell = Space.of(wider).cell(first.params)
    assert cell == {"kl_coef": wider.search_kl_coefs[0], "rm_size": wider.search_rm_sizes[-1], "n_comparisons": 1000}
