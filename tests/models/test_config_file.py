"""Files of a checkpoint that are not what they should be are refused at the look, in one line and at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.errors import UserError
from mlproject.models import chat_template
from mlproject.models.inspection import inspect_policy


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("whole") / "m", "gpt2", byte_tokenizer(300, chat=True), reward=False)


def refused(folder: Path) -> str:
    since = time.process_time()
    with pytest.raises(UserError) as error:
        inspect_policy(str(folder), "policy")
    assert time.process_time() - since < 5
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).startswith(f"policy={folder}: must ")
    return str(error.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n_layer": 10**12}, "n_layer in its config.json is larger than 2,000"),
        ({"num_labels": 10**9}, "num_labels in its config.json is larger than 100,000"),
        ({"text_config": {"num_hidden_layers": 10**6}}, "num_hidden_layers in its config.json is larger"),
        ({"n_layer": 0}, "n_layer in its config.json is 0"),
        ({"n_head": -1}, "n_head in its config.json is -1"),
        ({"architectures": [3]}, "architectures in its config.json is no list of names"),
        ({"architectures": "GPT2LMHeadModel"}, "architectures in its config.json is no list of names"),
        ({"n_embd": "wide"}, ""),
        ({"n_embd": None}, ""),
        ({"n_head": 7}, ""),
        ({"vocab_size": -1}, ""),
        ({"vocab_size": [1]}, ""),
        ({"activation_function": "none of these"}, ""),
        ({"model_type": "t5"}, ""),
        ({"model_type": 3}, ""),
    ],
)
def test_a_value_that_makes_no_model(whole, tmp_path, fields, said):
    folder = shutil.copytree(whole, tmp_path / "m")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | fields))
    assert said in refused(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "null", "[" * 100_000, '{"a":' * 100_000, "{}", '{"n_layer": ' + "9" * 5000 + "}"]
)
def test_a_file_that_is_no_configuration(whole, tmp_path, content):
    folder = shutil.copytree(whole, tmp_path / "m")
    (folder / "config.json").write_text(content)
    refused(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_pipes_and_loops_do_not_hang(whole, tmp_path, name):
    folder = shutil.copytree(whole, tmp_path / "m")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    refused(folder)


def test_a_chat_template_that_goes_on_and_on_is_interrupted(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(chat_template, "LONGEST_SECONDS", 0.2)
    folder = shutil.copytree(whole, tmp_path / "m")
    (folder / "chat_template.jinja").write_text(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    )
    with pytest.raises(UserError, match=r"its chat template must .*takes longer than 0\.2 seconds"):
        inspect_policy(str(folder), "policy")
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
