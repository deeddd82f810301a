"""The plan of a reward with cures: its members, what it is called, and what moves no fingerprint."""

from __future__ import annotations

import pandas as pd
import pytest

from mlproject.config.schema import Config, load_config
from mlproject.errors import UserError
from mlproject.pipeline.members import trained_on
from mlproject.pipeline.step import Step
from mlproject.pipeline.study import plan_curve, plan_proxy, plan_roots, plan_study


def configured(**options: object) -> Config:
    return load_config("smoke", {"rm_size": "3k", **options})


def members_of(step: Step) -> list[Step]:
    return [source for role, source in step.inputs.items() if role.startswith("member.")]


def test_an_ensemble_is_made_of_proxies_of_other_seeds_and_those_of_two_seeds_share_none() -> None:
    config = configured(reward="worst-case", ensemble_members=3)
    first, second = (plan_curve(config.replace(seed=seed), "best-of-n").inputs["proxy-rm"] for seed in (0, 1))
    assert [member.params["seed"] for member in members_of(first)] == [0, 1000, 2000]
    assert not {m.fingerprint for m in members_of(first)} & {m.fingerprint for m in members_of(second)}
    plain = plan_curve(configured(), "best-of-n").inputs["proxy-rm"]
    assert members_of(first)[0] == plain  # a study that has it already does not train it again
    assert first.params["reward"] == "worst-case"
    assert first.kind == plain.kind == "proxy-rm"


def test_a_run_against_a_reward_with_cures_says_so_in_name_params_and_tag() -> None:
    run = plan_curve(configured(reward="mean,par", ensemble_members=2, par_k=2.0), "ppo")
    assert run.name == "3k mean+par seed 0, ppo"
    assert run.tags["mlproject.reward"] == run.inherited_params["reward"] == "mean+par"
    assert (run.inherited_params["ensemble_members"], run.inherited_params["par_k"]) == (2, 2.0)
    assert "uwo_lambda" not in run.inherited_params


def test_only_options_that_its_cures_read_move_its_fingerprint() -> None:
    def made(**options: object) -> str:
        return plan_curve(configured(reward="uncertainty-weighted", **options), "best-of-n").fingerprint

    assert made() == made(par_k=3.0) == made(ensemble_sds=2.0)
    assert len({made(), made(uwo_lambda=0.1), made(ensemble_members=4), made(ensemble_by="bootstrap")}) == 4
    plain = plan_curve(configured(), "best-of-n").fingerprint
    assert (
        plain
        == plan_curve(configured(uwo_lambda=0.1, ensemble_members=4, ensemble_by="bootstrap"), "best-of-n").fingerprint
    )


def test_a_study_and_later_rounds_optimize_the_reward_too() -> None:
    plan = plan_study(configured(reward="median", rm_sizes="1k", methods="best-of-n"))
    assert [run.inputs["proxy-rm"] for run in plan.policy_runs] == list(plan.proxies.values())
    assert len(members_of(plan.proxies["1k", 0])) == 5
    later = plan_curve(configured(reward="median", rounds=2, ensemble_members=2), "ppo").inputs["proxy-rm"]
    compared = {member.inputs["comparisons"].params["round"] for member in members_of(later)}
    assert (compared, later.inputs["comparisons"].params["round"]) == ({2}, 2)


def test_members_by_bootstrap_learn_from_as_many_comparisons_drawn_with_replacement() -> None:
    table = pd.DataFrame({"pair": range(2000)})
    drawn = [trained_on(table, {"seed": seed, "resampled": True}) for seed in (0, 0, 1)]
    assert len(drawn[0]) == 2000
    assert drawn[0].pair.nunique() / 2000 == pytest.approx(1 - 1 / 2.718, abs=0.03)
    assert drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])
    assert trained_on(table, {"seed": 0}) is table


def test_an_ensemble_of_what_exists_already_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    function = "mlproject.digest:digest_of_files"
    config = configured(reward="mean")
    with pytest.raises(UserError, match=rf"^reward=mean: must be made of several reward models, but {function} exists"):
        plan_proxy(config, plan_roots(config), function, 0)
    with pytest.raises(UserError, match=r"^ensemble_checkpoints=3k: must be at least two .*, but 3k is none\."):
        plan_curve(configured(reward="mean", ensemble_checkpoints="3k"), "best-of-n")
