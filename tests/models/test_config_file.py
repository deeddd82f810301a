"""Files of a checkpoint that are not what they should be are refused at the look, in one line and at once."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.errors import UserError
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


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.jinja", "generation_config.json"])
def test_files_beside_the_weights_are_regular_and_of_a_sensible_size(whole, tmp_path, name):
    folder = shutil.copytree(whole, tmp_path / "m")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    assert f"{name} is no regular file" in refused(folder)
    (folder / name).unlink()
    with (folder / name).open("wb") as file:
        file.truncate(300 * 2**20)  # takes no room on the disk
    assert f"{name} has more than" in refused(folder)


@pytest.mark.parametrize("stated", [1, 3])
def test_a_configuration_with_other_layers_than_the_weights_is_refused(whole, tmp_path, stated):
    folder = shutil.copytree(whole, tmp_path / "m")
    config = transformers.AutoConfig.from_pretrained(folder, n_layer=2)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    assert inspect_policy(str(folder), "policy").parameters
    (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"n_layer": stated})
    )
    assert f"the weights transformer.h.{min(stated, 2)}.attn" in refused(folder)


def test_biases_that_the_configuration_denies_are_not_left_out(tmp_path):
    tokenizer = byte_tokenizer(300, chat=False)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        attention_bias=True,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention_bias": False}))
    assert "no place for the weights model.layers.0.self_attn.k_proj.bias" in refused(tmp_path)


def test_buffers_and_other_towers_may_be_left_over(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights |= {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
        "visual.blocks.0.mlp.weight": torch.ones(2, 2),
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert inspect_policy(str(folder), "policy").parameters
