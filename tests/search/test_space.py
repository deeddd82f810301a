"""The grids of a search, and what it says and recommends for methods other than PPO."""

from __future__ import annotations

import json

import pytest
from optuna.pruners import MedianPruner

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.search.search import final_command
from mlproject.search.space import Space, coefficient_of
from mlproject.search.storage import new_pruner, shared_options

GRIDS = {"search_kl_coefs": "0,0.1", "search_rm_sizes": "1k,3k,13k", "search_ppo_lrs": "1e-4,1e-3"}
PPO = load_config("smoke", GRIDS)
SOFT = load_config("smoke", GRIDS | {"search_method": "soft-best-of-n", "soft_bon_lambda_max": "8"})


def test_only_options_of_the_searched_method_and_its_proxies_are_searched() -> None:
    assert Space.of(PPO).grids == {"kl_coef": (0.0, 0.1), "rm_size": ("1k", "3k", "13k"), "ppo_lr": (1e-4, 1e-3)}
    assert Space.of(SOFT).grids == {"rm_size": ("1k", "3k", "13k")}
    assert Space.of(SOFT).first(SOFT) == [{"rm_size_index": 2}]


def test_direct_alignment_is_searched_over_beta_and_data_since_it_has_no_reward_model() -> None:
    options = {"search_method": "dpo", "search_n_comparisons": "500,1500", "search_align_betas": "0.03,0.3"}
    dpo = load_config("smoke", GRIDS | options)
    space = Space.of(dpo)
    assert space.grids == {"n_comparisons": (500, 1500), "align_beta": (0.03, 0.3)}
    assert space.first(dpo) == [{"n_comparisons_index": 1, "align_beta_index": 1}]
    of_study = dpo.replace(search_first="study", align_beta=0.03, n_comparisons=500)
    assert space.first(of_study) == [{"n_comparisons_index": 0, "align_beta_index": 0}]
    shared = json.loads(shared_options(dpo))
    assert "align_lr" in shared and not {"align_beta", "ppo_updates", "kl_coef"} & set(shared)
    assert final_command(dpo, {"rm_size": "implicit", "align_beta": 0.3, "n_comparisons": 1500}) == (
        "mlflow run . --env-manager local -P methods=dpo -P n_comparisons=1500 -P align_beta=0.3 -P seeds=0 "
        "-P stop=forecast -P n_trials=0"
    )
    with pytest.raises(UserError, match="search_objective=peak-and-forward-passes: must be another one for dpo"):
        dpo.replace(search_objective="peak-and-forward-passes")


@pytest.mark.parametrize(
    ("options", "searched"),
    [({}, "ppo"), ({"methods": "grpo,ppo"}, "ppo"), ({"methods": "dpo,ipo"}, "dpo"),
     ({"methods": "dpo", "search_method": "grpo"}, "grpo")],
)  # fmt: skip
def test_a_study_searches_one_of_its_own_methods(options: dict[str, str], searched: str) -> None:
    config = load_config("smoke", options)
    assert config.searched_method == searched
    assert ("search_method" in json.loads(shared_options(config))) == (searched != "ppo")


def test_the_coefficient_of_a_search_is_that_of_its_method() -> None:
    assert coefficient_of([{"rm_size": "3k", "kl_coef": 0.1}]).label == "KL coefficient"
    assert coefficient_of([{"rm_size": "implicit", "align_beta": 0.1}]).name == "align_beta"
    assert coefficient_of([{"rm_size": "3k"}]) is None and coefficient_of([]) is None


def test_the_first_trials_are_the_cells_that_the_study_runs_itself() -> None:
    of_study = PPO.replace(search_first="study", rm_sizes=("1k", "13k"), ppo_lr=1e-3, kl_coef=0.1)
    others = {"kl_coef_index": 1, "ppo_lr_index": 1}
    assert Space.of(of_study).first(of_study) == [{**others, "rm_size_index": 2}, {**others, "rm_size_index": 0}]
    for elsewhere in ({"kl_coef": 0.05}, {"seed": 7, "seeds": (0, 1)}):
        changed = of_study.replace(**elsewhere)
        assert Space.of(changed).first(changed) == Space.of(PPO).first(PPO)


def test_a_search_is_identified_by_the_options_of_its_method() -> None:
    soft, ppo = (json.loads(shared_options(config)) for config in (SOFT, PPO))
    assert soft["search_method"] == "soft-best-of-n"
    assert soft["soft_bon_lambda_max"] == 8.0 and "bon_points" in soft and "ppo_updates" not in soft
    assert "search_method" not in ppo and "bon_points" not in ppo and "ppo_updates" in ppo
    assert not {"kl_coef", "ppo_lr"} & set(ppo)  # they are searched


def test_the_pruner_is_that_of_the_option_for_any_method() -> None:
    assert type(new_pruner(SOFT)).__name__ == type(new_pruner(PPO)).__name__ == "LawPruner"
    assert isinstance(new_pruner(SOFT.replace(search_pruner="median")), MedianPruner)
    assert new_pruner(SOFT.replace(search_pruner="none")) is None


def test_the_final_command_trains_a_policy_to_its_forecast_peak_and_draws_any_other_curve() -> None:
    best = {"rm_size": "13k", "kl_coef": 0.1, "ppo_lr": 1e-3}
    assert final_command(PPO, best) == (
        "mlflow run . --env-manager local -e ppo -P proxy=13k -P kl_coef=0.1 -P ppo_lr=0.001 -P seed=0 "
        "-P stop=forecast -P forecast_prior=latest"
    )
    assert final_command(SOFT, best) == (
        "mlflow run . --env-manager local -P methods=soft-best-of-n -P rm_sizes=13k -P seeds=0 -P n_trials=0"
    )
    rewards = load_config("smoke", GRIDS | {"search_rewards": "single,mean", "n_comparisons": "500"})
    given = {"preset": "smoke", "config": "", "n_comparisons": "500", "search_rewards": "single,mean", "seed": "3"}
    assert final_command(rewards, best | {"reward": "mean"}, given) == (
        "mlflow run . --env-manager local -e ppo -P proxy=13k -P preset=smoke -P n_comparisons=500 -P kl_coef=0.1 "
        "-P ppo_lr=0.001 -P reward=mean -P seed=0 -P stop=forecast -P forecast_prior=latest"
    )
    grpo = load_config("smoke", {"search_method": "grpo"})  # no entry point of its own
    assert final_command(grpo, best).startswith("mlflow run . --env-manager local -P methods=grpo -P rm_sizes=13k")
