"""A step that is killed at random moments ends with the same weights, curve and metrics as one that is left alone."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.killed_steps import copy_store, die_in_a_state, execute_until_done, lost_seconds, remains

from mlproject.config.schema import load_config
from mlproject.execution.executors import LocalExecutor
from mlproject.execution.progress import Progress
from mlproject.execution.scheduler import Scheduler
from mlproject.names import Kind
from mlproject.pipeline.step import Step, upstream
from mlproject.pipeline.study import plan_study
from mlproject.tracking.states import states_folder
from mlproject.tracking.store import Store, open_store

OPTIONS = {
    "sft_examples": 3200, "sft_batch_size": 16, "gold_comparisons": 600, "gold_batch_size": 16,
    "n_comparisons": 600, "rm_batch_size": 8, "rm_sizes": "1k", "curve_prompts": 16, "pool_samples": 64,
    "ppo_updates": 10, "ppo_batch_size": 32, "bootstrap": 20,
}  # fmt: skip
CHANGING: dict[str, Any] = {
    "kl_coef": 0.1, "kl_target": "0.2", "reference_reset": 3, "gradient_penalty": 0.01, "reward_threshold": "0.2",
}  # fmt: skip
"""A penalty whose coefficient and reference are part of the state, and a constraint with its multiplier."""
FORECAST = {"kl_coef": 0.05, "kl_target": "forecast", "reward_threshold": "forecast"}
KINDS = {
    "initial policy": (Kind.INITIAL_POLICY, {}),
    "gold": (Kind.GOLD_RM, {}),
    "proxy": (Kind.PROXY_RM, {}),
    "ppo": (Kind.POLICY_RUN, {}),
    **{method: (Kind.POLICY_RUN, {"methods": method} | CHANGING) for method in ("grpo", "rloo", "reinforce")},
    "forecast": (Kind.POLICY_RUN, FORECAST),
    "samples": (Kind.POOL_SAMPLES, {"pool_samples": 4096}),  # batches are of 2,048 samples
    "pool": (Kind.POOL, {"pool_samples": 4096}),
    "best-of-n": (Kind.POLICY_RUN, {"pool_samples": 4096, "methods": "best-of-n"}),
    "comparisons": (Kind.COMPARISONS, {"n_comparisons": 12_000}),
    "bf16": (Kind.PROXY_RM, {"mixed_precision": "bf16", "accumulation": 2}),
    "lora": (Kind.POLICY_RUN, {"lora_rank": 4, "ppo_mixed_precision": "bf16", "accumulation": 2}),
    "dropout": (Kind.PROXY_RM, {"reward": "warm", "ensemble_members": 2, "rm_sizes": "25k"}),
    "text": (Kind.PROXY_RM, {"rm_text_weight": 0.1, "rm_start": "policy", "rm_sizes": "25k"}),
    "dpo": (Kind.POLICY_RUN, {"methods": "dpo", "align_updates": 60}),
    "kto": (
        Kind.POLICY_RUN,
        {"methods": "kto", "align_updates": 60, "align_mixed_precision": "bf16", "accumulation": 2},
    ),
}
"""Kind of run, and options with which a step of it lasts."""
METHODS = {"lora": "ppo", "forecast": "ppo"} | {
    name: name for name in ("ppo", "best-of-n", "grpo", "rloo", "reinforce", "dpo", "kto")
}
OPERATIONS = 9
"""Of one state (write, flush, digest, rename, flush the folder, remove the last but one), and the first of the next."""
KILLS = int(os.environ.get("MLPROJECT_TEST_KILLS", "30"))
SECONDS = 0.02
"""Between two states: several in every life."""
LAPTOP_SECONDS = 5.0
"""Between two states of the steps of the default study, which take less than the default of 60 s."""


@pytest.fixture(scope="module")
def steps() -> dict[str, Step]:
    def planned(name: str, kind: str, options: Mapping[str, Any]) -> Step:
        plan = upstream(plan_study(load_config("smoke", OPTIONS | options)).steps)
        return next(
            step
            for step in plan
            if step.kind == kind
            and step.params.get("method") == METHODS.get(name)
            and (name != "dropout" or step.params.get("dropout"))
        )

    return {name: planned(name, kind, options) for name, (kind, options) in KINDS.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Store]]:
    """A store for steps that are executed without a disturbance, and without a state."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield folder, open_store("overoptimization")


def execute_alone(store: Store, step: Step) -> None:
    """Execute a step and what it reads, where they were not."""
    scheduler = Scheduler(store, "", LocalExecutor(2), Progress(), 0)
    scheduler.run([step])
    scheduler.close()


def seconds_alone(undisturbed: tuple[Path, Store], step: Step, folder: Path, seconds: float = SECONDS) -> float:
    """How long a step takes that saves states, and that nothing happens to."""
    source, original = undisturbed
    execute_alone(original, step)
    store = copy_store(source, folder / "alone", step)
    begun = time.perf_counter()
    execute_until_done(store, step, seconds, [])
    alone = time.perf_counter() - begun
    assert remains(store, step).differences(remains(original, step)) == []
    return alone


def kill_and_compare(
    undisturbed: tuple[Path, Store], step: Step, folder: Path, lives: list[float], seconds: float = SECONDS
) -> list[float]:
    """Kill a step after so many seconds each; says what each kill cost."""
    source, original = undisturbed
    store = copy_store(source, folder, step)
    lost = lost_seconds(*execute_until_done(store, step, seconds, lives))
    left = remains(store, step)
    assert left.differences(remains(original, step)) == []
    assert len(left.run_ids) == 1 and left.status == "FINISHED"
    assert not states_folder(store).exists()
    return lost


def moments(dice: random.Random, alone: float, kills: int) -> list[float]:
    """Random lives that are together shorter than a step takes alone."""
    return [alone * dice.uniform(0, 0.8 / kills) for _ in range(kills)]


def test_a_killed_step_goes_on_bit_for_bit(
    undisturbed: tuple[Path, Store], steps: dict[str, Step], tmp_path: Path
) -> None:
    alone = seconds_alone(undisturbed, steps["ppo"], tmp_path)
    assert kill_and_compare(undisturbed, steps["ppo"], tmp_path / "killed", moments(random.Random(1), alone, 2))


def test_a_step_that_is_asked_to_end_saves_its_state_first(
    undisturbed: tuple[Path, Store], steps: dict[str, Step], tmp_path: Path
) -> None:
    """With a state every hour, nothing is saved but by the signal."""
    source, original = undisturbed
    execute_alone(original, steps["ppo"])
    store = copy_store(source, tmp_path / "ended", steps["ppo"])
    interrupted, _ = execute_until_done(store, steps["ppo"], 3600, [0.0, 0.0], signal.SIGTERM)
    assert interrupted
    assert remains(store, steps["ppo"]).differences(remains(original, steps["ppo"])) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_thirty_kills_of_every_kind_of_step(
    undisturbed: tuple[Path, Store], steps: dict[str, Step], tmp_path: Path, name: str
) -> None:
    dice, alone, kills = random.Random(2), seconds_alone(undisturbed, steps[name], tmp_path), 0
    for attempt in range(100):
        lives = moments(dice, alone, dice.randint(1, 6))
        kills += len(kill_and_compare(undisturbed, steps[name], tmp_path / str(attempt), lives))
        if kills >= KILLS:
            print(f"{name}: {kills} kills of {attempt + 1} executions, each of {alone:.0f} s alone")
            return
    raise AssertionError(f"only {kills} kills")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.GOLD_RM, Kind.POLICY_RUN])
def test_five_kills_of_a_step_of_the_default_study_lose_little(
    undisturbed: tuple[Path, Store], tmp_path: Path, kind: str
) -> None:
    steps = upstream(plan_study(load_config("laptop", {"rm_sizes": "1k", "seeds": "0", "methods": "ppo"})).steps)
    step = next(step for step in steps if step.kind == kind)
    alone = seconds_alone(undisturbed, step, tmp_path, LAPTOP_SECONDS)
    dice, lost = random.Random(4), []
    for attempt in range(5):
        lives = [alone * dice.uniform(0.1, 0.95)]
        lost += kill_and_compare(undisturbed, step, tmp_path / str(attempt), lives, LAPTOP_SECONDS)
    print(f"{step.name}, {alone:.0f} s alone: lost {', '.join(f'{each:.1f}' for each in lost)} s")
    assert len(lost) == 5 and max(lost) < LAPTOP_SECONDS + 5


@pytest.mark.slow
def test_a_step_that_dies_before_any_file_operation_of_a_state_goes_on_bit_for_bit(
    undisturbed: tuple[Path, Store], steps: dict[str, Step], tmp_path: Path
) -> None:
    """Through one whole state and into the next, which removes one before it."""
    source, original = undisturbed
    step = steps["proxy"]
    execute_alone(original, step)
    for operation in range(OPERATIONS):
        store = copy_store(source, tmp_path / str(operation), step)
        assert die_in_a_state(store, step, SECONDS, operation), "more operations than the step has"
        execute_until_done(store, step, SECONDS, [])
        left = remains(store, step)
        assert left.differences(remains(original, step)) == []
        assert len(left.run_ids) == 1 and left.status == "FINISHED"
        assert not states_folder(store).exists()
