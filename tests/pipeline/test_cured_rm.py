"""The plan of a reward with cures: its members, what it is called, and what moves no fingerprint."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mlproject.config.schema import Config, load_config
from mlproject.errors import UserError
from mlproject.models.prompt_format import PromptFormat
from mlproject.names import RolePrefix
from mlproject.pipeline.calibrate import calibration_pairs
from mlproject.pipeline.cured_rm import _start_responses
from mlproject.pipeline.members import trained_on
from mlproject.pipeline.proxy_rm import read_comparisons
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


@pytest.mark.parametrize("reward", ["median", "laplace"])
def test_with_the_data_of_all_rounds_a_reward_reads_the_comparisons_that_its_members_do(reward: str) -> None:
    """Laplace's posterior is of the comparisons that the reward model learned from; units are of their responses."""
    options = {"reward": reward, "ensemble_members": 2, "rounds": 3}
    made = {data: plan_curve(configured(**options, rounds_data=data), "ppo").inputs["proxy-rm"]
            for data in ("all", "last")}  # fmt: skip
    for data, rounds in (("all", [1, 2, 3]), ("last", [3])):
        for step in (made[data], *members_of(made[data])):
            roles = [*(f"{RolePrefix.EARLIER}{i}" for i in range(step.params.get("earlier", 0))), "comparisons"]
            assert [step.inputs[role].params.get("round", 1) for role in roles] == rounds
    first = plan_curve(configured(**options | {"rounds": 1}, rounds_data="all"), "ppo").inputs["proxy-rm"]
    assert "earlier" not in first.params


def test_the_comparisons_of_all_rounds_are_learned_from_and_calibrated_on(tmp_path) -> None:
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame({"pair": range(100 * i, 100 * i + 8), "held_out": rng.random(8) < 0.4}) for i in range(3)]
    for table, role in zip(tables, ("earlier-0", "earlier-1", "comparisons"), strict=True):
        (tmp_path / role).mkdir()
        table.to_parquet(tmp_path / role / "comparisons.parquet")
    for earlier, read in ((2, tables), (0, tables[2:])):
        run = SimpleNamespace(params={"earlier": earlier} if earlier else {}, input=lambda role: tmp_path / role)
        held_out = [pair for table in read for pair, out in zip(table.pair, table.held_out, strict=True) if out]
        assert calibration_pairs(run).pair.tolist() == held_out != []
        assert read_comparisons(run).pair.tolist() == [pair for table in read for pair in table.pair]


def test_a_threshold_moves_the_version_of_its_runs_alone() -> None:
    plain, held = (plan_curve(configured(reward_threshold=text), "ppo").version for text in ("off", "0.5"))
    assert held == plain + 1


@pytest.mark.parametrize("reward", ["par", "log-sigmoid", "min-max", "clip"])
def test_a_shaping_reads_the_policy_that_is_optimized_where_another_one_wrote_the_comparisons(reward: str) -> None:
    def of(**options: str) -> Step:
        return plan_curve(configured(reward=reward, gold_size="100k", **options), "ppo").inputs["proxy-rm"]

    apart = of(policy_size="100k", rm_policy_size="25k")
    assert apart.inputs["initial-policy"].params["policy_size"] == "100k"
    assert apart.inputs["comparisons"].inputs["initial-policy"].params["policy_size"] == "25k"
    assert apart.params["rm_policy_size"] == "25k"
    later = of(policy_size="100k", rm_policy_size="25k", rounds="2")  # whose comparisons are by the optimized policy
    assert "rm_policy_size" not in later.params
    same = of(policy_size="25k", rm_policy_size="25k")
    assert same == of(policy_size="25k") and "rm_policy_size" not in same.params
    assert same.inputs["initial-policy"] == same.inputs["comparisons"].inputs["initial-policy"]


def test_an_ensemble_that_is_not_shaped_is_one_for_all_policies_against_it() -> None:
    small, large = (
        plan_curve(configured(reward="mean", policy_size=size, rm_policy_size="25k"), "ppo") for size in ("25k", "100k")
    )
    assert small.inputs["proxy-rm"] == large.inputs["proxy-rm"]


def test_extremes_are_those_of_responses_of_the_optimized_policy(tiny_policy, tiny_tokenizer, tmp_path) -> None:
    tiny_policy(3).save_pretrained(tmp_path / "model")
    table = pd.DataFrame({"prompt": ["yes", "no"] * 40, "response_a": "maybe", "response_b": "maybe no"})
    prompt_format, params = PromptFormat(tiny_tokenizer, 6), {"seed": 0}
    run = SimpleNamespace(params=params, input={"initial-policy": tmp_path}.__getitem__)
    assert [set(side.texts) for side in _start_responses(run, table, prompt_format)] == [{"maybe"}, {"maybe no"}]
    params["rm_policy_size"] = "25k"
    [drawn] = _start_responses(run, table, prompt_format)
    assert sorted(drawn.prompts) == sorted([*table.prompt, *table.prompt])
    assert len(set(drawn.texts)) > 10
    [again] = _start_responses(run, table, prompt_format)
    assert again.texts == drawn.texts


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
