"""Fingerprints depend on the content of a user's files, and not on their dates."""

from __future__ import annotations

import os
import sys

import pytest
from tests.support.checkpoints import byte_tokenizer, save_checkpoint, write_preferences, write_prompts

from mlproject.config.schema import load_config
from mlproject.pipeline.step import upstream
from mlproject.pipeline.study import plan_study

FUNCTION = "def score(prompts, responses):\n    return [len(response) for response in responses]\n"


@pytest.fixture
def user_study(tmp_path, monkeypatch):
    """A folder with a user's files, and a function that plans a study of them: fingerprints by the name of the step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    plain = byte_tokenizer(300, chat=False)
    save_checkpoint(tmp_path / "policy", "gpt2", plain, reward=False)
    save_checkpoint(tmp_path / "rm", "gpt_neox", plain, reward=True)
    save_checkpoint(tmp_path / "base", "gpt_neox", plain, reward=False)
    write_prompts(tmp_path / "prompts.jsonl")
    write_preferences(tmp_path / "preferences.jsonl")
    (tmp_path / "mine.py").write_text(FUNCTION)

    def plan(**options: str) -> dict[str, str]:
        defaults = {
            "world": "files", "policy": "./policy", "prompts": "./prompts.jsonl", "gold": "mine:score",
            "preferences": "./preferences.jsonl", "rm_sizes": "1k,./rm,./base", "search_rm_sizes": "1k", "seeds": "0",
            "methods": "best-of-n", "curve_prompts": "8", "audit_prompts": "8",
        }  # fmt: skip
        return {
            step.name: step.fingerprint for step in upstream(plan_study(load_config("smoke", defaults | options)).steps)
        }

    return tmp_path, plan


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def append(text):
    return lambda path: path.write_text(path.read_text() + text)


CHANGES = {
    # file: (change, words in the names of the steps that depend on it)
    "prompts.jsonl": (append('{"prompt": "one more"}\n'), None),
    "policy/model.safetensors": (flip_last_byte, None),
    "policy/tokenizer_config.json": (append("\n"), None),
    "rm/model.safetensors": (flip_last_byte, ["proxy RM rm ", "rm seed", "law"]),
    "base/model.safetensors": (flip_last_byte, ["proxy RM base ", "base seed", "law"]),
    "mine.py": (append("\n# another gold\n"), ["mine:score", "pool", "proxy RM", "seed", "law"]),
}


@pytest.mark.parametrize("file", CHANGES)
def test_a_changed_file_changes_the_fingerprints_of_the_steps_that_depend_on_it(file, user_study):
    folder, plan = user_study
    before = plan()
    assert len(before) >= 11
    path = folder / file
    os.utime(path, ns=(2**60, 2**61))
    assert plan() == before, "only its date has changed"
    change, words = CHANGES[file]
    change(path)
    os.utime(path, ns=(2**61, 2**62))
    after = plan()
    assert after.keys() == before.keys()
    changed = {name for name in before if before[name] != after[name]}
    if words is None:
        assert changed == set(before), "every step depends on policy and prompts"
    else:
        assert changed == {name for name in before if any(word in name for word in words)}
        assert changed < set(before)


def test_changed_comparisons_change_the_fingerprints_of_reward_models(user_study):
    folder, plan = user_study
    before = plan(gold="./rm")
    write_preferences(folder / "preferences.jsonl", 121)
    after = plan(gold="./rm")
    changed = {name for name in before if before[name] != after[name]}
    assert "comparisons from preferences" in changed
    assert {name for name in before if name.startswith(("proxy RM 1k", "proxy RM base"))} <= changed
    assert "initial policy policy" not in changed, "its prompts are in another file"
    without_prompts = plan(gold="./rm", prompts="")
    write_preferences(folder / "preferences.jsonl", 122)
    assert plan(gold="./rm", prompts="")["initial policy policy"] != without_prompts["initial policy policy"]


def test_steps_of_checkpoints_that_are_laid_out_in_another_way_than_before_have_version_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_prompts(tmp_path / "prompts.jsonl")
    for chat in (False, True):
        tokenizer = byte_tokenizer(320, chat=chat)
        for name, reward in (("policy", False), ("base", False), ("rm", True)):
            save_checkpoint(tmp_path / ("chat" if chat else "plain") / name, "gpt_neox", tokenizer, reward=reward)

    def versions(policy: str, rms: str) -> dict[str, int]:
        options = {
            "world": "files", "policy": f"./{policy}/policy", "prompts": "./prompts.jsonl", "gold": f"./{rms}/rm",
            "rm_sizes": f"1k,./{rms}/rm,./{rms}/base", "search_rm_sizes": "1k", "seeds": "0", "methods": "best-of-n",
            "curve_prompts": "8", "audit_prompts": "8",
        }  # fmt: skip
        steps = upstream(plan_study(load_config("smoke", options)).steps)
        kinds = ("initial-policy", "gold-rm", "proxy-rm")
        return {step.name: step.version for step in steps if step.kind in kinds}

    policy, gold, trained = "initial policy policy", "gold RM rm", [f"proxy RM {rm} seed 0" for rm in ("rm", "base")]
    everything = {policy: 1, gold: 1, "proxy RM 1k seed 0": 1, **dict.fromkeys(trained, 1)}
    assert versions("plain", "plain") == everything, "as 0.1.0 had them"
    assert versions("chat", "plain") == {**everything, policy: 2}
    assert versions("plain", "chat") == {**everything, gold: 2, **dict.fromkeys(trained, 2)}
