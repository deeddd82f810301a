"""`--help` lists options in groups, and the configuration can be printed, edited and read back."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import mlproject
from mlproject.__main__ import main
from mlproject.cli.entry_points import ENTRY_POINTS
from mlproject.config.schema import PRESETS, Config, load_config, option_names
from mlproject.optimization import METHODS
from mlproject.options.declaration import options_by_heading


def help_of(entry_point: str, capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """Names of the options in a help text, by heading; parameters stand under an empty one."""
    assert main([entry_point, "--help"]) == 0
    names: dict[str, list[str]] = {"": []}
    heading = ""
    for line in capsys.readouterr().out.splitlines()[3:]:
        assert len(line) <= 110
        if match := re.fullmatch(r"(\w.*):", line):
            heading = match[1]
            names[heading] = []
        elif match := re.match(r"  --(\w+)(  ?|$)", line):
            names[heading].append(match[1])
    return names


def test_main_lists_every_option_once_under_the_heading_of_its_group(capsys) -> None:
    names = help_of("main", capsys)
    assert names.pop("") == ["preset", "config"]
    assert names == {
        heading: [field.name for field in fields] for heading, fields in options_by_heading(Config).items()
    }
    assert sorted(name for group in names.values() for name in group) == sorted(option_names())
    assert list(names)[:3] == ["World and data", "Initial policy", "Gold RM"]


def test_an_option_of_a_method_stands_under_one_heading_that_of_the_class_that_declares_it(capsys) -> None:
    names = help_of("main", capsys)
    for method in METHODS.values():
        for field in dataclasses.fields(method.config_class):
            declares = next(
                c for c in reversed(method.config_class.__mro__) if field.name in getattr(c, "__annotations__", {})
            )
            expected = field.metadata["heading"] or declares.HEADING or method.title
            assert [heading for heading, group in names.items() if field.name in group] == [expected]


def test_a_method_declares_its_options_without_a_change_of_the_command_line(tmp_path) -> None:
    (tmp_path / "tempered.py").write_text(
        "from dataclasses import dataclass\n"
        "from mlproject.optimization import Method, MethodConfig\n"
        "from mlproject.options.declaration import option\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class TemperedConfig(MethodConfig):\n"
        "    temperature: float = option('of the softmax', default=2.0, minimum=0)\n"
        "METHOD = Method('tempered', 'tempered sampling', TemperedConfig, module='tempered')\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(mlproject.__file__).parents[1])])
    environment = {**os.environ, "MLPROJECT_METHODS": "tempered", "PYTHONPATH": paths}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "mlproject", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path).stdout

    assert (
        "\nTempered sampling:\n  --temperature         of the softmax [a number of at least 0] (default: 2.0)\n"
        in run("main", "--help")
    )
    assert "--temperature " not in run("ppo", "--help")
    assert "temperature: 1.5\n" in run("config", "--temperature", "1.5")


@pytest.mark.parametrize(
    ("entry_point", "present", "absent"),
    [
        ("ppo", ["PPO", "Stopping", "Gold RM", "Rounds"], ["Best-of-n", "Search", "Laws"]),
        ("best_of_n", ["Best-of-n", "Curves"], ["PPO", "Stopping", "Search"]),
        ("proxy", ["Comparisons and proxy RMs", "Execution"], ["Curves", "PPO", "Best-of-n", "Search"]),
        ("history", ["Tracking"], ["World and data", "PPO", "Execution"]),
        ("findings", [], ["Tracking", "World and data"]),
    ],
)
def test_an_entry_point_lists_only_options_that_make_a_difference_to_it(entry_point, present, absent, capsys) -> None:
    headings = set(help_of(entry_point, capsys))
    assert headings >= set(present)
    assert not headings & set(absent)


def test_a_comparison_of_samples_lists_the_single_options_that_make_a_difference_to_it(capsys) -> None:
    names = help_of("compare", capsys)
    assert names["Best-of-n"] == ["bon_points"] and names["World and data"] == ["bad_lines"]
    assert "bon_n_max" not in {name for group in names.values() for name in group}


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_help_lists_the_parameters_of_every_entry_point(entry_point, capsys) -> None:
    expected = [parameter.name for parameter in ENTRY_POINTS[entry_point].parameters]
    assert help_of(entry_point, capsys)[""] == [*expected, "preset", "config"]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_printed_configuration_is_accepted_back_and_is_the_same(preset, capsys, tmp_path) -> None:
    assert main(["config", "--preset", preset]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    file = tmp_path / "my.yaml"
    file.write_text(printed.out)
    assert load_config("smoke", {}, str(file)) == load_config(preset, {})  # whatever preset it is read with
    assert set(yaml.safe_load(printed.out)) == set(option_names())


def test_options_that_yaml_would_misread_survive_being_printed(capsys, tmp_path) -> None:
    options = {
        "storage": "sqlite:///a b: # c.db", "study": "2026-01-01", "registered_model": "yes", "ppo_lr": "1e-9",
        "test_rms": "same,./my: rm", "search_kl_coefs": "0,1e-7,0.5", "prompt_field": "null", "experiment": "Größe",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert main(["config", "--preset", "smoke", *words]) == 0
    (tmp_path / "my.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_config("laptop", {}, str(tmp_path / "my.yaml")) == load_config("smoke", options)


def test_printed_options_are_grouped_and_explained(capsys) -> None:
    assert main(["config"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^# ---- (.*?) -+$", text, re.M) == list(options_by_heading(Config))
    assert "# KL penalty, gold standard deviations per nat [a number from 0 to 100]\nkl_coef: 0.0\n" in text


def test_printing_the_configuration_touches_no_store_and_needs_no_files(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--world", "files", "--policy", "./not-there", "--gold", "./nor-this", "--prompts", "absent.jsonl"]
    assert main(["config", *options]) == 0
    assert "policy: ./not-there\n" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_help_shows_the_values_of_the_preset_that_is_named(capsys) -> None:
    texts = {}
    for preset, words in {"laptop": [], "smoke": ["--preset", "smoke"], "gpu": ["--preset=gpu"]}.items():
        assert main(["ppo", "--help", *words]) == 0
        texts[preset] = " ".join(capsys.readouterr().out.split())
        value = load_config(preset, {}).ppo_updates
        assert "--ppo_updates" in texts[preset] and f"(default: {value})" in texts[preset].partition("--ppo_updates")[2]
        assert f"Defaults are those of preset {preset};" in texts[preset]
    assert len(set(texts.values())) == 3
    assert main(["ppo", "--help", "--preset", "smok"]) == 2
    assert "preset=smok: must be one of" in capsys.readouterr().err
