"""The steps that import a user's policy, comparisons, gold and proxy, one after the other on one user's files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.checkpoints import word_count, write_all
from transformers import AutoModelForCausalLM

from mlproject.config.schema import Config, load_config
from mlproject.errors import UserError
from mlproject.models.inspection import inspect_reward_model
from mlproject.models.prompt_format import Responses
from mlproject.models.scorers import FunctionScorer
from mlproject.names import Artifact, GoldKind, Kind, Metric, Role, Tag
from mlproject.pipeline.external.comparisons import external_comparisons
from mlproject.pipeline.external.gold import UNIT_PAIRS, external_gold
from mlproject.pipeline.external.policy import external_policy
from mlproject.pipeline.external.proxy import external_proxy
from mlproject.pipeline.loading import load_gold, load_prompt_format, load_scorer, open_world
from mlproject.pipeline.step import Step
from mlproject.preferences import HALF


class FolderRun:
    """A run whose artifacts are a folder, and whose inputs are the folders of earlier ones."""

    def __init__(self, step: Step, folder: Path, inputs: Mapping[str, FolderRun]) -> None:
        self.step, self.folder, self.inputs = step, folder, inputs
        self.params, self.execution_options = step.params, step.execution_options
        self.logged_params: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.tags: dict[str, str] = dict(step.tags)
        folder.mkdir()
        step.execute(self)  # type: ignore[arg-type]

    def input(self, role: str) -> Path:
        return self.inputs[role].folder

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.logged_params |= params

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        self.metrics |= metrics

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags |= tags

    def progress(self, share: float) -> None:
        assert 0 <= share <= 1


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    files = write_all(tmp_path_factory.mktemp("user"))
    options = {
        "world": "files", "policy": str(files["policy"]), "prompts": str(files["prompts"]), "max_prompt_tokens": 60,
        "preferences": str(files["preferences"]), "gold": "tests.support.checkpoints:word_count", "curve_prompts": 8,
        "audit_prompts": 8, "max_response_tokens": 8, "n_comparisons": 64, "rm_size": str(files["llama_rm"]),
    }  # fmt: skip
    return load_config("smoke", options)


@pytest.fixture(scope="module")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FolderRun]:
    return lambda step, **inputs: FolderRun(
        step,
        tmp_path_factory.mktemp("run") / "artifacts",
        {role.replace("_", "-"): run for role, run in inputs.items()},
    )


@pytest.fixture(scope="module")
def policy(config, execute) -> FolderRun:
    return execute(external_policy(config))


@pytest.fixture(scope="module")
def gold(config, execute, policy) -> FolderRun:
    return execute(external_gold(config, policy.step), initial_policy=policy)


def test_the_imported_policy_has_the_weights_of_the_checkpoint_and_the_prompts_of_the_file(config, policy) -> None:
    copy, original = (AutoModelForCausalLM.from_pretrained(f) for f in (policy.folder / Artifact.MODEL, config.policy))
    assert all((a == b).all() for a, b in zip(copy.state_dict().values(), original.state_dict().values(), strict=True))
    world = open_world(FolderInput(policy))
    assert (len(world.prompts("curve", 8)), len(world.prompts("audit", 8))) == (8, 8)
    assert policy.metrics["prompts/train"] == 62 - 16 and policy.metrics[Metric.PROMPTS_TOO_LONG] >= 1
    assert policy.logged_params["layout"] == "plain" and policy.logged_params["vocabulary"] == 300
    assert not (policy.folder / Artifact.SKIPPED_ROWS).exists()


def test_imported_comparisons_are_the_users_without_held_out_prompts(config, execute, policy) -> None:
    run = execute(external_comparisons(config, policy.step), initial_policy=policy)
    table = pd.read_parquet(run.folder / Artifact.COMPARISONS)
    assert len(table) == run.metrics[Metric.COMPARISONS_COUNT] == 64
    assert table.score_a.isna().all() and set(table[HALF]) == {"train", "test"}
    chosen = np.where(table.prefers_a, table.response_a, table.response_b)
    assert all(text.startswith("Restart it ") for text in chosen) and 16 < table.prefers_a.sum() < 48


def test_what_is_read_anew_has_another_fingerprint_and_what_was_read_rightly_its_own(config, execute, policy) -> None:
    step = external_comparisons(config, policy.step)
    assert not {"read_as", "preference_format", "preferred"} & {*step.params, *policy.step.params}
    path = Path(config.preferences).with_name("pku.jsonl")
    rows = [
        {"prompt": f"Question {i}?", "response_0": "No.", "response_1": f"Yes {i}.", "better_response_id": int(i > 0),
         "safer_response_id": 0}
        for i in range(100)
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, [*rows, {**rows[5], "response_0": "Yes 5."}])))
    recognised = external_comparisons(replace(config, preferences=str(path)), policy.step)
    assert recognised.params["read_as"] == "PKU-SafeRLHF: chosen = better_response_id"
    safer = replace(config, preferences=str(path), preferred="safer_response_id")
    assert external_comparisons(safer, policy.step).params["preferred"] == "safer_response_id"
    assert external_comparisons(safer, policy.step).fingerprint != recognised.fingerprint
    run = execute(recognised, initial_policy=policy)
    table = pd.read_parquet(run.folder / Artifact.COMPARISONS)
    chosen = np.where(table.prefers_a, table.response_a, table.response_b)
    assert sum(not text.startswith("Yes") for text in chosen) == sum(table.prompt == "Question 0?")
    assert run.tags[Tag.READ_AS] == f"read as {recognised.params['read_as']}, 100 pairs, 1 identical pair dropped"
    assert (run.metrics[Metric.COMPARISONS_DROPPED], run.metrics[Metric.COMPARISONS_TIES_DROPPED]) == (1, 0)
    assert external_policy(replace(config, prompts="", preferences=str(path))).params["read_as"]


def test_a_gold_function_is_measured_on_responses_of_the_policy(gold) -> None:
    pairs = pd.read_parquet(gold.folder / Artifact.PAIRS)
    scores = pairs[["score_a", "score_b"]].to_numpy()
    assert len(pairs) == UNIT_PAIRS and scores.mean() == pytest.approx(0, abs=1e-9) and scores.std() == pytest.approx(1)
    raw = np.array([word_count([], [text])[0] for text in pairs.response_a])
    np.testing.assert_allclose(scores[:, 0], (raw - gold.metrics[Metric.GOLD_CENTRE]) / gold.metrics[Metric.GOLD_SD])
    assert gold.tags[Tag.GOLD] == GoldKind.FUNCTION and json.loads((gold.folder / Artifact.UNITS).read_text()) == {}


def test_an_imported_proxy_is_calibrated_and_scores_as_it_was_saved(config, execute, policy, gold) -> None:
    checkpoint = inspect_reward_model(config.rm_size, "rm_size")
    step = external_proxy(config, checkpoint, config.rm_size, policy.step, gold.step, seed=0)
    assert step.kind == Kind.PROXY_RM and step.inherited_params["rm_params"] == checkpoint.parameters
    run = execute(step, initial_policy=policy, gold_rm=gold)
    later = FolderInput(run)
    prompt_format = load_prompt_format(later, open_world(later))
    proxy, scorer = load_scorer(run.folder, prompt_format), load_gold(later, prompt_format)
    pairs = pd.read_parquet(gold.folder / Artifact.PAIRS)[:50]
    sequences = prompt_format.encode(pairs.prompt.tolist(), pairs.response_a.tolist())
    responses = Responses(pairs.prompt.tolist(), sequences, prompt_format)
    assert np.isfinite(proxy.rate(responses)).all() and proxy.rate(responses).std() > 0
    assert run.metrics[Metric.RM_SCALE] > 0 and 0 <= run.metrics[Metric.RM_VAL_ACCURACY] <= 1
    assert isinstance(scorer, FunctionScorer)
    assert (scorer.centre, 1 / scorer.scale) == pytest.approx(
        (gold.metrics[Metric.GOLD_CENTRE], gold.metrics[Metric.GOLD_SD])
    )


def test_a_gold_that_cannot_tell_responses_apart_is_refused(config, execute, policy, monkeypatch) -> None:
    monkeypatch.setattr("tests.support.checkpoints.word_count", lambda prompts, responses: [2.0] * len(responses))
    with pytest.raises(
        UserError, match=r"gold=tests.*: must give different responses different scores, but gives each 2"
    ):
        execute(external_gold(config, policy.step), initial_policy=policy)


class FolderInput:
    """The view of a later step on the inputs of a run."""

    def __init__(self, run: FolderRun) -> None:
        self.execution_options = run.execution_options
        self.params, self._folders = run.params, {role: each.folder for role, each in run.inputs.items()}
        self._folders.setdefault(Role.INITIAL_POLICY, run.folder)

    def input(self, role: str) -> Path:
        return self._folders[role]
