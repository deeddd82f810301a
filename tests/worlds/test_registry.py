"""A world is registered once; every other module asks its `WorldSpec` and never compares its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlproject import worlds
from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.options.values import to_text
from mlproject.pipeline.loading import open_world
from mlproject.pipeline.study import plan_roots
from mlproject.worlds import WORLDS, load_world
from mlproject.worlds.files.spec import READ_OPTIONS
from mlproject.worlds.helpdesk import Helpdesk
from mlproject.worlds.world import AuthoredWorldSpec

SOURCES = Path(worlds.__file__).parents[1]


class NightShift(Helpdesk):
    """A further authored world."""

    name = "night-shift"


@pytest.fixture
def night_shift(monkeypatch: pytest.MonkeyPatch) -> AuthoredWorldSpec:
    spec = AuthoredWorldSpec("night-shift", "for this test", f"{__name__}:NightShift")
    monkeypatch.setitem(WORLDS, spec.name, spec)
    return spec


def test_each_world_is_registered_under_its_name_and_opens_as_itself() -> None:
    assert set(WORLDS) == {"helpdesk", "files"} and all(name == spec.name for name, spec in WORLDS.items())
    assert load_world("helpdesk", seed=0).name == "helpdesk"


@pytest.mark.parametrize("name", ["casino", "files"])
def test_a_world_that_needs_files_or_does_not_exist_is_not_loaded_from_a_seed(name: str) -> None:
    with pytest.raises(ValueError, match=f"world '{name}': must be one of helpdesk"):
        load_world(name, seed=0)


def test_a_further_world_is_planned_and_opened_after_one_registration(night_shift) -> None:
    helpdesk = load_config("smoke", {})
    object.__setattr__(helpdesk, "world", night_shift.name)  # the option's choices were listed at import
    roots = plan_roots(helpdesk)
    assert roots.policy.params["world"] == "night-shift" and roots.gold.params["world"] == "night-shift"
    assert roots.policy.fingerprint != plan_roots(load_config("smoke", {})).policy.fingerprint

    class Run:
        params = roots.pool.params

        def input(self, role: str) -> Path:
            raise AssertionError("an authored world reads no artifacts")

    assert open_world(Run()).name == "night-shift"  # type: ignore[arg-type]
    assert load_world("night-shift", 3).prompts("train", 5) == load_world("helpdesk", 3).prompts("train", 5)


def test_a_files_study_can_be_repeated_from_the_parameters_of_its_runs() -> None:
    chosen = {
        "world": "files", "policy": "/models/policy", "prompts": "/data/prompts.jsonl", "gold": "/models/gold",
        "preferences": "/data/preferences.jsonl", "preference_fields": "q,good,bad", "bad_lines": "skip",
        "preferred": "winner",
    }  # fmt: skip
    config = load_config("smoke", chosen)
    texts = {name: to_text(value) for name, value in config.select(*READ_OPTIONS).items()}
    policy = {**texts, "policy": config.policy, "prompts_path": config.prompts, "prompts_sha256": "0" * 64}
    options = config.world_spec.options_from_params(
        policy, {"preferences_path": config.preferences, "preferred": "winner"}
    )
    again = load_config("smoke", {"world": "files", "gold": config.gold, **options})
    assert again == config
    assert WORLDS["helpdesk"].options_from_params({"world": "helpdesk"}, {}) == {}


def test_options_of_one_world_are_refused_in_another_with_the_world_that_reads_them() -> None:
    with pytest.raises(UserError, match=r"policy=.*: must be empty when world=helpdesk\. Remove"):
        load_config("smoke", {"policy": "./mine"})


def test_no_module_compares_the_name_of_a_world_or_the_text_of_gold() -> None:
    compared = re.compile(
        r"\.(world|gold)\s*(==|!=|in\b|not in\b)|\[\"(world|gold)\"\]\s*(==|!=|in\b)|get\(\"gold\"[^)]*\)\s*(==|!=)"
    )
    for path in SOURCES.rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if compared.search(line)]
        assert not lines, f"{path.relative_to(SOURCES)}: {lines}"
