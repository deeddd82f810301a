"""Which steps several processes share, and what more processes than that are told."""

from __future__ import annotations

import pytest

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.execution import distributed
from mlproject.pipeline.loading import new_accelerator
from mlproject.pipeline.step import Step, upstream
from mlproject.pipeline.study import plan_curve, plan_study


def test_training_and_ppo_are_shared_and_everything_else_is_done_by_the_first_process_alone() -> None:
    steps = upstream(plan_study(load_config("smoke", {"ppo_rollout_batch": 16})).steps)
    shared = {step.kind if step.kind != "policy-run" else step.params["method"] for step in steps if step.max_processes}
    alone = {
        step.kind if step.kind != "policy-run" else step.params["method"] for step in steps if not step.max_processes
    }
    assert shared == {"initial-policy", "gold-rm", "proxy-rm", "ppo"}
    assert alone == {"comparisons", "pool", "best-of-n", "law"}


@pytest.mark.parametrize(
    ("options", "processes", "refused"),
    [
        ({}, 2, "ppo_rollout_batch=0 with ppo_batch_size=64: allows one process, and 2 were started"),
        ({"ppo_rollout_batch": 20}, 4, None),
        ({"ppo_rollout_batch": 20}, 5, "ppo_rollout_batch=20 with ppo_batch_size=64: allows at most 4 processes"),
        ({"ppo_rollout_batch": 4, "ppo_minibatches": 16}, 4, None),
        (
            {"ppo_rollout_batch": 4, "ppo_minibatches": 16},
            5,
            "ppo_minibatches=16 with ppo_batch_size=64: allows at most 4",
        ),
        ({"ppo_rollout_batch": 1, "rm_batch_size": 3}, 4, "rm_batch_size=3: allows at most 3 processes"),
    ],
)
def test_more_processes_than_can_share_a_step_are_refused_in_one_line(
    options: dict, processes: int, refused: str | None, monkeypatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    steps = upstream([plan_curve(load_config("smoke", options), "ppo")])
    if refused is None:
        for step in steps:
            distributed.check(step)
        return
    with pytest.raises(UserError) as error:
        for step in steps:
            distributed.check(step)
    assert refused in str(error.value)
    assert "\n" not in str(error.value)


def test_how_the_work_is_done_moves_no_fingerprint_and_what_changes_results_does() -> None:
    def marks(**options) -> list[str]:
        return [step.fingerprint for step in upstream([plan_curve(load_config("smoke", options), "ppo")])]

    plain = marks()
    assert marks(accumulation=8, gradient_checkpointing="yes") == plain
    assert marks(ppo_rollout_batch=0, lora_rank=0) == plain
    for changed in (marks(ppo_rollout_batch=16), marks(lora_rank=4)):
        assert [a == b for a, b in zip(changed, plain, strict=True)] == [True] * (len(plain) - 1) + [False]


def test_an_order_reaches_every_step_that_trains_with_the_options_that_save_memory() -> None:
    config = load_config("smoke", {"accumulation": 8, "gradient_checkpointing": "yes", "ppo_rollout_batch": 16})
    how: dict[str, dict] = {step.kind: dict(step.execution_options) for step in upstream([plan_curve(config, "ppo")])}
    wanted = {"accumulation": 8, "gradient_checkpointing": "yes"}
    assert {kind for kind, options in how.items() if options == wanted} == {
        "initial-policy", "gold-rm", "proxy-rm", "policy-run",
    }  # fmt: skip


def test_alone_the_first_process_knows_of_no_other_and_remembers_them_afterwards(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    seen: list[int] = []

    solo = Step("solo", "law", 1, {}, fn=lambda run: seen.append(new_accelerator().num_processes))
    distributed.work_of(None, solo, {})(None)
    assert seen == [1]
    assert distributed.world_size() == 2
