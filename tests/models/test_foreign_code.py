"""Nothing that lies in a model's folder is ever executed, and nobody is asked whether it may be."""

from __future__ import annotations

import ast
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.errors import UserError
from mlproject.models.checkpoints import load_policy_checkpoint, load_reward_checkpoint
from mlproject.models.inspection import inspect_policy, inspect_reward_model
from mlproject.models.scorers import load_reward_model

SOURCES = Path(__file__).parents[2] / "src" / "mlproject"
CODE = """
import os
open(os.environ["EXECUTED"], "w").close()
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
class C(GPT2Config): model_type = "evil"
class M(GPT2LMHeadModel): config_class = C
class T(PreTrainedTokenizerFast): pass
"""


class Bomb:
    """Executes code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def change(path: Path, **fields) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def own_config(folder: Path) -> None:
    names = {f"Auto{name}": "evil.M" for name in ("ModelForCausalLM", "ModelForSequenceClassification", "Model")}
    change(folder / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.C", **names})


def own_model(folder: Path) -> None:
    change(folder / "config.json", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})


def own_tokenizer(folder: Path) -> None:
    change(folder / "tokenizer_config.json", tokenizer_class="T", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]})


def own_generation(folder: Path) -> None:
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(CODE)


def template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(
        "{{ cycler.__init__.__globals__.os.system('touch executed') }}{{ messages[0].content }}"
    )


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def bomb(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"lm_head.weight": Bomb()}))


def divided_bomb(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "part.pt").write_bytes(pickle.dumps({"lm_head.weight": Bomb()}))
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "part.pt"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def index_of_bomb(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "part.bin").write_bytes(pickle.dumps({"lm_head.weight": Bomb()}))
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "part.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))


@pytest.fixture(autouse=True)
def _nobody_is_there(monkeypatch, tmp_path):
    def asked(*prompt):
        pytest.fail(f"asked on the terminal: {prompt}")

    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setenv("EXECUTED", str(tmp_path / "executed"))
    monkeypatch.chdir(tmp_path)


REFUSED = {
    own_config: "code in a model's folder is not executed",
    template: "chat template",
    pickled: "must have its weights in safetensors, since a pickle such as pytorch_model.bin",
    bomb: "save it with save_pretrained",
    divided_bomb: "a pickle such as part.pt",
    index_of_bomb: "a pickle such as part.bin",
    adapter: "not an adapter",
}


@pytest.mark.parametrize("reward", [False, True], ids=["policy", "reward model"])
@pytest.mark.parametrize("mischief", [own_model, own_tokenizer, own_generation, *REFUSED], ids=lambda f: f.__name__)
def test_code_in_a_folder_is_not_executed(tmp_path, mischief, reward):
    folder = save_checkpoint(tmp_path / "m", "gpt2", byte_tokenizer(300, chat=True), reward=reward)
    (folder / "evil.py").write_text(CODE)
    mischief(folder)
    inspect = inspect_reward_model if reward else inspect_policy
    load = load_reward_checkpoint if reward else load_policy_checkpoint
    if mischief in REFUSED:
        with pytest.raises(UserError) as refused:
            load(inspect("./m", "policy"), "policy")
        assert REFUSED[mischief] in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
    else:  # transformers has a class of its own for these
        load(inspect("./m", "policy"), "policy")
    assert not (tmp_path / "executed").exists()


def test_the_loading_of_a_saved_reward_model_executes_nothing_either(tmp_path):
    folder = save_checkpoint(tmp_path / "m", "gpt2", byte_tokenizer(300, chat=False), reward=True)
    bomb(folder)
    with pytest.raises(UserError, match="must have its weights in safetensors"):
        load_reward_model(folder, None)
    assert not (tmp_path / "executed").exists()


def test_every_load_says_that_no_code_of_a_model_is_trusted():
    found = 0
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            place = f"{path.relative_to(SOURCES)}:{node.lineno}"
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if node.func.attr in ("from_pretrained", "from_config") and "GenerationConfig" not in ast.unparse(node):
                found += 1
                assert options.get("trust_remote_code") == "False", place
                is_model = "ModelFor" in ast.unparse(node.func) or ast.unparse(node.func) == "auto.from_pretrained"
                if is_model and node.func.attr == "from_pretrained":
                    assert options.get("use_safetensors") == "True", place
            assert ast.unparse(node.func) not in (
                "torch.load",
                "pickle.load",
                "joblib.load",
                "mlflow.pyfunc.load_model",
            )
    assert found >= 8
