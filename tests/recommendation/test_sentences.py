"""The sentences, and the record that repeats them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
from tests.recommendation.planted import Truth, draw

from mlproject.recommendation.recommend import recommend
from mlproject.recommendation.record import to_dict
from mlproject.recommendation.sentences import lines_of
from mlproject.recommendation.words import kl_estimate
from mlproject.strict_json import strict_json

RNG = np.random.default_rng(0)


def test_the_answer_names_what_to_use_how_far_with_which_doubt_and_what_going_on_costs():
    settings = [replace(setting, kl_coef=0.02) for setting in draw(Truth([0.5, 1.0, 2.0]), np.random.default_rng(0))]
    said = recommend(settings)
    first, gold, further, again, trend = lines_of(said)
    stop = said.choice.stop
    assert first.startswith("Use the rm2 reward model with PPO, KL coefficient 0.02, and stop at ")
    assert f"update {stop.step}" in first and "within noise" in first
    assert f"{stop.gold:.2f} [{stop.gold_interval[0]:.2f}, {stop.gold_interval[1]:.2f}]" in gold and "seeds" in gold
    assert further.startswith("Going on to 16 nats (update 13) costs ") and "proxy score changes by" in further
    assert again.startswith("Measure gold again when")
    assert trend.startswith("PPO: peak gold rises with reward-model size, by +")


def test_a_method_without_a_reward_model_is_named_by_itself():
    [setting] = draw(Truth([1.0]), np.random.default_rng(0))
    aligned = replace(setting, method="dpo", rm="implicit, n_comparisons=500", kl_coef=0.1)
    assert lines_of(recommend([aligned]))[0].startswith("Use DPO, n_comparisons=500, beta 0.1, and stop at ")


def test_ties_are_named_with_the_smallest_and_a_trend_that_is_not_sure_is_called_unclear():
    lines = lines_of(recommend(draw(Truth([1.0] * 5), np.random.default_rng(3)), preferred="rm4"))
    tie = next(line for line in lines if line.startswith("The same peak gold, as far as can be told, is reached by "))
    assert "The smallest of them is rm0." in tie
    gap = re.search(r"measured up to (\d\.\d\d) lower", tie)
    golds = [float(gold) for gold in re.findall(r"\((\d\.\d\d)\)", tie)]
    chosen = float(re.search(r"stops there: (\d\.\d\d)", lines[1])[1])
    assert (abs(chosen - min(golds) - float(gap[1])) < 0.011) if gap else chosen - min(golds) < 0.011
    assert any("unclear" in line for line in lines) and not any(" falls " in line for line in lines)


def test_best_of_n_stops_at_an_n():
    lines = lines_of(recommend(draw(Truth([1.0]), np.random.default_rng(0), method="best-of-n")))
    assert "with best-of-n, and stop at" in lines[0].lower() and "n = " in lines[0]


def test_a_peak_that_was_not_reached_asks_to_go_on():
    lines = " ".join(lines_of(recommend(draw(Truth([1.0], peak_d=8.0), np.random.default_rng(0)))))
    assert "The peak was not reached: at 16 nats" in lines and "Optimize further, to about 32 nats" in lines


def test_samples_that_end_before_the_peak_ask_for_more_samples_and_not_for_more_optimization():
    settings = draw(Truth([1.0], peak_d=8.0, seeds=1, max_d=1.0), np.random.default_rng(0), "best-of-n")
    lines = " ".join(lines_of(recommend([replace(settings[0], rm_is_given=True)])))
    assert "Draw more responses to each prompt, up to about n = 52 (3 nats)" in lines
    assert "Optimize further" not in lines


def test_an_interval_of_kl_stands_with_its_n_for_best_of_n():
    assert kl_estimate("best-of-n", 4.04, (3.9, 4.2)) == "4.04 nats [3.9, 4.2] (n = 153 [133, 180])"
    assert kl_estimate("best-of-n", 4.04, (3.9, 30.0)).endswith("(n = 153 [133, beyond 1,000,000])")
    assert kl_estimate("ppo", 4.04, (3.9, 4.2)) == "4.04 nats [3.9, 4.2]"


def test_without_movement_nothing_is_recommended_and_the_reason_is_said():
    lines = lines_of(recommend(draw(Truth([0.0] * 3, max_d=0.15, proxy=0.0), np.random.default_rng(0))))
    assert lines[0].startswith("No recommendation:")
    assert any("has hardly moved" in line and "rm0, rm1, rm2" in line and "0.022 nats" in line for line in lines)


def test_the_record_is_strict_json_and_holds_the_same_sentences():
    said = recommend(draw(Truth([0.5, 1.0, 2.0], seeds=1), np.random.default_rng(0)))
    record = json.loads(strict_json(to_dict(said)))
    assert record["sentences"] == lines_of(said)
    assert record["choice"]["rm"] == "rm2" and record["choice"]["run_ids"] == {"0": "2-0"}
    assert record["seed_spread"] == {"ppo": {"sd": None, "dof": 0}}
    assert [each["rm"] for each in record["settings"]] == ["rm0", "rm1", "rm2"]
