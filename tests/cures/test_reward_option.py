"""The option `reward`: which chains there are, and what is said of those that cannot be."""

from __future__ import annotations

import re

import pytest

from mlproject.config.rules import warnings_for
from mlproject.config.schema import load_config
from mlproject.cures import CURES, parse_reward, written
from mlproject.errors import UserError


def test_a_chain_is_read_in_its_order_and_has_one_spelling() -> None:
    for text in ("worst-case,par,clip", "worst-case+par+clip", " worst-case + par,clip "):
        assert load_config("smoke", {"reward": text}).reward == "worst-case+par+clip"
    assert [cure.name for cure in parse_reward("mean+ceiling")] == ["mean", "ceiling"]
    assert parse_reward("single") == ()
    assert written(()) == load_config("smoke", {}).reward == "single"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("best", "but best is none"),
        ("mean,", "but nothing is none"),
        ("", "but nothing is none"),
        ("single,par", "but single is none"),
        ("mean,worst-case", "mean and worst-case both do"),
        ("par,mean", "must shape after mean"),
        ("par,par", "must name each cure once"),
        ("laplace,warm", r"but laplace comes before .* Put warm first: warm\+laplace\."),
        ("laplace+warm+par", r"Put warm first: warm\+laplace\+par\."),
    ],
)
def test_a_chain_that_cannot_be_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load_config("smoke", {"reward": text})
    assert str(caught.value).startswith(f"reward={text}: must ")
    assert "\n" not in str(caught.value)


IDLE = {
    "par_k": ({"par_k": 2.0}, "par_k=2.0: makes no difference without par in reward"),
    "of two cures": ({"reference_samples": 4}, "reference_samples=4: makes no difference without par or log-sigmoid"),
    "another cure": ({"uwo_lambda": 0.1, "reward": "mean"}, "uwo_lambda=0.1: makes no difference without uncertainty-"),
    "members of one": ({"ensemble_members": 3, "reward": "par"}, "ensemble_members=3: makes no difference where no"),
    "bootstrap of one": ({"ensemble_by": "bootstrap"}, "ensemble_by=bootstrap: makes no difference where no reward"),
    "given for one": ({"ensemble_checkpoints": "./a,./b"}, "ensemble_checkpoints=./a,./b: makes no difference where"),
    "sizes of one": ({"search_ensemble_members": "2,4"}, "search_ensemble_members=2,4: makes no difference where no"),
    "members of given": (
        {"ensemble_members": 3, "reward": "mean", "ensemble_checkpoints": "./a,./b"},
        "ensemble_members=3: makes no difference where ensemble_checkpoints are given",
    ),
    "text": ({"rm_text_beta": 0.5}, "rm_text_beta=0.5: makes no difference where rm_text_weight is 0"),
    "pairs": ({"rm_loss": "k-wise"}, "rm_loss=k-wise: makes no difference where ranked_responses is 2"),
}


@pytest.mark.parametrize("name", IDLE)
def test_an_option_that_no_reward_reads_is_warned_of(name: str) -> None:
    options, said = IDLE[name]
    (warning,) = warnings_for(load_config("smoke", options))
    assert warning.startswith(said) and warning.endswith(", or remove the option.")


def test_options_that_a_reward_of_the_study_or_of_its_search_reads_are_not_warned_of() -> None:
    for options in (
        {"par_k": 2.0, "reference_samples": 4, "reward": "mean+par", "ensemble_members": 3},
        {"par_k": 2.0, "search_rewards": "single,worst-case+par", "search_ensemble_members": "2,4"},
        {"ensemble_checkpoints": "./a,./b", "search_rewards": "single,median"},
        {"rm_text_beta": 0.5, "rm_text_weight": 0.01, "rm_loss": "k-wise", "ranked_responses": 4},
    ):
        assert warnings_for(load_config("smoke", options)) == []
    (warning,) = warnings_for(load_config("smoke", {"par_k": 2.0, "search_rewards": "par", "n_trials": 0}))
    assert warning.startswith("par_k=2.0")


def test_every_option_of_a_cure_is_warned_of_where_that_cure_is_not() -> None:
    defaults = load_config("smoke", {})
    for cure in CURES.values():
        for name in cure.options:
            value = {name: getattr(defaults, name) + 1 if name != "lsc_quantile" else 0.5}
            assert [name in line for line in warnings_for(load_config("smoke", value))] == [True]
            assert warnings_for(load_config("smoke", value | {"reward": cure.name})) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ensemble_by": "bootstrap"}, "ensemble_by=bootstrap: must be seed where ensemble_checkpoints are given"),
        ({"search_ensemble_members": "2,4,8"}, "search_ensemble_members=2,4,8: must be empty where .* there are 2"),
        ({"rounds": 2, "methods": "ppo"}, "ensemble_checkpoints=./a,./b: must be empty where rounds=2"),
        ({"rounds": 2, "reward": "single", "search_rewards": "single,mean"}, "ensemble_checkpoints=./a,./b: must be"),
    ],
)
def test_what_given_members_cannot_do_is_refused(options: dict, said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}") as caught:
        load_config("smoke", {"reward": "mean", "ensemble_checkpoints": "./a,./b"} | options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["reward", "search_rewards"])
@pytest.mark.parametrize("other", ["single", "worst-case", "mean+par", "median", "warm"])
def test_members_are_terms_of_a_mean_alone(place: str, other: str) -> None:
    """Weights of the members make a weighted mean, whatever the reward is called."""
    options = {"reward_terms": "members", "reward_threshold": "0.5", "reward": "mean"}
    for mean in ("mean", "laplace+mean"):
        load_config("smoke", options | {"search_rewards": mean})
    wrong = {"reward": other} if place == "reward" else {"search_rewards": f"mean,{other}"}
    with pytest.raises(UserError, match=f"^reward_terms=members: must be reward where a reward is {re.escape(other)},"):
        load_config("smoke", options | wrong)
    load_config("smoke", wrong | {"reward_terms": "members"})  # without a threshold it does nothing


def test_there_are_as_many_thresholds_as_members() -> None:
    options = {"reward_terms": "members", "reward_threshold": "0.5,0.2", "reward": "mean"}
    for right in ({"ensemble_members": 2}, {"ensemble_checkpoints": "./a,./b"}, {"reward_threshold": "0.5"}):
        load_config("smoke", options | right)
    for wrong, terms in (
        ({"ensemble_members": 3}, "are 3"),
        ({"ensemble_checkpoints": "./a,./b,./c"}, "are 3"),
        ({"ensemble_members": 2, "search_ensemble_members": "2,4"}, "are 4"),
        ({"reward_terms": "reward"}, "is 1"),
    ):
        with pytest.raises(UserError, match=rf"^reward_threshold=0.5,0.2: must be one number, or .* there {terms}\."):
            load_config("smoke", options | wrong)
