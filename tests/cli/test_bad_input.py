"""A mistake gets one line (what was given, what must hold, what to do), exit code 2, and leaves nothing behind."""

import resource
import subprocess
import sys

import pytest

from mlproject.__main__ import main

WRONG = {
    # entry points and the form of options
    "unknown entry point": (["mian"], ["mian", "Did you mean main?"]),
    "option without dashes": (["main", "preset"], ["preset", "--name value"]),
    "option without a value": (["main", "--seed"], ["seed", "must have a value"]),
    "option given twice": (["main", "--seed", "1", "--seed", "2"], ["seed", "twice"]),
    "bare dashes": (["main", "--", "x"], ["--name value"]),
    # presets, files, keys
    "unknown preset": (["main", "--preset", "huge"], ["preset", "huge", "smoke, laptop, overnight, gpu"]),
    "empty preset": (["main", "--preset", ""], ["preset"]),
    "unknown option": (["main", "--rm_sise", "1k"], ["rm_sise", "Did you mean --rm_size?"]),
    "unknown option without a likeness": (["main", "--zzz", "1"], ["zzz", "--help"]),
    "option of another entry point": (["main", "--proxy", "1k"], ["proxy"]),
    "missing proxy": (["ppo"], ["proxy", "needs it"]),
    "missing proxy for best_of_n": (["best_of_n", "--preset", "smoke"], ["proxy", "needs it"]),
    "missing file": (["main", "--config", "nowhere.yaml"], ["nowhere.yaml", "cannot be read"]),
    # types
    "text for a whole number": (["main", "--n_comparisons", "many"], ["n_comparisons", "many", "whole number"]),
    "fraction for a whole number": (["main", "--ppo_updates", "2.5"], ["ppo_updates", "2.5", "whole number"]),
    "text for a number": (["main", "--kl_coef", "strong"], ["kl_coef", "strong", "a number"]),
    "nan": (["main", "--kl_coef", "nan"], ["kl_coef", "nan"]),
    "infinity": (["main", "--ppo_lr", "inf"], ["ppo_lr", "inf"]),
    "empty value": (["main", "--seeds", ""], ["seeds", "whole number"]),
    # ranges and choices
    "negative coefficient": (["main", "--kl_coef", "-0.1"], ["kl_coef", "-0.1", "from 0 to 100"]),
    "noise beyond chance": (["main", "--label_noise", "0.6"], ["label_noise", "0.6", "from 0 to 0.5"]),
    "no updates": (["main", "--ppo_updates", "0"], ["ppo_updates", "from 1 to"]),
    "unknown size": (["main", "--rm_sizes", "1k,2k"], ["rm_sizes", "1k,2k", "100k"]),
    "policy too small": (["main", "--policy_size", "1k"], ["policy_size", "1k", "25k"]),
    "unknown world": (["main", "--world", "mars"], ["world", "mars", "helpdesk"]),
    "unknown method": (["main", "--methods", "telepathy"], ["methods", "telepathy", "best-of-n"]),
    "repeated seed": (["main", "--seeds", "1,1"], ["seeds", "1,1", "without repeats"]),
    "negative seed": (["main", "--seeds", "0,-1"], ["seeds", "from 0 to"]),
    "too many curve prompts": (["main", "--curve_prompts", "999999"], ["curve_prompts", "from 4 to"]),
    "unknown precision": (["main", "--mixed_precision", "int4"], ["mixed_precision", "bf16"]),
    # values that do not go together
    "gold smaller than a proxy": (["main", "--gold_size", "1k"], ["gold_size", "1k", "at least the largest proxy"]),
    "n above the pool": (["main", "--bon_n_max", "5000"], ["bon_n_max", "5000", "pool_samples"]),
    "more minibatches than rollouts": (["main", "--ppo_minibatches", "999"], ["ppo_minibatches", "ppo_batch_size"]),
    "groups that do not fill an update": (
        ["main", "--methods", "grpo", "--ppo_batch_size", "30", "--ppo_minibatches", "2"],
        ["grpo_group_size=8: must divide ppo_batch_size=30", "Use ppo_batch_size=32"],
    ),
    "a group larger than an update": (
        ["main", "--methods", "rloo", "--rloo_group_size", "4096"],
        ["rloo_group_size=4096: must divide", "Use ppo_batch_size=4096"],
    ),
    "no point within the run": (["main", "--ppo_eval_every", "99"], ["ppo_eval_every", "ppo_updates"]),
    "unordered grid": (["main", "--search_kl_coefs", "0.1,0"], ["search_kl_coefs", "increasing"]),
    "unordered sizes": (["main", "--search_rm_sizes", "25k,1k"], ["search_rm_sizes", "increasing"]),
    "unknown test RM": (["main", "--test_rms", "tiny"], ["test_rms", "tiny", "same, 1k"]),
    "negative ensemble": (["main", "--ensemble", "-1"], ["ensemble", "-1", "from 0 to 32"]),
    "auxiliary RMs with a proxy that exists": (
        ["ppo", "--proxy", "0" * 32, "--test_rms", "same"],
        ["test_rms=same", "with proxy=000", "use proxy=SIZE"],
    ),
    "slash in the experiment": (["main", "--experiment", "a/b"], ["experiment", "a/b"]),
    "colon in the model name": (["main", "--registered_model", "a:b"], ["registered_model", "a:b"]),
    "neither true nor false": (["promote", "--dry_run", "maybe"], ["dry_run=maybe: must be true or false."]),
    "text for a parameter that is a number": (
        ["fit", "--curve", "0" * 32, "--gold_sd", "big"],
        ["gold_sd=big", "a number"],
    ),
    "method of a curve": (
        ["fit", "--curve", "0" * 32, "--method", "best-of-m-best-of-n"],
        ["method=best-of-m-best-of-n: must be one of best-of-n"],
    ),
    "search of nothing": (["search", "--preset", "smoke", "--n_trials", "0"], ["n_trials", "at least 1"]),
}

WRONG_FILES = {
    "no YAML": ("rm_size: [1k\n", ["not valid YAML", "line"]),
    "a list": ("- 1\n- 2\n", ["list", "option: value"]),
    "a text": ("hello\n", ["str", "option: value"]),
    "unknown option": ("rm_sise: 1k\n", ["rm_sise", "Did you mean rm_size?"]),
    "mapping for a number": ("seed: {a: 1}\n", ["seed", "whole number"]),
    "nothing for a number": ("seed:\n", ["seed", "whole number"]),
    "yes for a number": ("seed: yes\n", ["seed", "whole number"]),
    "date for a number": ("kl_coef: 2026-01-01\n", ["kl_coef", "a number"]),
    "binary": (b"\xff\xfe\x00", ["UTF-8"]),
}


def refused(arguments, words, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    line = captured.err.strip()
    assert len(line.splitlines()) == 1, captured.err
    for word in words:
        assert word in line
    assert captured.out == ""
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_parameter_is_refused_in_one_line(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    refused(*WRONG[name], capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_refused_in_one_line(name, capsys, tmp_path, monkeypatch):
    content, words = WRONG_FILES[name]
    path = tmp_path / "my.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    refused(["main", "--config", str(path)], words, capsys)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("uri", "words"),
    {
        "file:./mlruns": ["file:./mlruns", "sqlite:///"],
        "http://127.0.0.1:9": ["127.0.0.1:9", "no server answers"],
        "sqlite:////nowhere/at/all/mlflow.db": ["/nowhere/at/all", "Create it"],
    }.items(),
)
def test_a_store_that_cannot_serve_is_refused_in_one_line(uri, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    refused(["main", "--preset", "smoke"], words, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["main", "--help"], ["main", "--rm_sise", "1k"]])
def test_help_and_mistakes_are_answered_at_once(arguments, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "mlproject", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 1.5  # seconds of the processor: the machine may be busy
    assert answer.returncode == (0 if "--help" in arguments else 2)
    assert "Traceback" not in answer.stderr
