"""A promotion proposes the recommended reward model, or says why it proposes another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.recommendation.planted import Truth, draw

from mlproject.curve import Curve
from mlproject.laws.intervals import Estimate
from mlproject.recommendation.evidence import evidence_of
from mlproject.recommendation.measured import MeasuredRun, named_options, settings_of_runs
from mlproject.recommendation.outcome import Outcome, promotion_sentence
from mlproject.recommendation.proposal import Proposal, propose
from mlproject.recommendation.recommend import recommend
from mlproject.recommendation.record import best_two, sentences_of, to_dict
from mlproject.recommendation.setting import Setting


def two_methods(peaks: list[float], by_ppo: list[float], seed: int) -> list[Setting]:
    """The same reward models by best-of-n and by PPO, on the same prompts."""
    rng = np.random.default_rng(seed)
    return [*draw(Truth(peaks), rng, "best-of-n"), *draw(Truth(by_ppo), rng, "ppo")]


def proposed(proposal: Proposal) -> str:
    return proposal.order[0].rm


@pytest.mark.parametrize("seed", range(12))
def test_of_three_near_equal_reward_models_the_proposed_is_the_recommended_one_and_ties_are_said(seed) -> None:
    settings = two_methods([1.0, 1.01, 1.02], [0.99, 1.02, 1.0], seed)
    proposal = propose(settings, "best-of-n")
    first = proposed(proposal)
    said = recommend(settings, preferred=first)  # what the report says once it knows the proposal
    assert said.choice is not None and said.choice.setting.rm == first
    assert set(said.rms) <= {"rm0", "rm1", "rm2"}
    others = [each.setting.rm for each in proposal.equal if each.setting.rm != first]
    reason = proposal.reason(first)
    assert reason.startswith(f"{first} is the recommended reward model")
    assert f"cannot be told from that of {', '.join(others)}" in reason or not others


def test_a_tie_that_passes_the_gates_where_the_first_fails_becomes_the_recommendation() -> None:
    settings = two_methods([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], seed=4)
    proposal = propose(settings, "best-of-n")
    first, second = (setting.rm for setting in proposal.order[:2])
    reason = proposal.reason(second, [f"{first} seed 0 failed gamma"])
    assert reason.startswith(
        f"{second} is proposed since {first} seed 0 failed gamma; its peak gold by best-of-n cannot"
    )
    said = recommend(settings, preferred=second)
    assert said.choice is not None and said.choice.setting.rm == second


def test_where_the_method_of_the_gates_has_another_order_the_difference_is_said_with_its_reason() -> None:
    settings = two_methods([0.4, 0.4, 0.9], [3.0, 0.5, 0.5], seed=0)
    proposal = propose(settings, "best-of-n")
    assert proposal.recommendation.choice is not None and proposal.recommendation.choice.setting.rm == "rm0"
    assert proposed(proposal) == "rm2"
    reason = proposal.reason("rm2")
    assert "rm2 has the highest peak gold by best-of-n, by which the gates evaluate." in reason
    assert "The curves speak for rm0 with PPO; by best-of-n its peak gold is lower by more than noise." in reason
    outcome = Outcome("run", "rm2", "1", "3", passed=True, reason=reason)
    sentence = promotion_sentence(recommend(settings, "rm2"), outcome)
    assert sentence.startswith(
        "The promotion proposed another reward model: rm2 seed 1 passed all gates and is champion"
    )
    assert "The curves speak for rm0 with PPO" in sentence


def test_a_reward_model_that_the_user_named_is_compared_with_the_others() -> None:
    proposal = propose(two_methods([0.4, 0.6, 0.9], [0.4, 0.6, 0.9], seed=0), "best-of-n")
    assert proposal.reason("rm0", named=True).startswith(
        "rm0 was named, not chosen; its peak gold is lower than that of rm2 by more than noise."
    )


def test_dominated_reward_models_come_last_highest_peak_first() -> None:
    proposal = propose(two_methods([0.9, 0.5, 0.7], [0.9, 0.5, 0.7], seed=1), "best-of-n")
    assert [setting.rm for setting in proposal.order] == ["rm0", "rm2", "rm1"]


def test_the_record_holds_the_promotion_and_the_evidence_and_says_what_differs() -> None:
    settings = draw(Truth([0.5, 1.0]), np.random.default_rng(0), "best-of-n")
    said = recommend(settings)
    assert said.choice is not None
    basis = "Gates are checked on one seed, the margin on audit prompts."
    outcome = Outcome("run", "rm1", "0", "2", passed=False, failed=["margin"], champion_before="1", basis=basis)
    figures = evidence_of(said)
    assert [figure.name for figure in figures] == ["measured peak", "law", "forecast, seed 0", "forecast, seed 1"]
    record = to_dict(said, figures, outcome)
    assert record["promotion"]["agrees"] and record["evidence"][0]["name"] == "measured peak"
    same = "The promotion proposed the same reward model: rm1 seed 0 was refused by margin; version 1 stays champion."
    same += f" {basis}"
    assert same in record["sentences"]
    disagreeing = [replace(figures[1], agrees=False, reason="it is crooked"), *figures[2:]]
    assert any(line.startswith("Law: ") and "it is crooked." in line for line in sentences_of(said, disagreeing))
    assert not any(line.startswith("Law: ") for line in sentences_of(said, figures))


def test_the_search_and_the_audit_are_evidence_with_their_doubt() -> None:
    rng = np.random.default_rng(2)
    planned = draw(Truth([1.0]), rng)
    searched = [replace(planned[0], kl_coef=0.01, from_search=True)]
    said = recommend([*planned, *searched])
    figures = {figure.name: figure for figure in evidence_of(said, {"0-0": Estimate(0.2, 0.15, 0.25)})}
    assert "KL coefficient 0.01" in figures["search"].text and "cannot be told from" in figures["search"].text
    assert figures["audit"].agrees is False and "expect what the audit says" in figures["audit"].sentence()


def test_a_forecast_beside_a_law_that_does_not_fit_says_why_it_may_be_quoted_or_is_withheld() -> None:
    rng, d_S = np.random.default_rng(0), np.linspace(0, 4, 14)
    mesa_S = np.where(d_S < 1.2, d_S / 1.2, np.where(d_S < 2.8, 1.0, 1 - 0.4 * (d_S - 2.8)))
    humps_S = 0.6 * np.sin(1.5 * d_S) + 0.2 * d_S
    said = {}
    for name, gold_S in (("mesa", mesa_S), ("humps", humps_S)):
        gold_SP = gold_S[:, None] + np.minimum(d_S, 1)[:, None] * 0.2 * rng.standard_normal((14, 96))
        setting = Setting("ppo", name, 0, {0: Curve(np.arange(14), d_S**2, gold_SP, gold_SP)})
        said[name] = {figure.name: figure for figure in evidence_of(recommend([setting]))}
    assert said["mesa"]["law"].agrees is None and said["humps"]["law"].agrees is None  # neither fits
    assert said["mesa"]["forecast"].agrees and "about a wider family than the law" in said["mesa"]["forecast"].reason
    assert said["humps"]["forecast"].agrees is None and "P(past" not in said["humps"]["forecast"].sentence()
    assert said["humps"]["forecast"].text.startswith("withheld, since these points lie farther from all its laws")


def test_settings_name_the_options_in_which_they_differ_from_the_plan() -> None:
    [one] = draw(Truth([1.0], seeds=1), np.random.default_rng(0))
    run = MeasuredRun("ppo", "3k", 3328, 0, one.curve, "a", 0.0, options={"ppo_lr": "0.1"})
    bon = replace(run, method="best-of-n", run_id="b", kl_coef=None, options={})
    other = replace(run, run_id="c", from_search=True, options={"ppo_lr": "0.2"})
    again = replace(run, run_id="d", from_search=True)  # the planned setting once more
    settings = settings_of_runs([other, again, run, bon])
    assert [(s.method, s.rm, s.from_search, dict(s.run_ids)) for s in settings] == [
        ("best-of-n", "3k", False, {0: "b"}),
        ("ppo", "3k", False, {0: "a"}),
        ("ppo", "3k, ppo_lr=0.2", True, {0: "c"}),
    ]


@pytest.mark.parametrize(
    ("option", "one", "other", "default"),
    [
        ("uwo_lambda", "0.1", "0.5", "0.5"),
        ("par_k", "2.0", "1.0", "1.0"),
        ("ensemble_by", "bootstrap", None, "seed"),
        ("laplace_sds", "3.0", "1.0", "1.0"),
        ("clip_sds", "0.5", "2.0", "1.0"),
        ("rm_start", "policy", None, "random"),
        ("ranked_responses", "4", None, "2"),
        ("rm_loss", "k-wise", "plackett-luce", "bradley-terry"),
        ("rm_margin", "1.0", None, "0.0"),
        ("rm_label_smoothing", "0.1", "0.2", "0.0"),
        ("center_rewards_coefficient", "0.01", None, "0.0"),
        ("rm_text_weight", "0.1", None, "0.0"),
    ],
)
def test_rewards_made_otherwise_are_settings_of_their_own_named_by_what_is_no_default(
    option: str, one: str, other: str | None, default: str
) -> None:
    [planted] = draw(Truth([1.0], seeds=1), np.random.default_rng(0))
    runs = [
        MeasuredRun(
            "ppo", "3k", 3328, seed, planted.curve, f"{seed} {value}",
            options=named_options({"n_comparisons": "64", "world_seed": "0", **({option: value} if value else {})}),
        )
        for seed in (0, 1)
        for value in (one, other)
    ]  # fmt: skip
    for usual in (None, {"n_comparisons": "64", option: one}):
        settings = {s.rm: dict(s.run_ids) for s in settings_of_runs(runs, usual)}
        assert settings == {
            "3k" if value in (None, default) else f"3k, {option}={value}": {0: f"0 {value}", 1: f"1 {value}"}
            for value in (one, other)
        }


def test_the_best_two_are_runs_of_one_seed_and_method_of_the_choice_and_of_the_next_best_reward_model() -> None:
    settings = draw(Truth([0.5, 1.5, 1.2]), np.random.default_rng(0))
    assert best_two(recommend(settings)) == ["1-0", "2-0"]
    other_seeds = replace(settings[2], run_ids={7: "2-7"})
    assert best_two(recommend([*settings[:2], other_seeds])) == ["1-0", "2-7"]
    falling = draw(Truth([-1.0] * 3), np.random.default_rng(0))
    assert best_two(recommend(settings[:1])) == [] == best_two(recommend(falling))
