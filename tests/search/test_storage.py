"""What makes two searches the same one: everything that changes a trial's result."""

import json

import pytest

from mlproject.config.schema import load_config
from mlproject.search.storage import policy_run_options


@pytest.mark.parametrize(
    "option",
    [{"test_rms": "same"}, {"ensemble": "2"}, {"rm_checkpoint_lr": "1e-3"}, {"lora_rank": "4"}, {"rm_lr": "1e-3"}],
)
def test_an_option_that_changes_proxies_or_ppo_makes_another_search(option):
    assert policy_run_options(load_config("smoke", option)) != policy_run_options(load_config("smoke", {}))


def test_options_that_are_not_used_leave_a_search_what_it_was():
    known = json.loads(policy_run_options(load_config("smoke", {})))
    assert not {"test_rms", "ensemble", "rm_checkpoint_lr", "checkpoints", "lora_rank"} & set(known)
