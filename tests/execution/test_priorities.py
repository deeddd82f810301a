"""Which step comes first: every chain of steps followed by hand, and durations of earlier runs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.execution.test_scheduler import recorded
from tests.execution.toy_steps import toy

from mlproject.config.schema import load_config
from mlproject.execution.priorities import Durations, longest_ways
from mlproject.pipeline.cost import estimated_seconds
from mlproject.pipeline.step import Step, upstream
from mlproject.pipeline.study import plan_study
from mlproject.tracking.store import Store

SMALL = {"gold_size": "100k", "rm_sizes": "1k", "rm_size": "1k", "search_rm_sizes": "1k"}


def run_of(step: Step, seconds: float, status: str = "FINISHED", **params: str) -> SimpleNamespace:
    stored = {name: str(value) for name, value in {**step.inherited_params, **step.params}.items()} | params
    info = SimpleNamespace(status=status, start_time=1000, end_time=int(1000 + 1000 * seconds))
    return SimpleNamespace(info=info, data=SimpleNamespace(tags={"mlproject.kind": step.kind}, params=stored))


def longest_chain(step: Step, plan: list[Step], seconds: dict[str, float]) -> float:
    """By trying every chain that begins with the step."""
    readers = [other for other in plan if step in other.inputs.values()]
    return seconds[step.name] + max((longest_chain(other, plan, seconds) for other in readers), default=0.0)


def test_the_way_to_the_end_is_that_of_the_longest_chain() -> None:
    rng = np.random.default_rng(0)
    steps: list[Step] = []
    for i in range(12):
        sources = {str(j): steps[j] for j in range(i) if rng.random() < 0.3}
        steps.append(toy(f"s{i}", i, sources))
    seconds = {step.name: float(rng.integers(1, 50)) for step in steps}
    plan = upstream(steps)
    found = longest_ways([(plan, 0)], SimpleNamespace(seconds=lambda step: seconds[step.name]))
    assert {step.name: found[step] for step in plan} == {step.name: longest_chain(step, plan, seconds) for step in plan}


def test_what_a_job_will_still_ask_for_is_part_of_the_way() -> None:
    seconds = {"a trial": 5.0, "a long step": 9.0}
    trial, long = toy("a trial", 1), toy("a long step", 2)
    found = longest_ways([([long], 0), ([trial], 1)], SimpleNamespace(seconds=lambda step: seconds[step.name]))
    assert (found[long], found[trial]) == (9.0, 10.0)


def test_a_step_takes_what_the_newest_whole_run_with_other_seeds_took() -> None:
    plan = plan_study(load_config("smoke", {"rm_sizes": "1k,13k", "seeds": "0,1"}))
    small, other_seed, large = (plan.proxies[key] for key in (("1k", 0), ("1k", 1), ("13k", 0)))
    durations = Durations([run_of(small, 99, "FAILED"), run_of(small, 7, seed="5"), run_of(small, 3)])
    assert durations.seconds(small) == durations.seconds(other_seed) == 7
    assert durations.seconds(large) == estimated_seconds(large)


@pytest.mark.parametrize(
    ("kind", "option", "less", "more"),
    [
        ("initial-policy", "sft_examples", 1000, 100_000),
        ("gold-rm", "gold_comparisons", 1000, 100_000),
        ("gold-rm", "gold_size", "3k", "100k"),
        ("comparisons", "n_comparisons", 1000, 100_000),
        ("pool-samples", "pool_samples", 64, 640),
        ("pool", "curve_prompts", 48, 480),
        ("proxy-rm", "rm_epochs", 1, 5),
        ("proxy-rm", "rm_sizes", "1k", "100k"),
        ("policy-run", "ppo_updates", 8, 80),
        ("policy-run", "rm_sizes", "1k", "100k"),
    ],
)
def test_an_estimate_grows_with_what_makes_a_step_long(kind, option, less, more) -> None:
    def seconds(value: object) -> float:
        config = load_config("smoke", SMALL | {option: value})
        return sum(estimated_seconds(step) for step in upstream([plan_study(config).law]) if step.kind == kind)

    assert 0 < seconds(less) < seconds(more)


def test_of_the_steps_that_could_start_the_one_with_the_longest_way_does(store: Store, monkeypatch) -> None:
    steps, executor = recorded(store)
    source = toy("source", 940, version=44)
    short, long = toy("short", 941, version=44), toy("long", 942, version=44)
    reader = toy("reader", 943, {"source": source}, version=44)
    seconds = {"source": 2.0, "short": 1.0, "long": 5.0, "reader": 4.0}
    monkeypatch.setattr(steps._durations, "seconds", lambda step: seconds[step.name])
    steps.run([short, long, reader])
    assert executor.names == ["source", "long", "reader", "short"]
