"""The timeline against a study of five steps whose times are written down here."""

from __future__ import annotations

import time

import numpy as np
import pytest
from matplotlib.colors import to_hex
from tests.execution.toy_steps import toy

from mlproject.execution.assignment import Outcome
from mlproject.execution.timeline import summary_line, timeline_of
from mlproject.execution.usage import Meter, Usage
from mlproject.pipeline.step import Step
from mlproject.plotting.timeline_figure import by_group, group_of, timeline_figure

START = 1_000_000.0


def made(process: int, start: float, end: float, cpu: float | None, memory: int | None = 0) -> Outcome:
    return Outcome("run", False, end - start, 0.0, Usage(process, START + start, START + end, cpu, memory))


@pytest.fixture
def timeline() -> dict:
    """Policy (10 s), gold (20 s) beside samples (8 s), a pool of both, a reused step, and a search all the while."""
    policy, old = Step("policy", "initial-policy", 1, {}), toy("old", 5)
    gold = Step("gold", "gold-rm", 1, {}, inputs={"initial-policy": policy})
    samples = Step("samples", "pool-samples", 1, {}, inputs={"initial-policy": policy})
    pool = Step("pool", "pool", 2, {}, inputs={"gold-rm": gold, "samples": samples, "old": old})
    late = Step("late", "policy-run", 1, {"method": "ppo"}, inputs={"initial-policy": policy})
    search = Step("search", "search", 1, {}, inputs={"initial-policy": policy})
    outcomes = {
        old: Outcome("old run", reused=True),
        policy: made(11, 2, 12, 15.0, 300),
        gold: made(11, 12, 32, 19.0, 500),
        samples: made(22, 13, 21, 7.0, 200),
        pool: made(22, 33, 38, 5.0, 100),
        late: made(11, 36, 39, 3.0, 400),
        search: made(99, 12, 39, None, None),
    }
    requested = dict.fromkeys(outcomes, START) | {late: START + 35}
    return timeline_of(outcomes, requested, start=START, end=START + 40, own_cpu_seconds=1.0, cores=2)


def test_utilisation_is_processor_time_over_wall_time_and_cores(timeline) -> None:
    assert timeline["cpu_seconds"] == 15 + 19 + 7 + 5 + 3 + 1
    assert timeline["utilisation"] == 50 / (40 * 2)
    assert timeline["occupied"] == (10 + 20 + 8 + 5 + 3) / 40


def test_the_longest_chain_follows_inputs_and_leaves_out_what_waits(timeline) -> None:
    assert timeline["longest_chain"] == {"seconds": 35.0, "steps": ["policy", "gold", "pool"]}
    assert summary_line(timeline) == (
        "cores: 62% of 2 busy during 40 s, 1.15 steps at a time; longest chain 35 s: policy > gold > pool"
    )


def test_every_step_says_when_it_was_ready_and_for_what_it_had_waited(timeline) -> None:
    rows = {row["step"]: row for row in timeline["steps"]}
    assert [row["step"] for row in timeline["steps"]] == ["policy", "gold", "search", "samples", "pool", "late", "old"]
    assert {name: (row["ready"], row["waited_for"]) for name, row in rows.items() if not row["reused"]} == {
        "policy": (0.0, None),
        "gold": (12.0, "policy"),
        "samples": (12.0, "policy"),
        "pool": (32.0, "gold"),
        "late": (35.0, None),
        "search": (12.0, "policy"),
    }
    assert rows["old"] == {"step": "old", "kind": "law", "method": "", "run_id": "old run", "reused": True}


def test_nothing_is_said_where_nothing_was_executed() -> None:
    reused = timeline_of({toy("old"): Outcome("r", True)}, {}, start=0, end=1, own_cpu_seconds=0, cores=2)
    assert summary_line(reused) == ""


def test_kinds_are_summed_up(timeline) -> None:
    groups = {row.pop("group"): row for row in by_group(timeline)}
    assert groups["gold rm"] == {
        "executed": 1, "reused": 0, "seconds": 20.0, "cpu_seconds": 19.0, "waited": 0.0, "peak_memory": 500,
    }  # fmt: skip
    assert groups["ppo"]["waited"] == 1.0
    assert (groups["law"]["executed"], groups["law"]["reused"], groups["law"]["seconds"]) == (0, 1, None)
    assert groups["search"]["cpu_seconds"] is None and groups["search"]["seconds"] == 27.0


def test_every_bar_of_the_chart_stands_where_its_step_ran(timeline) -> None:
    lanes, kinds = timeline_figure(timeline).axes
    spans = {row["step"]: (row["start"], row["end"] - row["start"]) for row in timeline["steps"] if not row["reused"]}
    drawn = [(bar.get_x(), round(bar.get_width(), 6)) for bar in lanes.patches]
    assert sorted(drawn) == sorted(span for name, span in spans.items() if name != "search")
    by_lane = {11: 0, 22: 1}
    for bar in lanes.patches:
        [row] = [row for row in timeline["steps"] if not row["reused"] and row["start"] == bar.get_x()
                 and row["step"] != "search"]  # fmt: skip
        assert round(bar.get_y() + bar.get_height() / 2) == by_lane[row["process"]]
    names = [label.get_text() for label in kinds.get_yticklabels()]
    assert names[-1] == "law (1 reused)" and "ppo (1)" in names
    colours = {to_hex(bar.get_facecolor()) for bar in lanes.patches}
    assert len(colours) == len({group_of(row) for row in timeline["steps"] if row["step"] not in ("search", "old")})


def test_a_meter_sees_time_and_memory_of_its_own_step_alone() -> None:
    megabyte = 2**20
    before = Meter()
    assert np.ones(200 * megabyte // 8).sum() > 0  # and it is gone
    since = time.process_time()
    while time.process_time() - since < 0.05:
        pass
    usage, after = before.usage(), Meter().usage()
    assert usage.peak_memory - after.peak_memory > 150 * megabyte
    assert usage.cpu_seconds > 0.05 > after.cpu_seconds
    assert usage.start <= usage.end <= after.start
