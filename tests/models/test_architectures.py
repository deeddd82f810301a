"""The table of architectures in docs/architectures.md says what happens with the installed transformers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.architecture_table import POLICIES, REWARD_MODELS, markdown, tried_policy, tried_reward_model

PAGE = (Path(__file__).parents[2] / "docs" / "architectures.md").read_text(encoding="utf-8")
TABLES = [dict(re.findall(r"^\| `(\S+)` \| (.+) \|$", part, re.M)) for part in PAGE.split("\n## ")[1:]]
USUAL = ("llama", "mistral", "gemma3_text", "bloom", "mamba", "qwen3_5_text", "lfm2", "bert", "t5")
USUAL_REWARD_MODELS = ("llama", "qwen3_next", "bert", "xlnet", "bart", "mamba")


@pytest.mark.parametrize("model_type", USUAL)
def test_a_usual_policy_is_read_as_the_table_says(model_type) -> None:
    assert tried_policy(model_type) == TABLES[0][model_type]


@pytest.mark.parametrize("model_type", USUAL_REWARD_MODELS)
def test_a_usual_reward_model_is_read_as_the_table_says(model_type) -> None:
    assert tried_reward_model(model_type) == TABLES[1][model_type]


def test_the_table_lists_what_is_tried() -> None:
    assert (tuple(TABLES[0]), tuple(TABLES[1])) == (POLICIES, REWARD_MODELS)
    works = [sum(not outcome.startswith("refused") for outcome in table.values()) for table in TABLES]
    assert works[0] >= 40 and works[1] >= 15
    assert [int(count) for count in re.findall(r"^(\d+) of \d+ work", PAGE, re.M)] == works


@pytest.mark.slow
def test_the_whole_table_is_what_happens() -> None:
    assert markdown() == PAGE
