"""Policies behind a server, and pools from a file: against the same policy's own samples."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from tests.pipeline.test_external_steps import FolderRun
from tests.rewards.loopback import serving
from tests.rewards.policy_service import PolicyService
from tests.support.checkpoints import write_all

from mlproject.config.schema import Config, load_config
from mlproject.errors import UserError
from mlproject.models.generation import sample_responses
from mlproject.models.log_probs import log_probs_of
from mlproject.models.policy_server import PolicyServer
from mlproject.names import Artifact, Metric, Role
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.pipeline.external.policy import external_policy
from mlproject.pipeline.loading import load_policy, load_prompt_format, open_world
from mlproject.pipeline.pool import pool_samples
from mlproject.samples.responses import read_responses

PROMPTS, SAMPLES = 8, 64


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    files = write_all(tmp_path_factory.mktemp("user"))
    options = {
        "world": "files", "policy": str(files["policy"]), "prompts": str(files["prompts"]), "max_prompt_tokens": 60,
        "gold": "tests.support.checkpoints:word_count", "curve_prompts": PROMPTS, "audit_prompts": 8,
        "max_response_tokens": 6, "pool_samples": SAMPLES, "bon_n_max": 16,
    }  # fmt: skip
    return load_config("smoke", options)


class PoolRun(FolderRun):
    """A run of a step that reads the initial policy."""

    def __init__(self, step, folder, policy: FolderRun) -> None:
        self.resumption = None
        super().__init__(step, folder, {Role.INITIAL_POLICY: policy})


@pytest.fixture(scope="module")
def imported(config, tmp_path_factory):
    run = FolderRun(external_policy(config), tmp_path_factory.mktemp("policy") / "artifacts", {})
    run.inputs = {Role.INITIAL_POLICY: run}
    world = open_world(run)
    return run, world.prompts("curve", PROMPTS), load_prompt_format(run, world), load_policy(run.folder)


def local_log_prob(policy, responses) -> np.ndarray:
    with torch.no_grad():
        return log_probs_of(policy, responses.sequences).sum(1).double().numpy()


@pytest.mark.parametrize("form", ["token_ids", "token_id:"])
def test_a_served_policys_samples_have_the_log_probabilities_of_its_weights(imported, form):
    _, prompts, prompt_format, policy = imported
    with serving(PolicyService(policy, prompt_format, form)) as (url, requests):
        responses = PolicyServer(f"{url}/v1").sample(prompts, 150, prompt_format, seed=3)
    assert len(responses) == PROMPTS * 150 and responses.prompts[150] == prompts[1]
    assert responses.log_prob_B == pytest.approx(local_log_prob(policy, responses), abs=1e-4)
    assert {each[1]["n"] for each in requests[1:]} == {128, 22}, "no request asks for too many"
    assert {each[1]["top_k"] for each in requests[1:]} == {-1}
    own = sample_responses(policy, prompt_format, prompts, generator=torch.Generator().manual_seed(0),
                           samples_per_prompt=150)  # fmt: skip
    means = [x.log_prob_B.reshape(PROMPTS, 150).mean(1) for x in (responses, own)]
    noise = np.sqrt(2 * np.var(own.log_prob_B) / 150)
    assert np.abs(means[0] - means[1]).max() < 5 * noise and not np.allclose(*means)


def test_a_server_that_gives_texts_alone_is_read_and_one_without_log_probabilities_refused(imported):
    _, prompts, prompt_format, policy = imported
    service = PolicyService(policy, prompt_format, "text")
    with serving(service) as (url, _):
        responses = PolicyServer(f"{url}/v1").sample(prompts[:2], 4, prompt_format, seed=3)
        assert (responses.log_prob_B < 0).all()

    def without(path, content, number):
        status, body, headers = service(path, content, number)
        for choice in body.get("choices", []):
            choice["logprobs"] = None
        return status, body, headers

    with serving(without) as (url, _), pytest.raises(UserError, match=r"log-probability of each token.*pool=FILE"):
        PolicyServer(f"{url}/v1").sample(prompts[:2], 4, prompt_format, seed=3)
    with serving(lambda *request: (200, {"choices": []}, {})) as (url, _), pytest.raises(UserError, match="4 choices"):
        PolicyServer(f"{url}/v1").sample(prompts[:2], 4, prompt_format, seed=3)


ODD_CHOICES = {
    "nan": ({"token_logprobs": [float("nan"), -1.0]}, {}, "finite and at most 0, and returns nan"),
    "positive": ({"token_logprobs": [-1.0, 0.5]}, {}, "finite and at most 0, and returns 0.5"),
    "truth": ({"token_logprobs": [True, False]}, {}, "log-probability of each token"),
    "an integer of 400 digits": ({"token_logprobs": [-(10**400), -1]}, {}, "log-probability of each token"),
    "no object": ([], {}, "log-probability of each token"),
    "unknown tokens": ({}, {"token_ids": [10**9, 1]}, "tokens of the policy's vocabulary"),
    "negative tokens": ({}, {"token_ids": [-1, 1]}, "tokens of the policy's vocabulary"),
    "texts for tokens": ({}, {"token_ids": ["a", "b"]}, "tokens of the policy's vocabulary"),
    "token_id: of nothing": ({"tokens": ["token_id:x", "token_id:1"]}, {"token_ids": None}, "policy's vocabulary"),
    "more tokens than log-probabilities": ({}, {"token_ids": [1, 2, 3]}, "returns 3 tokens and 2 log-prob"),
    "more than asked for": ({"token_logprobs": [-1.0] * 9}, {"token_ids": [1] * 9}, "at most max_tokens=6"),
    "half a surrogate": ({}, {"token_ids": None, "text": "a\ud800"}, "token ids or a text"),
    "no text": ({}, {"token_ids": None, "text": None}, "token ids or a text"),
}


@pytest.mark.parametrize("name", ODD_CHOICES)
def test_what_no_policy_can_have_said_is_refused_in_one_line(imported, name):
    _, prompts, prompt_format, _ = imported
    said, choice, words = ODD_CHOICES[name]
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0]}
    whole = {"text": "a b", "finish_reason": "stop", "token_ids": [1, 2], **choice}
    whole["logprobs"] = {**logprobs, **said} if isinstance(said, dict) else said

    class Odd(PolicyServer):
        def request(self, url, *arguments, **named):
            return {"data": []} if url.endswith("/models") else {"choices": [whole]}

    with pytest.raises(UserError, match=words) as error:
        Odd("http://127.0.0.1:9/v1").sample(prompts[:1], 1, prompt_format, seed=1)
    assert "\n" not in str(error.value)


def test_a_pool_that_a_server_samples_reports_how_far_the_sampler_is_from_the_weights(config, imported, tmp_path):
    run, prompts, prompt_format, policy = imported
    with serving(PolicyService(policy, prompt_format, off=0.25)) as (url, _):
        served = config.replace(policy=f"{url}/v1", policy_weights=config.policy)
        step = pool_samples(served, run.step)
        assert step.fingerprint != pool_samples(config, run.step).fingerprint
        assert external_policy(served).fingerprint == run.step.fingerprint
        pool = PoolRun(step, tmp_path / "pool", run)
    samples = PoolSamples(pool.folder / Artifact.POOL_SAMPLES, prompts, prompt_format)
    assert samples.shape == (PROMPTS, SAMPLES)
    lengths = np.concatenate([block.sequences.response_lengths_B.numpy() for block in samples.blocks()])
    gap = pool.metrics[Metric.SAMPLER_KL]
    assert gap == pytest.approx(0.25 * lengths.mean(), abs=4 * pool.metrics[Metric.SAMPLER_KL_SE] + 1e-3)
    assert pool.metrics[Metric.SAMPLER_CHECKED] == 256
    assert json.loads((pool.folder / Artifact.POOL_CHECK).read_text())[Metric.SAMPLER_KL] == pytest.approx(gap)


@pytest.fixture(scope="module")
def table(imported) -> pd.DataFrame:
    _, prompts, prompt_format, policy = imported
    responses = sample_responses(
        policy, prompt_format, prompts, generator=torch.Generator().manual_seed(1), samples_per_prompt=SAMPLES + 2
    )
    return pd.DataFrame(
        {"prompt": responses.prompts, "completion": responses.texts, "cumulative_logprob": responses.log_prob_B}
    )


@pytest.mark.parametrize("form", ["long.parquet", "wide.jsonl", "without.parquet"])
def test_a_file_of_responses_becomes_the_pool_with_the_texts_that_it_holds(config, imported, table, form, tmp_path):
    run, prompts, prompt_format, policy = imported
    path = tmp_path / form
    if form == "wide.jsonl":
        wide = table.groupby("prompt", sort=False).agg(list).reset_index()
        wide.to_json(path, orient="records", lines=True)
    else:
        shuffled = table if form == "long.parquet" else table.drop(columns="cumulative_logprob")
        shuffled.to_parquet(path)
    step = pool_samples(config.replace(pool=str(path)), run.step)
    pool = PoolRun(step, tmp_path / "pool", run)
    samples = PoolSamples(pool.folder / Artifact.POOL_SAMPLES, prompts, prompt_format)
    [block] = samples.blocks()
    expected = [table[table.prompt == prompt].completion.tolist()[:SAMPLES] for prompt in prompts]
    roundtrip = [prompt_format.decode(prompt_format.encode([p] * SAMPLES, texts)) for p, texts in
                 zip(prompts, expected, strict=True)]  # fmt: skip
    assert np.array_equal(np.reshape(block.texts, (PROMPTS, SAMPLES)), roundtrip)
    log_prob_PN = samples.log_prob_PN
    if form == "without.parquet":
        assert log_prob_PN.ravel() == pytest.approx(local_log_prob(policy, block), abs=1e-4)
        assert Metric.SAMPLER_KL not in pool.metrics
    else:
        given = [table[table.prompt == prompt].cumulative_logprob.to_numpy()[:SAMPLES] for prompt in prompts]
        assert log_prob_PN == pytest.approx(np.array(given), abs=1e-3)
        assert abs(pool.metrics[Metric.SAMPLER_KL]) < 2  # texts that are encoded anew may have other tokens


def test_curve_prompts_are_those_that_the_pool_has(config, table, tmp_path):
    path = tmp_path / "pool.parquet"
    known = config.replace(world_seed=5)
    table.to_parquet(path)
    run = FolderRun(external_policy(known.replace(pool=str(path))), tmp_path / "policy", {})
    run.inputs = {Role.INITIAL_POLICY: run}
    assert set(open_world(run).prompts("curve", PROMPTS)) == set(table.prompt)


REFUSED = {
    "too few responses": (lambda t: t.head(20), {}, r"must hold pool_samples=64 .* for 0 "),
    "fewer everywhere": (lambda t: t.groupby("prompt").head(30), {}, "Set pool_samples=30 or lower"),
    "positive log-probabilities": (lambda t: t.assign(cumulative_logprob=1.0), {}, "row 1: .* in nats, at most 0"),
    "unknown names": (lambda t: t.rename(columns={"prompt": "u", "completion": "v"}), {}, "Give pool_columns=prompt="),
    "a wrong name": (lambda t: t, {"pool_columns": "prompt=promt"}, "did you mean prompt"),
    "other prompts": (lambda t: t.assign(prompt=t.prompt + " other"), {}, "for 0 of .*same texts must stand in both"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_pool_that_cannot_serve_is_refused_in_one_line(config, table, tmp_path, name):
    change, options, words = REFUSED[name]
    path = tmp_path / "pool.parquet"
    change(table).to_parquet(path)
    with pytest.raises(UserError, match=words) as error:
        FolderRun(external_policy(config.replace(pool=str(path), **options)), tmp_path / "run", {})
    assert "\n" not in str(error.value)


def test_missing_responses_are_left_out_and_empty_ones_are_responses(tmp_path):
    pd.DataFrame({"prompt": ["a", "a", "a", None], "response": ["x", None, "", "y"]}).to_parquet(tmp_path / "t.parquet")
    given = read_responses(tmp_path / "t.parquet", {})
    assert given.counts() == {"a": 2} and given.texts.take(given.by_prompt["a"]).to_pylist() == ["x", ""]


BROKEN = {
    "no weights": ({"policy": "http://host/v1"}, "Give policy_weights=CHECKPOINT"),
    "weights twice": ({"policy_weights": "./other"}, "be empty unless policy is the address"),
    "a pool and a server": (
        {"policy": "http://host/v1", "policy_weights": "./p", "pool": "f"},
        "be empty where a server",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_options_of_a_server_that_do_not_go_together_are_refused(config, name):
    options, words = BROKEN[name]
    with pytest.raises(UserError, match=words):
        config.replace(**options)
