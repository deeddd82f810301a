"""Rewards and ensemble sizes as dimensions of a search, and their cost."""

from __future__ import annotations

from types import SimpleNamespace

import optuna
import pytest

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.search.search import _identity
from mlproject.search.space import Space
from mlproject.search.storage import shared_options
from mlproject.search.trials import _cost, trial_rows


def test_rewards_and_ensemble_sizes_are_searched_by_index_and_the_first_is_tried_first() -> None:
    config = load_config("smoke", {"search_rewards": "worst-case+par,single,mean", "search_ensemble_members": "2,4"})
    space = Space.of(config)
    assert space.grids["reward"] == ("worst-case+par", "single", "mean")
    (first,) = space.first(config)
    assert first["reward_index"] == 0
    assert "ensemble_members_index" not in first
    cell = space.cell({"kl_coef_index": 1, "rm_size_index": 0, "reward_index": 2, "ensemble_members_index": 1})
    assert config.replace(**cell).reward == "mean"
    assert config.replace(**cell).ensemble_members == 4
    with pytest.raises(UserError, match="but worst is none"):
        load_config("smoke", {"search_rewards": "single,worst"})


def test_a_search_without_them_is_the_search_that_it_was() -> None:
    plain = _identity(load_config("smoke", {"par_k": 2.0, "ensemble_members": 7}))
    assert plain == _identity(load_config("smoke", {}))
    assert not {"search_rewards", "search_ensemble_members"} & set(plain)
    other = load_config("smoke", {"reward": "par", "par_k": 2.0})
    assert '"par_k": 2.0' in shared_options(other)
    assert _identity(other) != _identity(load_config("smoke", {"reward": "par"}))


def test_an_ensemble_of_given_checkpoints_has_no_sizes_to_search() -> None:
    options = {"ensemble_checkpoints": "./a,./b", "reward": "mean"}
    config = load_config("smoke", options)
    assert Space.of(config).grids["rm_size"] == ("./a",)
    assert Space.of(config).first(load_config("smoke", options | {"search_first": "study"}))[0]["rm_size_index"] == 0
    assert Space.of(config.replace(reward="single")).grids["rm_size"] == config.search_rm_sizes
    both = config.replace(reward="single", search_rewards=("single", "worst-case"))
    assert Space.of(both).grids["rm_size"] == ("./a",)


def test_a_trial_of_given_checkpoints_says_how_many_they_are() -> None:
    config = load_config("smoke", {"ensemble_checkpoints": "./a,./b,./c", "reward": "mean"})
    study = optuna.create_study(direction="maximize")
    study.add_trial(
        optuna.trial.create_trial(
            params={f"{name}_index": 0 for name in Space.of(config).grids},
            distributions=Space.of(config).distributions(),
            value=0.5,
        )
    )
    (row,) = trial_rows(study, config)
    assert (row["rm_size"], row["ensemble_members"]) == ("./a", 3)


@pytest.mark.parametrize(
    ("reward", "passes"), [("", 1), ("worst-case+par", 3), ("warm", 1), ("laplace", 1), ("laplace+mean", 3)]
)
def test_the_cost_is_one_pass_for_each_response_and_each_model_that_reads_it(reward: str, passes: int) -> None:
    config = load_config("smoke", {"search_objective": "peak-and-forward-passes"})
    params = {"ppo_batch_size": "64", **({"reward": reward, "ensemble_members": "3"} if reward else {})}
    data = SimpleNamespace(params=params, metrics={"peak/step": 5.0})
    assert _cost(config, SimpleNamespace(data=data)) == 5 * 64 * passes
