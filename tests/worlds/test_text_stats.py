"""Signs of over-optimization, counted by hand."""

import subprocess
import sys

import pytest

from mlproject.worlds import load_world

RESPONSES = [
    "sorry . please please check cable . maybe simply thanks .",
    "",
    "thanks",
    "clever question , clever choice",
]


def test_signs_are_those_counted_by_hand() -> None:
    signs = load_world("helpdesk", seed=0).text_stats(RESPONSES)
    assert signs["length"].tolist() == [11, 0, 1, 5]
    assert signs["repetition"] == pytest.approx([3 / 11, 0, 0, 1 / 5])  # please, two full stops; clever
    assert signs["distinct-2"] == pytest.approx([1, 1, 1, 1])
    assert signs["courtesy"].tolist() == [3, 0, 1, 0]
    assert signs["apologies"].tolist() == [1, 0, 0, 0]
    assert signs["flattery"].tolist() == [0, 0, 0, 2]
    assert signs["hedges"].tolist() == [1, 0, 0, 0]
    assert signs["filler"].tolist() == [1, 0, 0, 0]


def test_a_loop_has_few_distinct_pairs_and_much_repetition() -> None:
    signs = load_world("helpdesk", seed=0).text_stats(["a b a b a b"])
    assert signs["distinct-2"][0] == pytest.approx(2 / 5)
    assert signs["repetition"][0] == pytest.approx(4 / 6)


def test_worlds_load_without_torch_and_transformers() -> None:
    code = (
        "import sys, mlproject.worlds as w; w.load_world('helpdesk', 0).prompts('train', 5);"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
