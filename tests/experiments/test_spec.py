"""Experiments from YAML files: grids become policy runs, and a mistake gives one line with the file name."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.experiments.spec import experiment_names, load_experiment, plan_cells
from mlproject.optimization import METHODS

VALID = {
    "finding": "Something holds",
    "grids": [{"method": ["best-of-n", "ppo"], "rm_size": ["1k", "3k"], "seed": [0, 1]}],
    "figure": {"x": "sqrt_kl", "y": ["gold"]},
    "table": {"rows": "rm_size", "values": ["peak/gold"]},
}


def write(folder: Path, content: object) -> str:
    path = folder / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", experiment_names())
def test_every_packaged_experiment_is_planned(name: str, quick: bool) -> None:
    experiment = load_experiment(name, quick)
    config = load_config("smoke" if quick else "laptop", {}, experiment_options=experiment.options)
    cells = plan_cells(experiment, config)
    assert len(cells) >= 2
    assert len({step.fingerprint for step in cells}) == len(cells)
    assert len(cells) <= (16 if quick else 144)


def test_direct_alignment_among_the_optimizers_is_reused_from_its_own_experiment() -> None:
    cells = {}
    for name in ("optimizers", "direct_alignment"):
        experiment = load_experiment(name)
        steps = plan_cells(experiment, load_config("laptop", {}, experiment_options=experiment.options))
        cells[name] = {step.fingerprint for step in steps if not METHODS[step.params["method"]].needs_proxy}
    assert cells["optimizers"] and cells["optimizers"] < cells["direct_alignment"]


def test_every_finding_of_the_paper_has_an_experiment() -> None:
    of_the_paper = "rm_size rm_data epochs_vs_data policy_size kl_penalty rl_vs_bon label_noise iterated val_loss"
    assert {*of_the_paper.split(), "human_gap", "forecast"} <= set(experiment_names())


def test_a_grid_is_the_product_of_its_lists(tmp_path: Path) -> None:
    cells = plan_cells(load_experiment(write(tmp_path, VALID)), load_config("smoke", {}))
    settings = {(step.params["method"], step.inherited_params["rm_size"], step.params["seed"]) for step in cells}
    assert settings == set(itertools.product(("best-of-n", "ppo"), ("1k", "3k"), (0, 1)))


def test_overlapping_grids_give_each_run_once(tmp_path: Path) -> None:
    overlapping = [{"method": ["ppo"], "rm_size": ["1k", "3k"]}, {"method": ["ppo"], "rm_size": ["3k", "13k"]}]
    cells = plan_cells(load_experiment(write(tmp_path, VALID | {"grids": overlapping})), load_config("smoke", {}))
    assert [step.inherited_params["rm_size"] for step in cells] == ["1k", "3k", "13k"]


def test_options_of_a_file_override_the_preset_and_yield_to_the_user(tmp_path: Path) -> None:
    experiment = load_experiment(write(tmp_path, VALID | {"options": {"n_comparisons": 700, "rm_epochs": 2}}))
    config = load_config("smoke", {"rm_epochs": "3"}, experiment_options=experiment.options)
    assert (config.n_comparisons, config.rm_epochs, config.curve_prompts) == (700, 3.0, 48)


def test_an_option_of_the_grid_cannot_be_set_by_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rm_size: must not be set, because the grid of mine"):
        plan_cells(load_experiment(write(tmp_path, VALID)), load_config("smoke", {}), {"rm_size", "ppo_updates"})


def test_a_file_in_the_folder_experiments_here_is_found_by_name(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "experiments").mkdir()
    write(tmp_path / "experiments", VALID)
    monkeypatch.chdir(tmp_path)
    assert load_experiment("mine").finding == "Something holds"
    assert "mine" in experiment_names()


MISTAKES = {
    "not YAML": ("finding: [", ["YAML", "line"]),
    "a list": ("- finding", ["list", "key: value"]),
    "unknown key": (VALID | {"colour": "red"}, ["unknown keys colour", "finding, paper"]),
    "missing part": ({key: VALID[key] for key in ("finding", "figure", "table")}, ["must have grids"]),
    "unknown key of the figure": (VALID | {"figure": {"x": "kl", "y": ["gold"], "z": 1}}, ["figure", "z", "panels"]),
    "a figure of nothing": (VALID | {"figure": {"x": "kl", "y": []}}, ["figure: y=[]", "a list of names"]),
    "a figure over two things": (
        VALID | {"figure": {"x": ["kl"], "y": "gold"}},
        ["figure: x=", "metric."],
    ),
    "a table of a number": (
        VALID | {"table": {"rows": 1, "values": ["peak/gold"]}},
        ["table: rows=1", "or a list of names"],
    ),
    "empty grids": (VALID | {"grids": []}, ["grids", "at least one"]),
    "grid without a method": (VALID | {"grids": [{"seed": [0]}]}, ["must have method"]),
    "unknown method": (VALID | {"grids": [{"method": ["dpoo"]}]}, ["dpoo", "best-of-n, ppo"]),
    "a value for a list": (VALID | {"grids": [{"method": ["ppo"], "seed": 3}]}, ["seed", "[3]"]),
    "unknown option": (
        VALID | {"grids": [{"method": ["ppo"], "rm_sizze": ["1k"]}]},
        ["rm_sizze", "Did you mean rm_size?"],
    ),
    "value of the wrong type": (
        VALID | {"grids": [{"method": ["ppo"], "seed": ["two"]}]},
        ["seed=two", "whole"],
    ),
    "a list of fixed options": (VALID | {"options": ["seed"]}, ["options", "list", "key: value"]),
    "unknown fixed option": (VALID | {"options": {"sed": 1}}, ["sed", "Did you mean seed?"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_one_line_with_its_name_and_what_must_hold(mistake: str, tmp_path: Path) -> None:
    content, parts = MISTAKES[mistake]
    with pytest.raises(UserError) as error:
        load_experiment(write(tmp_path, content))
    assert "\n" not in str(error.value)
    for part in ("mine.yaml", *parts):
        assert part in str(error.value)


def test_an_invalid_combination_of_options_is_refused(tmp_path: Path) -> None:
    grids = [{"method": ["ppo"], "rm_size": ["100k"]}]
    with pytest.raises(UserError, match="gold_size=25k"):
        plan_cells(load_experiment(write(tmp_path, VALID | {"grids": grids})), load_config("smoke", {}))


@pytest.mark.parametrize(
    ("name", "message"), [("rm_sise", "must be one of .*early_warning, .*rm_size"), ("a.yaml", "no such file")]
)
def test_an_unknown_experiment_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_experiment(name)


def test_an_option_that_no_method_of_its_grid_reads_is_refused(tmp_path: Path) -> None:
    idle = VALID | {"grids": [{"method": ["dpo"], "rm_size": ["1k", "3k"], "seed": [0]}]}
    with pytest.raises(UserError, match=r"rm_size=\['1k', '3k'\]: makes no difference to dpo. Remove it"):
        plan_cells(load_experiment(write(tmp_path, idle)), load_config("smoke", {}))
    beside = VALID | {"grids": [{"method": ["ppo", "dpo"], "rm_size": ["1k", "3k"], "seed": [0]}]}
    assert len(plan_cells(load_experiment(write(tmp_path, beside)), load_config("smoke", {}))) == 3


def test_quick_needs_quick_grids(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no part `quick`"):
        load_experiment(write(tmp_path, VALID), quick=True)
