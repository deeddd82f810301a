"""Two searches are the same if they share everything that changes the result of a trial."""

import json

import pytest

from mlproject.config.schema import load_config
from mlproject.search.storage import shared_options


@pytest.mark.parametrize(
    "option",
    [{"test_rms": "same"}, {"ensemble": "2"}, {"rm_checkpoint_lr": "1e-3"}, {"lora_rank": "4"}, {"rm_lr": "1e-3"}],
)
def test_an_option_that_changes_proxies_or_ppo_makes_another_search(option):
    assert shared_options(load_config("smoke", option)) != shared_options(load_config("smoke", {}))


def test_options_that_are_not_used_do_not_identify_a_search():
    options = json.loads(shared_options(load_config("smoke", {})))
    assert not {"test_rms", "ensemble", "rm_checkpoint_lr", "checkpoints", "lora_rank"} & set(options)
