"""Weights that hold nan or infinity are found in the files of a checkpoint, whatever their type."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.errors import UserError
from mlproject.models.inspection import inspect_policy, inspect_reward_model
from mlproject.models.weights import broken_weights

TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


def saved(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize(("value", "word"), [(math.nan, "nan"), (math.inf, "infinity"), (-math.inf, "infinity")])
def test_one_value_is_enough(tmp_path, dtype, value, word):
    tensors = {"a.weight": torch.ones(3, 2, dtype=dtype), "b.weight": torch.ones(4, dtype=dtype), "n": torch.arange(3)}
    assert broken_weights(saved(tmp_path / "whole", tensors), 0) == ""
    tensors["b.weight"][2] = value
    assert broken_weights(saved(tmp_path / "broken", tensors), 0) == f"b.weight holds {word} in 1 of 4 values"


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32], ids=str)
def test_integers_are_no_weights_but_may_be_masks(tmp_path, dtype):
    tensors = {"a.weight": torch.ones(3, 2), "attn.bias": torch.ones(3, dtype=torch.uint8), "n": torch.arange(3)}
    assert broken_weights(saved(tmp_path / "whole", tensors), 0) == ""
    tensors["score.weight"] = torch.ones(1, 2, dtype=dtype)
    problem = "score.weight holds integers, as quantised weights are"
    assert broken_weights(saved(tmp_path / "quantised", tensors), 0) == problem


def test_every_file_of_a_divided_checkpoint_is_read(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.full((2,), math.nan)}, tmp_path / "model-00002-of-00002.safetensors")
    assert broken_weights(tmp_path, 0) == "b holds nan in 2 of 2 values"


def test_an_output_bias_may_exclude_tokens_and_nothing_else_may_be_infinite(tmp_path):
    mask = torch.tensor([0.0, -math.inf])
    assert broken_weights(saved(tmp_path / "mask", {"lm_head.bias": mask}), 0) == ""
    assert "infinity" in broken_weights(saved(tmp_path / "gain", {"lm_head.bias": -mask}), 0)
    assert "infinity" in broken_weights(saved(tmp_path / "weight", {"lm_head.weight": mask}), 0)


@pytest.mark.parametrize(("option", "reward"), [("policy", False), ("gold", True)])
def test_a_checkpoint_with_such_weights_is_refused_in_one_line_that_names_the_tensor(tmp_path, option, reward):
    folder = save_checkpoint(tmp_path / "m", "llama", byte_tokenizer(300, chat=True), reward=reward)
    inspect = inspect_reward_model if reward else inspect_policy
    assert inspect(str(folder), option).name == "m"
    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[0] = math.nan
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError) as error:
        inspect(str(folder), option)
    assert f"{option}={folder}: must have finite weights, but {name} holds nan in 1 of" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
