"""Steps: what changes a result changes their fingerprint, and nothing else does; each carries its own function."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from mlproject.config.schema import load_config
from mlproject.experiments.run import experiment_step
from mlproject.experiments.spec import load_experiment
from mlproject.pipeline.step import RunRef, Step, fingerprint, upstream
from mlproject.pipeline.study import plan_study
from mlproject.search.search import search_step


def step(name: str = "a step", **changes) -> Step:
    content = {"kind": "proxy-rm", "version": 1, "params": {"size": "1k", "epochs": 2.0, "sizes": (1, 2)}}
    return Step(name=name, **{**content, **changes})


SOURCE = step("source", kind="comparisons", params={"n": 100})
BASE = step(inputs={"comparisons": SOURCE})


@pytest.mark.parametrize(
    "changed",
    [
        replace(BASE, params={**BASE.params, "size": "3k"}),
        replace(BASE, params={**BASE.params, "epochs": 2.5}),
        replace(BASE, params={**BASE.params, "sizes": (2, 1)}),
        replace(BASE, params={**BASE.params, "further": None}),
        replace(BASE, params={"size": "1k", "epochs": 2.0}),
        replace(BASE, version=2),
        replace(BASE, kind="gold-rm"),
        replace(BASE, inputs={}),
        replace(BASE, inputs={"policy": SOURCE}),
        replace(BASE, inputs={"comparisons": SOURCE, "policy": SOURCE}),
        replace(BASE, inputs={"comparisons": replace(SOURCE, params={"n": 101})}),
        replace(BASE, inputs={"comparisons": replace(SOURCE, version=2)}),
        replace(BASE, inputs={"comparisons": replace(SOURCE, inputs={"policy": step()})}),
    ],
)
def test_a_fingerprint_changes_with_whatever_changes_the_result(changed: Step) -> None:
    assert changed.fingerprint != BASE.fingerprint


@pytest.mark.parametrize(
    "same",
    [
        replace(BASE, name="another name"),
        replace(BASE, inherited_params={"world_seed": 3}),
        replace(BASE, tags={"mlproject.method": "ppo"}),
        replace(BASE, inputs={"comparisons": replace(SOURCE, name="another name", tags={"a": "b"})}),
        replace(BASE, params=dict(reversed(BASE.params.items()))),
    ],
)
def test_a_fingerprint_does_not_change_with_what_people_see(same: Step) -> None:
    assert same.fingerprint == BASE.fingerprint


def test_an_existing_run_stands_for_the_step_that_made_it() -> None:
    run = RunRef(run_id="abc", fingerprint=SOURCE.fingerprint, params={"n": "100"})
    assert step(inputs={"comparisons": run}).fingerprint == BASE.fingerprint
    assert step(inputs={"comparisons": replace(run, run_id="xyz")}).fingerprint == BASE.fingerprint
    assert step(inputs={"comparisons": replace(run, fingerprint="0")}).fingerprint != BASE.fingerprint


def test_equal_content_has_equal_fingerprints_in_every_process() -> None:
    content = {"b": [1, 2.5, "x"], "a": {"d": None, "c": True}}
    code = f"from mlproject.pipeline.step import fingerprint; print(fingerprint({content!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert fingerprint(content) == other == fingerprint(json.loads(json.dumps(content)))


@pytest.mark.parametrize("options", [{}, {"gold": "none", "gold_size": "25k", "test_rms": "same", "ensemble": 1}])
def test_every_planned_step_carries_a_function_that_another_process_can_load(options: dict) -> None:
    for each in upstream(plan_study(load_config("smoke", options)).steps):
        assert list(inspect.signature(each.fn).parameters) == ["run"]
        assert pickle.loads(pickle.dumps(each.fn)) is each.fn


def test_the_function_of_a_step_fills_its_run() -> None:
    filled: list[object] = []
    replace(BASE, fn=filled.append).execute("a run")
    assert filled == ["a run"]


def test_a_step_whose_run_the_caller_fills_has_no_function() -> None:
    config = load_config("smoke", {})
    plan = plan_study(config)
    for each in (search_step(config, plan), experiment_step(load_experiment("rm_size", quick=True), plan.policy_runs)):
        assert each.fn is None
        with pytest.raises(RuntimeError, match="its caller fills the run"):
            each.execute(None)


def test_upstream_puts_inputs_first_and_every_step_once() -> None:
    policy = step("policy", kind="initial-policy")
    gold = step("gold", kind="gold-rm", inputs={"policy": policy})
    again = step("gold under another name", kind="gold-rm", inputs={"policy": policy})
    proxies = [step(f"proxy {i}", params={"seed": i}, inputs={"gold": g}) for i, g in enumerate((gold, again))]
    law = step("law", kind="law", inputs={f"run-{i}": proxy for i, proxy in enumerate(proxies)})
    ordered = upstream([law, proxies[1], law])
    assert [each.name for each in ordered] == ["policy", "gold", "proxy 0", "proxy 1", "law"]


def test_upstream_leaves_out_runs_that_exist() -> None:
    reader = step(inputs={"gold": RunRef(run_id="abc", fingerprint="0")})
    assert upstream([reader]) == [reader]


@pytest.mark.parametrize("preset", ["smoke", "laptop"])
def test_a_whole_study_is_ordered_with_every_step_behind_its_inputs(preset: str) -> None:
    config = load_config(preset, {})
    ordered = upstream(plan_study(config).steps)
    place = {each.fingerprint: i for i, each in enumerate(ordered)}
    assert len(place) == len(ordered)
    for each in ordered:
        assert all(place[source.fingerprint] < place[each.fingerprint] for source in each.inputs.values())
    runs = [each for each in ordered if each.kind == "policy-run"]
    assert len(runs) == len(config.methods) * len(config.rm_sizes) * len(config.seeds)


def test_a_seed_moves_proxies_and_policy_runs_and_the_world_seed_moves_everything() -> None:
    def reused_kinds(**options) -> set[str]:
        before, after = (upstream(plan_study(load_config("smoke", given)).steps) for given in ({}, options))
        return {each.kind for each in before if each in after}

    assert {"initial-policy", "gold-rm", "comparisons"} <= reused_kinds(seeds="7")
    assert not {"proxy-rm", "policy-run", "law"} & reused_kinds(seeds="7")
    assert reused_kinds(world_seed="7") == set()
    assert "proxy-rm" in reused_kinds(kl_coef="0.1")
    assert "policy-run" in reused_kinds(kl_coef="0.1")  # best-of-n has no KL coefficient
    everything = {each.kind for each in upstream(plan_study(load_config("smoke", {})).steps)}
    assert reused_kinds(workers="3", experiment="other", study="other") == everything
