"""Which steps several processes share, and how more processes than that are refused."""

from __future__ import annotations

import pytest

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.execution.assignment import Assignment
from mlproject.execution.distributed import TorchrunExecutor, world_size
from mlproject.pipeline.loading import new_accelerator
from mlproject.pipeline.step import Step, upstream
from mlproject.pipeline.study import plan_curve, plan_study
from mlproject.tracking.store import Store


def test_training_and_ppo_are_shared_and_every_other_step_is_executed_by_the_main_process_alone() -> None:
    steps = upstream(plan_study(load_config("smoke", {"ppo_rollout_batch": 16})).steps)
    shared = {step.params.get("method", step.kind) for step in steps if step.max_processes}
    alone = {step.params.get("method", step.kind) for step in steps if not step.max_processes}
    assert shared == {"initial-policy", "gold-rm", "proxy-rm", "ppo"}
    assert alone == {"comparisons", "pool-samples", "pool", "best-of-n", "law"}


@pytest.mark.parametrize(
    ("options", "processes", "refused"),
    [
        ({}, 2, "ppo_rollout_batch=0 with ppo_batch_size=64: allows at most 1 process, and 2 were started"),
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
            TorchrunExecutor().check(step)
        return
    with pytest.raises(UserError) as error:
        for step in steps:
            TorchrunExecutor().check(step)
    assert refused in str(error.value)
    assert "\n" not in str(error.value)


def test_execution_options_move_no_fingerprint_and_what_changes_results_does() -> None:
    def fingerprints(**options) -> list[str]:
        return [step.fingerprint for step in upstream([plan_curve(load_config("smoke", options), "ppo")])]

    plain = fingerprints()
    assert fingerprints(accumulation=8, gradient_checkpointing="yes") == plain
    assert fingerprints(ppo_rollout_batch=0, lora_rank=0) == plain
    for changed in (fingerprints(ppo_rollout_batch=16), fingerprints(lora_rank=4)):
        assert [a == b for a, b in zip(changed, plain, strict=True)] == [True] * (len(plain) - 1) + [False]


def test_every_step_that_trains_gets_the_options_that_save_memory() -> None:
    saving = {"accumulation": 8, "gradient_checkpointing": "yes"}
    config = load_config("smoke", {**saving, "ppo_rollout_batch": 16})
    kinds = {step.kind for step in upstream([plan_curve(config, "ppo")]) if step.execution_options == saving}
    assert kinds == {"initial-policy", "gold-rm", "proxy-rm", "policy-run"}


def test_a_step_that_is_not_shared_sees_one_process_and_the_next_step_sees_all(store: Store, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    processes: list[int] = []
    alone = Step("alone", "law", 1, {}, fn=lambda run: processes.append(new_accelerator().num_processes))
    outcome = TorchrunExecutor().submit(Assignment(store, alone, {}, "a study"), lambda share: None).result()
    assert outcome is not None and not outcome.reused
    assert processes == [1]
    assert world_size() == 2
