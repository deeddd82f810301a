"""The plan of a curve: one round, several rounds, auxiliary RMs, and a policy that the reward models did not see."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.config.schema import Config, load_config
from mlproject.errors import UserError
from mlproject.optimization import METHODS, Method, MethodConfig
from mlproject.pipeline import study
from mlproject.pipeline.policy_run import policy_run
from mlproject.pipeline.step import RunRef, upstream
from mlproject.pipeline.study import plan_curve, plan_roots, plan_study


def configured(**options: object) -> Config:
    return load_config("smoke", options)


def kinds(config: Config) -> list[str]:
    return [step.kind for step in upstream([plan_curve(config, "ppo")])]


def test_the_curves_of_a_study_are_those_planned_one_by_one() -> None:
    config = configured(rm_sizes="1k,3k", seeds="0,1")
    for run in plan_study(config).policy_runs:
        cell = config.replace(rm_size=run.inherited_params["rm_size"], seed=run.params["seed"])
        assert plan_curve(cell, run.params["method"]) == run


def test_a_study_plans_what_its_curves_share_once(monkeypatch) -> None:
    planned: list[Config] = []
    monkeypatch.setattr(study, "plan_roots", lambda config: planned.append(config) or plan_roots(config))
    plan = plan_study(configured(rm_sizes="1k,3k", seeds="0,1", test_rms="same"))
    assert len(plan.policy_runs) == 8
    assert len(planned) == 1


def test_every_further_round_adds_comparisons_a_proxy_and_a_policy_run() -> None:
    for rounds in (1, 2, 4):
        planned = kinds(configured(rounds=rounds))
        for kind in ("comparisons", "proxy-rm", "policy-run"):
            assert planned.count(kind) == rounds
        for kind in ("initial-policy", "gold-rm", "pool"):
            assert planned.count(kind) == 1


def test_a_round_learns_from_the_policy_of_the_round_before() -> None:
    run = plan_curve(configured(rounds=3), "ppo")
    for round in (3, 2):
        compared, before = run.inputs["proxy-rm"].inputs["comparisons"], run.inputs["earlier"]
        assert (run.params["round"], compared.params["round"]) == (round, round)
        assert compared.inputs["optimized"] is before
        run = before
    assert "round" not in run.params
    assert run == plan_curve(configured(), "ppo")


def test_a_proxy_learns_from_all_rounds_where_asked() -> None:
    run = plan_curve(configured(rounds=3, rounds_data="all"), "ppo")
    roles = set(run.inputs["proxy-rm"].inputs)
    assert {"comparisons", "earlier-0", "earlier-1"} <= roles
    assert run.inputs["proxy-rm"].params["earlier"] == 2
    assert run.inputs["proxy-rm"].inputs["earlier-0"] == plan_roots(configured()).comparisons


def test_rounds_of_a_method_that_trains_no_policy_are_refused() -> None:
    with pytest.raises(UserError, match=r"rounds=2: must be 1 for best-of-n, which trains no policy"):
        plan_curve(configured(rounds=2), "best-of-n")


def test_policies_of_other_sizes_are_optimized_against_the_very_same_proxy() -> None:
    small, large = (plan_curve(configured(policy_size=size, rm_policy_size="25k"), "ppo") for size in ("25k", "100k"))
    assert small.inputs["proxy-rm"] == large.inputs["proxy-rm"]
    assert small.inputs["gold-rm"] == large.inputs["gold-rm"]
    assert small.inputs["pool"] != large.inputs["pool"]
    assert (small.inherited_params["policy_size"], large.inherited_params["policy_size"]) == ("25k", "100k")
    assert large.inputs["initial-policy"].params["policy_size"] == "100k"
    assert small == plan_curve(configured(policy_size="25k"), "ppo")


def test_without_auxiliary_rms_no_step_depends_on_them() -> None:
    for step in upstream([plan_curve(configured(), "ppo"), plan_curve(configured(), "best-of-n")]):
        assert not {"half", "witnesses", "test_rms", "ensemble"} & set(step.params)
        assert not any(role.startswith(("test_rm", "member")) for role in step.inputs)


def test_fingerprints_of_runs_made_before_there_were_auxiliary_rms_still_hold() -> None:
    curves = {method: plan_curve(configured(), method) for method in ("ppo", "best-of-n")}
    made = {method: step.fingerprint[:12] for method, step in curves.items()}
    assert made == {"ppo": "98ccd09c079f", "best-of-n": "59b9058609ca"}  # 0.2: the samples of a pool are a step
    assert curves["ppo"].inputs["proxy-rm"].fingerprint[:12] == "22f83ceb94f2"


def test_a_test_rm_learns_from_the_half_that_its_proxy_does_not_and_members_from_the_same() -> None:
    run = plan_curve(configured(rm_size="3k", seed=5, test_rms="same,13k", ensemble=2), "ppo")
    learned = {
        role: step.params for role, step in run.inputs.items() if step.kind.endswith("-rm") and role != "gold-rm"
    }
    learned_from = {role: (params["rm_size"], params["seed"], params["half"]) for role, params in learned.items()}
    assert learned_from == {
        "proxy-rm": ("3k", 5, "train"),
        "test_rm.3k": ("3k", 5, "test"),
        "test_rm.13k": ("13k", 5, "test"),
        "member.6": ("3k", 6, "train"),
        "member.7": ("3k", 7, "train"),
    }
    assert run.params["witnesses"] == "test_rm.3k,test_rm.13k,member.6,member.7"


def test_a_size_named_twice_gives_one_test_rm_and_an_ensemble_alone_leaves_the_comparisons_whole() -> None:
    assert plan_curve(configured(rm_size="13k", test_rms="same,13k"), "ppo").params["witnesses"] == "test_rm.13k"
    watched = plan_curve(configured(ensemble=1), "ppo")
    assert "half" not in watched.inputs["proxy-rm"].params
    assert watched.inputs["proxy-rm"] == plan_curve(configured(), "ppo").inputs["proxy-rm"]
    assert watched.inputs["member.1"] == plan_curve(configured(seed=1), "ppo").inputs["proxy-rm"]


def test_auxiliary_rms_say_that_they_start_from_the_policy_where_they_do_and_only_there() -> None:
    options = {"rm_size": "25k", "rm_start": "policy", "test_rms": "same,13k", "gold_size": "100k"}
    run = plan_curve(configured(**options, ensemble=1), "ppo")
    starts = {
        role: (step.params.get("start_seed"), step.inherited_params.get("rm_start"))
        for role, step in run.inputs.items()
        if step.kind in ("proxy-rm", "test-rm")
    }
    assert starts == {
        "proxy-rm": (0, "policy"),
        "test_rm.25k": (0, "policy"),
        "test_rm.13k": (None, None),
        "member.1": (1, "policy"),
    }
    assert run.inputs["member.1"] == plan_curve(configured(**options, seed=1), "ppo").inputs["proxy-rm"]
    playing = plan_curve(configured(**{**options, "gold": "none"}), "ppo").inputs["gold-rm"].inputs["test-rm"]
    assert "start_seed" not in playing.params and "rm_start" not in playing.inherited_params


def test_a_reward_that_exists_already_is_not_tested_by_itself(tmp_path: Path) -> None:
    function = "mlproject.digest:digest_of_files"
    message = rf"^test_rms=same: must be another reward model than {function}, which exists already and is optimized"
    for method in ("ppo", "best-of-n"):
        with pytest.raises(UserError, match=message):
            plan_curve(configured(rm_size=function, test_rms="same,13k"), method)
    assert "test_rm.13k" in plan_curve(configured(rm_size=function, test_rms="13k"), "ppo").inputs
    tokenizer = byte_tokenizer(300, chat=False)
    a, b = (
        str(save_checkpoint(tmp_path / name, "gpt_neox", tokenizer, reward=True, seed=seed).resolve())
        for seed, name in enumerate("ab")
    )
    of_two = {"reward": "mean", "ensemble_checkpoints": f"{a},{b}", "rm_sizes": "3k"}
    for tested in ("same", f"{b}/"):
        with pytest.raises(UserError, match=rf"^test_rms={tested}: must be another reward model than /"):
            plan_study(configured(**of_two, test_rms=tested))
    assert "test_rm.13k" in plan_study(configured(**of_two, test_rms="13k")).policy_runs[0].inputs


def test_the_proxies_of_a_study_learn_from_the_half_that_its_curves_were_planned_with() -> None:
    plan = plan_study(configured(rm_sizes="1k,3k", test_rms="same"))
    for run in plan.policy_runs:
        assert run.inputs["proxy-rm"] in plan.proxies.values()
        assert run.inputs["proxy-rm"].params["half"] == "train"


def test_without_gold_a_watching_test_rm_is_put_on_the_scale_of_the_one_that_plays_gold() -> None:
    run = plan_curve(configured(gold="none", gold_size="25k", rm_size="1k", test_rms="13k"), "ppo")
    gold, watching = run.inputs["gold-rm"], run.inputs["test_rm.13k"]
    assert gold.inputs["test-rm"].params["plays_gold"] and "gold-rm" not in gold.inputs["test-rm"].inputs
    assert not watching.params["plays_gold"] and watching.inputs["gold-rm"] == gold
    assert run.inputs["proxy-rm"].inputs["gold-rm"] == gold
    assert {step.params["half"] for step in (gold.inputs["test-rm"], watching)} == {"test"}
    assert run.inputs["proxy-rm"].params["half"] == "train"


@pytest.fixture
def learns_from_comparisons(monkeypatch: pytest.MonkeyPatch) -> str:
    """A method that needs no proxy; its name."""
    method = Method("pairs", "pairs", MethodConfig, module=__name__, needs_proxy=False)
    monkeypatch.setitem(METHODS, method.name, method)
    return method.name


def test_a_method_that_needs_no_proxy_reads_the_comparisons_and_no_other_does(learns_from_comparisons: str) -> None:
    run = plan_curve(configured(), learns_from_comparisons)
    assert run.inputs["comparisons"] == plan_roots(configured()).comparisons
    assert "comparisons" not in plan_curve(configured(), "ppo").inputs


def test_such_a_method_is_refused_where_nobody_knows_the_comparisons(learns_from_comparisons: str) -> None:
    config, roots = configured(), plan_roots(configured())
    proxy = RunRef("a-run", "a-fingerprint", {"rm_size": "1k"})
    with pytest.raises(UserError, match=r"pairs: needs comparisons, .* Use a method that optimizes one: best-of-n"):
        policy_run(config, proxy, roots.pool, learns_from_comparisons, seed=0)
