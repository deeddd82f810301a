"""A mistake in a user's files or models is reported before a study starts: one line, exit code 2, no files left."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from mlflow import MlflowClient
from tests.support.checkpoints import byte_tokenizer, change_weights, save_checkpoint, write_preferences, write_prompts
from tests.support.mistakes import CHECKPOINTS, CONFIGURATION, CONFIGURATIONS, FUNCTIONS, PREFERENCES, PROMPTS

from mlproject.__main__ import main
from mlproject.cli.parser import parse_command_line
from mlproject.pipeline import preflight


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Good checkpoints, and one of every kind that cannot serve."""
    folder = tmp_path_factory.mktemp("models")
    plain, chat = byte_tokenizer(300, chat=False), byte_tokenizer(320, chat=True)
    save_checkpoint(folder / "policy", "gpt2", plain, reward=False)
    save_checkpoint(folder / "gold", "llama", chat, reward=True)
    save_checkpoint(folder / "chat-policy", "llama", chat, reward=False)
    save_checkpoint(folder / "two-labels", "llama", chat, reward=True, labels=2)
    save_checkpoint(folder / "small-embeddings", "gpt2", plain, reward=False)
    byte_tokenizer(310, chat=True).save_pretrained(folder / "small-embeddings")

    def copied(name: str, of: str = "policy"):
        shutil.copytree(folder / of, folder / name)
        return folder / name

    for path in [*copied("no-tokenizer").glob("tokenizer*"), *copied("no-gold-tokenizer", "gold").glob("tokenizer*")]:
        path.unlink()
    (copied("no-config") / "config.json").unlink()
    (copied("corrupt-config") / "config.json").write_text("{not json")
    (copied("no-model-type") / "config.json").write_text("{}")
    (copied("unknown-model") / "config.json").write_text('{"model_type": "perceptron"}')
    (copied("corrupt-tokenizer") / "tokenizer.json").write_text("{}")
    (copied("corrupt-weights") / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    (copied("no-weights") / "model.safetensors").unlink()
    change_weights(copied("no-lm-head", "chat-policy"), lambda weights: weights.pop("lm_head.weight"))
    change_weights(copied("no-reward-head", "gold"), lambda weights: weights.pop("score.weight"))
    change_weights(copied("no-layer", "gold"), lambda weights: weights.pop("model.layers.0.mlp.up_proj.weight"))
    for name, fields in CONFIGURATIONS.items():
        config = json.loads((copied(name) / "config.json").read_text())
        (folder / name / "config.json").write_text(json.dumps(config | fields))
    (folder / "remote-code" / "mine.py").write_text("raise SystemExit('executed')")
    (copied("adapter", "gold") / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "empty").mkdir()
    (folder / "a-file").write_text("x")
    no_end = byte_tokenizer(300, chat=False)
    no_end.eos_token = None
    no_end.save_pretrained(copied("no-eos"))
    write_prompts(folder / "prompts.jsonl")
    write_preferences(folder / "preferences.jsonl")
    return folder


def run(models, tmp_path, monkeypatch, capsys, files, options, entry=("main",)):
    """Exit code, standard output, standard error and new files of an entry point with valid options but for these."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    for name, content in files.items():
        if callable(content):
            content(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    valid = {
        "preset": "smoke", "world": "files", "policy": "{models}/policy", "prompts": "{models}/prompts.jsonl",
        "gold": "{models}/gold", "curve_prompts": "8", "audit_prompts": "8",
    }  # fmt: skip
    used = {name: value for name, value in (valid | options).items() if value is not None}
    before = sorted(tmp_path.rglob("*"))
    arguments = [word for name, value in used.items() for word in (f"--{name}", value.replace("{models}", str(models)))]
    capsys.readouterr()
    code = main([*entry, *arguments])
    output = capsys.readouterr()
    new_files = [path for path in sorted(tmp_path.rglob("*")) if path not in before and "__pycache__" not in path.parts]
    return code, output.out, output.err, new_files


def check(models, tmp_path, monkeypatch, capsys, case):
    files, options, words = case
    code, out, err, new_files = run(models, tmp_path, monkeypatch, capsys, files, options)
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    [line] = err.strip().splitlines()
    assert line.startswith("mlproject: ")
    for word in words:
        assert word in line
    assert new_files == []


@pytest.mark.parametrize("name", PROMPTS)
def test_an_invalid_prompt_is_reported_with_file_line_and_field(name, models, tmp_path, monkeypatch, capsys):
    [file] = PROMPTS[name][0] or ["absent"]
    files, options, words = PROMPTS[name]
    check(models, tmp_path, monkeypatch, capsys, (files, {"prompts": f"./{file}", **options}, words))


@pytest.mark.parametrize("name", PREFERENCES)
def test_an_invalid_comparison_is_reported_with_file_line_and_field(name, models, tmp_path, monkeypatch, capsys):
    rows, words = PREFERENCES[name]
    files = {"c.jsonl": rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows))}
    check(models, tmp_path, monkeypatch, capsys, (files, {"preferences": "./c.jsonl"}, words))


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_an_unusable_checkpoint_is_reported_with_its_option(name, models, tmp_path, monkeypatch, capsys):
    option, value, words = CHECKPOINTS[name]
    check(
        models, tmp_path, monkeypatch, capsys, ({}, {option: value}, [f"{option}=", value.rpartition("/")[2], *words])
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_missing_function_is_reported_by_its_name(name, models, tmp_path, monkeypatch, capsys):
    code, gold, words = FUNCTIONS[name]
    check(models, tmp_path, monkeypatch, capsys, ({"mine.py": code}, {"gold": gold}, [gold, *words]))


@pytest.mark.parametrize("name", CONFIGURATION)
def test_contradictory_options_are_reported(name, models, tmp_path, monkeypatch, capsys):
    options, words = CONFIGURATION[name]
    check(models, tmp_path, monkeypatch, capsys, ({}, options, words))


def test_there_are_many_kinds_of_mistakes():
    assert sum(map(len, (PROMPTS, PREFERENCES, CHECKPOINTS, FUNCTIONS, CONFIGURATION))) >= 80


def test_the_set_up_that_the_mistakes_vary_is_valid(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    passed = preflight.check(
        parse_command_line(
            ["main", "--preset", "smoke", "--world", "files", "--policy", f"{models}/policy",
             "--gold", f"{models}/gold",
             "--prompts", f"{models}/prompts.jsonl", "--preferences", f"{models}/preferences.jsonl",
             "--curve_prompts", "8", "--audit_prompts", "8"]
        ).config
    )  # fmt: skip
    assert passed == [
        f"prompts={models}/prompts.jsonl: read as column prompt, 62 distinct prompts",
        f"preferences={models}/preferences.jsonl: read as columns prompt, chosen, rejected, 120 pairs",
    ]
    assert capsys.readouterr().err == ""


LATE = {
    "gold that fails": ({"gold": "mine:f"}, ["mine:f: must not fail (ZeroDivisionError: float division by zero). Fix"]),
    "prompts longer than the policy reads": (
        {"max_response_tokens": "200"}, ["max_response_tokens=200", "since policy reads 256 tokens"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LATE)
def test_a_mistake_that_only_a_step_finds_ends_the_study_with_one_line_and_failed_runs(
    name, models, tmp_path, monkeypatch, capsys
):
    options, words = LATE[name]
    files = {"mine.py": "def f(prompts, responses):\n    return [1 / 0.0 for _ in responses]"}
    code, _, err, _ = run(
        models,
        tmp_path,
        monkeypatch,
        capsys,
        files,
        {"max_prompt_tokens": "100", **options, "workers": "1"},
        ("proxy",),
    )
    assert code == 2, err
    assert "Traceback" not in err
    line = err.strip().splitlines()[-1]
    for word in words:
        assert word in line
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert runs
    finished = {each.data.tags["mlproject.kind"] for each in runs if each.info.status == "FINISHED"}
    assert finished == ({"initial-policy"} if "gold" in options else set())
    assert {each.info.status for each in runs if each.data.tags["mlproject.kind"] not in finished} == {"FAILED"}
