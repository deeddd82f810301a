"""Candidates are the proxy RMs with a complete curve in one evaluation context."""

import json
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from tests.registry import planted

from mlproject.curve import Curve
from mlproject.names import Metric, Role, Statistic, Tag
from mlproject.pipeline.comparisons import HELD_OUT
from mlproject.registry.candidates import (
    candidates_on_pool,
    evaluation_context,
    evaluation_context_of_proxy,
    evidence_of,
    settings_of_candidates,
)

METHOD = planted.METHOD


@pytest.fixture
def store(plant):
    return plant({("1k", 0): 0.8, ("3k", 0): 1.2}, length=1.5, repetition=0.2)


@pytest.fixture
def policy_runs(store):
    """Policy runs by size of the proxy RM."""
    client = store.client()
    runs = client.search_runs([store.policy_runs], f"tags.`{Tag.METHOD}` = '{METHOD}'")
    return {run.data.params["rm_size"]: run for run in runs}


def candidates(store, policy_runs):
    pool = json.loads(policy_runs["3k"].data.tags[Tag.INPUTS])[Role.POOL]
    by_id = candidates_on_pool(store.client(), store, planted.config(), pool)
    return {candidate.proxy.data.params["rm_size"]: candidate for candidate in by_id.values()}


def test_each_proxy_rm_is_a_candidate_with_its_curve_unless_the_curve_is_incomplete(store, policy_runs):
    both = candidates(store, policy_runs)
    assert {size: each.curves[METHOD].info.run_id for size, each in both.items()} == {
        size: run.info.run_id for size, run in policy_runs.items()
    }
    assert both["3k"].name == "3k seed 0"
    store.client().set_tag(policy_runs["1k"].info.run_id, Tag.COMPLETE, "false")
    assert set(candidates(store, policy_runs)) == {"3k"}


def test_a_run_that_learned_from_comparisons_is_no_candidate_and_disturbs_none(store, policy_runs):
    client, aligned = store.client(), policy_runs["1k"].info.run_id
    client.delete_tag(aligned, Tag.PROXY_RUN_ID)  # as a run of direct alignment on the same pool
    client.set_tag(aligned, Tag.METHOD, "dpo")
    assert set(candidates(store, policy_runs)) == {"3k"}


def test_candidates_are_read_in_as_many_requests_however_many_they_are_and_each_curve_once(
    plant, store, policy_runs, monkeypatch
):
    requests, curves, load = [], [], Curve.load
    for name in ("get_run", "search_runs"):
        asked = getattr(MlflowClient, name)
        monkeypatch.setattr(
            MlflowClient, name, lambda *args, asked=asked, **more: requests.append(asked) or asked(*args, **more)
        )
    monkeypatch.setattr(Curve, "load", lambda path: curves.append(path) or load(path))
    pool = json.loads(policy_runs["3k"].data.tags[Tag.INPUTS])[Role.POOL]
    for runs, further in ((2, {}), (4, {("13k", 0): 0.5}), (8, {("25k", 0): 0.5, ("1k", 0): 0.6, ("3k", 0): 0.7})):
        plant(further)
        plant(further, options={"bon_points": "5"})
        requests.clear()
        curves.clear()
        client, by_id = store.client(), candidates_on_pool(store.client(), store, planted.config(), pool)
        settings_of_candidates(client, planted.config(), by_id)
        assert sum(len(each.runs) for each in by_id.values()) == runs
        assert len(requests) == 2, "policy runs, proxy RMs"
        assert len(set(curves)) == len(curves) <= runs
    assert len(curves) == runs


def test_a_proxy_rm_of_another_experiment_is_a_candidate_too(store, policy_runs):
    elsewhere = replace(store, models=store.studies)
    assert set(candidates(elsewhere, policy_runs)) == {"1k", "3k"}


def test_the_best_policy_run_may_have_other_options_but_the_evidence_may_not(plant, store, policy_runs):
    plant({("3k", 0): 1.5}, options={"bon_points": "5"})
    candidate = candidates(store, policy_runs)["3k"]
    assert candidate.curves[METHOD].info.run_id == policy_runs["3k"].info.run_id
    assert candidate.best[METHOD].data.metrics[Metric.PEAK_GOLD] == pytest.approx(1.5)
    assert candidate.best[METHOD].data.params["bon_points"] == "5"


def test_the_context_of_a_proxy_rm_is_that_of_its_study(store, policy_runs):
    client, config = store.client(), planted.config()
    proxy = client.get_run(policy_runs["3k"].data.tags[Tag.PROXY_RUN_ID])
    of_study, of_proxy = evaluation_context(config), evaluation_context_of_proxy(client, config, proxy)
    assert of_proxy.pool.fingerprint == of_study.pool.fingerprint
    assert of_proxy.audit_pool.fingerprint == of_study.audit_pool.fingerprint != of_study.pool.fingerprint
    curve = of_proxy.curve(proxy, METHOD)
    assert curve.fingerprint == policy_runs["3k"].data.tags[Tag.FINGERPRINT]


def test_evidence_has_the_curve_and_the_text_statistics_of_start_and_peak(store, policy_runs):
    candidate = candidates(store, policy_runs)["3k"]
    evidence = evidence_of(store.client(), candidate, METHOD)
    assert evidence.curve.peak().gold == pytest.approx(1.2)
    assert evidence.trained["rm/val_accuracy"] == 0.8
    assert evidence.held_out == round(HELD_OUT * int(candidate.proxy.data.params["n_comparisons"]))
    assert evidence.signs_start == {Statistic.LENGTH: 1.0, Statistic.REPETITION: 0.1}
    assert evidence.signs_peak == {Statistic.LENGTH: 1.5, Statistic.REPETITION: 0.2}
