"""A YAML file that is not what it seems is refused in one line, at once: configuration, gates and experiments alike."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlproject.config.schema import load_config
from mlproject.config.yaml_file import read_options
from mlproject.errors import UserError
from mlproject.experiments.spec import load_experiment
from mlproject.registry.gates import read_gates

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
CONTENTS = {
    "a key twice": ("seed: 1\nkl_coef: 0.1\nseed: 2\n", "at line 3 (it has seed twice)"),
    "a key twice further down": ("seed:\n  a: 1\n  a: 1\n", "at line 3 (it has a twice)"),
    "aliases that multiply": (BOMB, "(it stands for more than 100,000 values)"),
    "an alias of itself": ("seed: &a [*a]\n", "(it stands for more than 100,000 values)"),
    "deep": ("seed: " + "[" * 100_000, "at line 1 (it is nested too deeply)"),
    "deep in lines": ("- " * 5000, "nested so deeply"),
    "a number of many digits": ("seed: " + "9" * 5000, "cannot be read"),
    "a date that is none": ("study: 2026-13-45\n", "cannot be read"),
    "a class of Python": ("seed: !!python/object/apply:os.system [touch executed]\n", "is not valid YAML at line 1"),
    "not text": (b"seed: \xff\xfe", "not UTF-8"),
    "large": ("# " + "x" * 2**20 + "\nseed: 1\n", "at most 1 MB"),
    "control characters": ("seed: \x07\n", "is not valid YAML"),
}
READERS = {
    "config": lambda path: read_options(str(path)),
    "gates": read_gates,
    "name": lambda path: load_experiment(str(path), quick=False),
}


def refused(read, path) -> str:
    with pytest.raises(UserError) as error:
        read(path)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


@pytest.mark.parametrize("option", READERS)
@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_not_what_it_seems_is_refused(tmp_path, monkeypatch, option, kind):
    monkeypatch.chdir(tmp_path)
    content, said = CONTENTS[kind]
    path = Path("file.yaml")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(READERS[option], path)
    assert message.startswith(f"{option}=file.yaml: ")
    assert said in message
    assert [each.name for each in Path().iterdir()] == ["file.yaml"]


@pytest.mark.parametrize("option", ["config", "gates"])
def test_special_files_and_names_are_refused_and_do_not_hang(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.yaml")
    Path("loop.yaml").symlink_to("loop.yaml")
    for name in ("pipe.yaml", "loop.yaml", "/dev/zero", ".", "n" * 5000, "a\0b.yaml", "missing.yaml"):
        refused(READERS[option], Path(name))


GATE = "method: ppo\ngates:\n- metric: peak_gold\n  {}\n  judged_by: low\n  otherwise: No.\n  remedy: More.\n"


@pytest.mark.parametrize(
    "bounds",
    ["at_least: .inf", "at_least: -.inf", "at_most: .inf", "at_least: .nan", "at_least: 0\n  at_most: .inf"]
    + [f"at_least: {value}" for value in ("9" * 400, "1.0e+400", "true", "'1'", "[1]", "null", "1e3")],
)
def test_a_threshold_that_refuses_nothing_or_everything_is_refused(tmp_path, bounds):
    (tmp_path / "gates.yaml").write_text(GATE.format(bounds))
    assert "must be a number that is finite" in refused(read_gates, tmp_path / "gates.yaml")


def test_a_file_as_people_write_it_is_read(tmp_path):
    (tmp_path / "gates.yaml").write_text(GATE.format("at_least: 0.5"))
    assert read_gates(tmp_path / "gates.yaml").gates[0].at_least == 0.5
    (tmp_path / "config.yaml").write_text("seed: 3\nrm_sizes: [3k, 25k]\nstudy: '2026-01-01'\nmixed_precision: no\n")
    config = load_config("smoke", {}, str(tmp_path / "config.yaml"))
    assert (config.seed, config.rm_sizes, config.study) == (3, ("3k", "25k"), "2026-01-01")
