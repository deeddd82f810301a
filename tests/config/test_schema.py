"""The configuration: presets are complete, options have an order of priority, and mistakes are reported in one line."""

from __future__ import annotations

import dataclasses
import re

import pytest

from mlproject.config.rules import warnings_for
from mlproject.config.schema import PRESETS, Config, load_config, option_help, option_names, parse
from mlproject.errors import UserError
from mlproject.models.sizes import POLICY_SIZES, SIZES


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_names_every_option_within_its_limits(preset: str) -> None:
    config = load_config(preset, {})
    assert {field.name for field in dataclasses.fields(config)} == set(option_names())
    assert config.policy_size in POLICY_SIZES
    parameters = [SIZES[size].reward_model_parameters for size in config.rm_sizes]
    assert SIZES[config.gold_size].reward_model_parameters >= max(parameters)
    assert config.bon_n_max * 4 <= config.pool_samples  # the effective sample count behind the largest n
    assert config.rm_size in config.rm_sizes


def test_an_option_overrides_the_file_and_the_file_overrides_the_preset(tmp_path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("kl_coef: 0.25\nppo_updates: 30\n")
    preset = load_config("smoke", {})
    assert (preset.kl_coef, preset.ppo_updates, preset.ppo_clip) == (0.0, 8, 0.2)
    from_file = load_config("smoke", {}, str(file))
    assert (from_file.kl_coef, from_file.ppo_updates, from_file.ppo_clip) == (0.25, 30, 0.2)
    with_option = load_config("smoke", {"ppo_updates": "50"}, str(file))
    assert (with_option.kl_coef, with_option.ppo_updates, with_option.ppo_clip) == (0.25, 50, 0.2)


def test_a_preset_overrides_what_all_presets_share() -> None:
    assert load_config("laptop", {}).policy_size == "100k"
    assert load_config("smoke", {}).policy_size == "25k"


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("ppo_updates", "30", 30),
        ("ppo_updates", 30.0, 30),
        ("ppo_lr", "1e-4", 1e-4),
        ("kl_coef", 1, 1.0),
        ("seeds", "0,1, 2", (0, 1, 2)),
        ("seeds", 3, (3,)),
        ("search_kl_coefs", [0, 0.5], (0.0, 0.5)),
        ("rm_sizes", "1k,25k", ("1k", "25k")),
        ("methods", "ppo", ("ppo",)),
    ],
)
def test_texts_and_yaml_values_become_the_type_of_the_option(name: str, raw: object, value: object) -> None:
    parsed = parse(name, raw)
    assert parsed == value
    assert type(parsed) is type(value)
    if isinstance(value, tuple):
        assert [type(item) for item in parsed] == [type(item) for item in value]


@pytest.mark.parametrize(
    "options",
    [
        {"ppo_updates": "many"},
        {"ppo_updates": 2.5},
        {"ppo_updates": 0},
        {"ppo_updates": True},
        {"ppo_updates": None},
        {"kl_coef": -0.1},
        {"kl_coef": "nan"},
        {"kl_coef": "inf"},
        {"label_noise": 0.6},
        {"rm_sizes": "1k,1k"},
        {"rm_sizes": "2k"},
        {"rm_sizes": ""},
        {"seeds": "0,,1"},
        {"seeds": {"a": 1}},
        {"ensemble_checkpoints": "./a,,./b"},
        {"preference_fields": ["prompt", "chosen", " "]},
        {"methods": "sarsa"},
        {"experiment": "a/b"},
        {"experiment": ".."},
        {"experiment": "a" * 201},
        {"experiment": "a\nb"},
        {"experiment": "\ud800"},
        {"study": " "},
        {"registered_model": "a:b"},
        {"registered_model": "a'b\""},
        {"study": "a\\"},
        {"seed": 2**32},
        {"max_response_tokens": "9" * 400},
        {"registered_model": "é" * 101},
        {"policy_size": "1k"},
        {"rm_sizes": "1k,1m"},  # larger than the gold RM
        {"bon_n_max": 65},
        {"ppo_minibatches": 65},
        {"ppo_eval_every": 9},
        {"search_kl_coefs": "0.1,0"},
        {"search_rm_sizes": "13k,1k"},
    ],
    ids=str,
)
def test_a_value_that_is_not_allowed_is_refused_in_one_line_that_names_the_option(options: dict) -> None:
    with pytest.raises(UserError) as refused:
        load_config("smoke", options)
    message = str(refused.value)
    assert re.fullmatch(r"(\w+)=.*: must .+\.", message)
    assert message.startswith(f"{next(iter(options))}=") or "gold_size=" in message
    assert "\n" not in message


def test_an_infinite_whole_number_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="workers=inf"):
        load_config("smoke", {"workers": float("inf")})


def test_a_misspelt_option_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean kl_coef"):
        load_config("smoke", {"kl_coeff": 1})
    with pytest.raises(UserError, match=r"preset=huge: must be one of smoke, laptop, overnight, gpu\."):
        load_config("huge", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [("- 1\n- 2\n", "holds a list"), ("a: [1\n", "not valid YAML"), ("pp_updates: 3\n", "Did you mean ppo_updates")],
)
def test_a_file_that_is_no_configuration_is_refused_in_one_line(content: str, message: str, tmp_path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        load_config("smoke", {}, str(file))
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named_and_an_empty_one_changes_nothing(tmp_path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_config("smoke", {}, str(tmp_path / "none.yaml"))
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_config("smoke", {}, str(tmp_path / "empty.yaml")) == load_config("smoke", {})


def test_a_configuration_cannot_be_changed_and_a_copy_is_checked_again() -> None:
    config = load_config("smoke", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]
    assert config.replace(seed=3).seed == 3
    with pytest.raises(UserError):
        config.replace(seed=-1)


def test_every_number_has_limits() -> None:
    for option in dataclasses.fields(Config):
        limits = option.metadata["minimum"], option.metadata["maximum"]
        assert "str" in str(option.type) or None not in limits or option.metadata["choices"], option.name


def test_every_option_explains_itself() -> None:
    for name in option_names():
        words, _, allowed = option_help(name).partition(" [")
        assert len(words) > 10 and allowed.endswith("]"), name
    assert option_help("kl_coef").endswith("[a number from 0 to 100]")
    assert {option.name for option in dataclasses.fields(Config)} == set(option_names())


def test_a_pool_too_small_for_its_largest_n_gives_a_warning_with_its_effective_samples():
    assert warnings_for(load_config("laptop", {})) == []
    [line] = warnings_for(load_config("laptop", {"bon_n_max": "512"}))
    assert "bon_n_max=512" in line
    assert "only 3.0 effective samples" in line
    assert warnings_for(load_config("laptop", {"bon_n_max": "1024", "pool_samples": "4096"})) == []


def test_a_list_that_may_be_empty_is_empty_where_nothing_is_given():
    assert load_config("laptop", {"search_ppo_lrs": ""}).search_ppo_lrs == ()
    assert load_config("laptop", {"ensemble_checkpoints": " "}).ensemble_checkpoints == ()
    assert load_config("laptop", {"search_n_comparisons": "1000,4000"}).search_n_comparisons == (1000, 4000)
    with pytest.raises(UserError, match="increasing"):
        load_config("laptop", {"search_n_comparisons": "4000,1000"})
