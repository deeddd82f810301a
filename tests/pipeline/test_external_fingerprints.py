"""What somebody brings is known by its content: a change moves whatever depends on it, a new date moves nothing."""

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
def mine(tmp_path, monkeypatch):
    """A folder with everything, and the function that lays out a study of it: fingerprints by the step's name."""
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

    def laid_out(**options: str) -> dict[str, str]:
        given = {
            "world": "files", "policy": "./policy", "prompts": "./prompts.jsonl", "gold": "mine:score",
            "preferences": "./preferences.jsonl", "rm_sizes": "1k,./rm,./base", "search_rm_sizes": "1k", "seeds": "0",
            "methods": "best-of-n", "curve_prompts": "8", "audit_prompts": "8",
        }  # fmt: skip
        return {
            step.name: step.fingerprint for step in upstream(plan_study(load_config("smoke", given | options)).steps)
        }

    return tmp_path, laid_out


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def append(text):
    return lambda path: path.write_text(path.read_text() + text)


CHANGES = {
    # file: (change, words of what depends on it: all else stays)
    "prompts.jsonl": (append('{"prompt": "one more"}\n'), None),
    "policy/model.safetensors": (flip_last_byte, None),
    "policy/tokenizer_config.json": (append("\n"), None),
    "rm/model.safetensors": (flip_last_byte, ["proxy RM rm ", "rm seed", "law"]),
    "base/model.safetensors": (flip_last_byte, ["proxy RM base ", "base seed", "law"]),
    "mine.py": (append("\n# another judge\n"), ["mine:score", "pool", "proxy RM", "seed", "law"]),
}


@pytest.mark.parametrize("file", CHANGES)
def test_a_changed_file_moves_what_depends_on_it_and_nothing_else(file, mine):
    folder, laid_out = mine
    before = laid_out()
    assert len(before) >= 11
    path = folder / file
    os.utime(path, ns=(2**60, 2**61))
    assert laid_out() == before, "only its date has changed"
    change, words = CHANGES[file]
    change(path)
    os.utime(path, ns=(2**61, 2**62))
    after = laid_out()
    assert after.keys() == before.keys()
    moved = {name for name in before if before[name] != after[name]}
    if words is None:
        assert moved == set(before), "everything stands on policy and prompts"
    else:
        assert moved == {name for name in before if any(word in name for word in words)}
        assert moved < set(before)


def test_changed_comparisons_move_what_learns_from_them(mine):
    folder, laid_out = mine
    before = laid_out(gold="./rm")
    write_preferences(folder / "preferences.jsonl", 121)
    after = laid_out(gold="./rm")
    moved = {name for name in before if before[name] != after[name]}
    assert "comparisons of your own" in moved
    assert {name for name in before if name.startswith(("proxy RM 1k", "proxy RM base"))} <= moved
    assert "initial policy policy" not in moved, "its prompts are in a file of their own"
    given_alone = laid_out(gold="./rm", prompts="")
    write_preferences(folder / "preferences.jsonl", 122)
    assert laid_out(gold="./rm", prompts="")["initial policy policy"] != given_alone["initial policy policy"]
