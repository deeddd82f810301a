"""Whole studies of a user's prompts, policy, reward models, comparisons and gold, from one YAML file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mlflow import MlflowClient
from tests.support.checkpoints import write_all
from tests.support.commands import run_here
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from mlproject.curve import Curve
from mlproject.optimization import METHODS
from mlproject.pipeline.proxy_rm import half_of

SMALL = {
    "world": "files", "policy": "./policy", "prompts": "./prompts.jsonl", "bad_lines": "skip",
    "max_prompt_tokens": 60, "max_response_tokens": 8, "curve_prompts": 8, "audit_prompts": 8, "pool_samples": 16,
    "bon_n_max": 8, "bon_points": 5, "n_comparisons": 64, "rm_batch_size": 32, "ppo_updates": 2, "ppo_batch_size": 8,
    "ppo_epochs": 1, "ppo_minibatches": 1, "bootstrap": 20, "search_kl_coefs": [0.0], "seeds": [0],
    "align_updates": 3, "align_batch_size": 8, "align_points": 3,
}  # fmt: skip
RMS = ["1k", "./neox-rm", "./llama-rm"]


def user_folder(folder: Path, **options) -> Path:
    """A folder with a user's files, invalid rows among them, and a configuration that uses them."""
    write_all(folder)
    with (folder / "prompts.jsonl").open("ab") as file:
        file.write(b'{"prompt": "\xff"}\n{"text": "no prompt"}\n')
    (folder / "mine.yaml").write_text(yaml.safe_dump({**SMALL, **options}))
    return folder


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def runs(client: MlflowClient, suffix: str = "", **tags: str) -> list:
    all_runs = client.search_runs([client.get_experiment_by_name(f"overoptimization{suffix}").experiment_id])
    return [run for run in all_runs if all(run.data.tags.get(f"mlproject.{k}") == v for k, v in tags.items())]


def artifacts(run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def rows_of_last_study(client: MlflowClient, entry_point: str = "main") -> list[dict]:
    last = max(runs(client, "/studies", kind="study", entry_point=entry_point), key=lambda run: run.info.start_time)
    return json.loads((artifacts(last) / "steps.json").read_text())


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    sizes = {"rm_sizes": RMS, "rm_size": "./neox-rm", "search_rm_sizes": RMS[1:], "n_trials": 2}
    sizes |= {"methods": ["best-of-n", "ppo", "dpo"]}  # one that selects, one that trains, one without a reward model
    folder = user_folder(tmp_path_factory.mktemp("study"), gold="./gold", **sizes)
    answer = run_here(folder, "main", "--preset", "smoke", "--config", "mine.yaml")
    assert answer.returncode == 0, answer.stderr
    return folder


def test_every_step_of_a_files_study_finishes_and_is_tagged_with_its_gold(study):
    client = client_of(study)
    kinds = [row["kind"] for row in rows_of_last_study(client)]
    assert {kind: kinds.count(kind) for kind in ("proxy-rm", "gold-rm", "initial-policy", "law", "search")} == {
        "proxy-rm": 3, "gold-rm": 1, "initial-policy": 1, "law": 1, "search": 1,
    }  # fmt: skip
    policy_runs = runs(client, kind="policy-run")
    methods = [each.data.tags["mlproject.method"] for each in policy_runs]
    assert methods.count("best-of-n") == 3
    assert methods.count("ppo") >= 3 and methods.count("dpo") == 1
    assert {each.info.status for each in policy_runs} == {"FINISHED"}
    assert {each.data.tags["mlproject.gold"] for each in policy_runs} == {"checkpoint"}
    assert {each.data.params["rm_size"] for each in policy_runs} == {*RMS, "implicit"}


def test_curves_start_at_the_imported_policy(study):
    for policy_run in runs(client_of(study), kind="policy-run"):
        curve = Curve.load(artifacts(policy_run) / "curve.npz")
        assert curve.kl_S[0] == pytest.approx(0, abs=1e-6)
        assert np.isfinite(curve.gold_SP).all() and np.isfinite(curve.proxy_SP).all()
        if policy_run.data.tags["mlproject.method"] == "best-of-n":
            assert abs(curve.gold_S[0]) < 1e-9
            assert (np.diff(curve.proxy_S) > 0).all()


def test_rows_that_were_skipped_are_counted_and_listed_and_long_prompts_counted(study):
    [policy] = runs(client_of(study), "/models", kind="initial-policy")
    assert policy.data.metrics["prompts/rows_skipped"] == 2
    skipped = (artifacts(policy) / "skipped_rows.txt").read_text().splitlines()
    assert "prompts.jsonl line 64: must be UTF-8" in skipped[0]
    assert "prompts.jsonl line 65: field prompt is missing" in skipped[1]
    assert len(skipped) == 2
    tokenizer = AutoTokenizer.from_pretrained(study / "policy")
    values = [json.loads(line)["prompt"] for line in (study / "prompts.jsonl").read_bytes().splitlines()[:-2] if line]
    texts = {text if isinstance(text, str) else text[0]["content"] for text in values}
    long = sum(len(tokenizer(text)["input_ids"]) > 60 for text in texts)
    assert policy.data.metrics["prompts/too_long"] == long >= 1
    splits = json.loads((artifacts(policy) / "prompts" / "prompts.json").read_text())["splits"]
    prompts = [text for split in splits.values() for text in split]
    assert len(prompts) == len(set(prompts)) == len(texts)
    assert sum(text not in texts and any(whole.endswith(text) for whole in texts) for text in prompts) == long


def test_proxy_and_gold_scores_of_recorded_samples_are_those_of_transformers_alone(study):
    client = client_of(study)
    [gold] = runs(client, "/models", kind="gold-rm")
    checked = 0
    for policy_run in runs(client, kind="policy-run", method="best-of-n"):
        if policy_run.data.params["rm_size"] == "1k":
            continue
        proxy = client.get_run(policy_run.data.tags["mlproject.proxy_run_id"])
        table = json.loads((artifacts(policy_run) / "samples.json").read_text())
        rows = pd.DataFrame(table["data"], columns=table["columns"])
        for source, column, run in ((policy_run.data.params["rm_size"], "proxy", proxy), ("./gold", "gold", gold)):
            units = json.loads((artifacts(run) / "model" / "config.json").read_text())
            auto = (AutoModelForSequenceClassification, AutoTokenizer)
            model, tokenizer = (each.from_pretrained(study / source) for each in auto)
            expected = []
            for prompt, response in zip(rows.prompt, rows.response, strict=True):
                ids = [*tokenizer(prompt)["input_ids"], *tokenizer(response)["input_ids"], tokenizer.eos_token_id]
                if tokenizer.chat_template:
                    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
                    ids = tokenizer.apply_chat_template(messages, return_dict=False)
                with torch.no_grad():
                    raw = model.eval()(input_ids=torch.tensor([ids])).logits.item()
                expected.append(units["reward_scale"] * (raw - units["reward_centre"]))
            above = rows[column] - np.array(expected)  # all recentred alike: the initial policy's mean is 0
            np.testing.assert_allclose(above, above.mean(), atol=1.1e-3)  # recorded to three places
            checked += np.std(expected) > 0.02
    assert checked >= 3, "gold twice, and a proxy whose scores differ by more than the last place"


@pytest.mark.slow
def test_the_same_command_again_makes_nothing_even_when_files_were_touched(study):
    for path in (study / "prompts.jsonl", study / "policy" / "model.safetensors"):
        os.utime(path)
    answer = run_here(study, "main", "--preset", "smoke", "--config", "mine.yaml")
    assert answer.returncode == 0, answer.stderr
    made = {row["kind"] for row in rows_of_last_study(client_of(study)) if not row["reused"]}
    assert made <= {"promotion"}, "a promotion is always evaluated again"


@pytest.fixture(scope="module")
def no_gold(tmp_path_factory) -> Path:
    sizes = {"rm_sizes": ["1k"], "rm_size": "1k", "gold_size": "./llama-base", "search_rm_sizes": ["1k"], "n_trials": 0}
    folder = user_folder(tmp_path_factory.mktemp("no-gold"), gold="none", preferences="./preferences.jsonl", **sizes)
    answer = run_here(folder, "main", "--preset", "smoke", "--config", "mine.yaml")
    assert answer.returncode == 0, answer.stderr
    assert "gold=none: a test RM (./llama-base) plays gold" in answer.stderr
    return folder


@pytest.mark.slow
def test_without_gold_a_test_rm_plays_it_and_every_run_and_the_report_say_so(no_gold):
    client = client_of(no_gold)
    policy_runs = runs(client, kind="policy-run")
    assert len(policy_runs) == 2
    assert {each.data.tags["mlproject.gold"] for each in policy_runs} == {"test-rm"}
    [last] = runs(client, "/studies", kind="study")
    assert "test RM" in (artifacts(last) / "report.html").read_text()


@pytest.mark.slow
def test_test_rm_and_proxy_learn_from_disjoint_comparisons_and_none_is_held_out_for_curves(no_gold):
    client = client_of(no_gold)
    [comparisons] = runs(client, "/models", kind="comparisons")
    [proxy] = runs(client, "/models", kind="proxy-rm")
    [test_rm] = runs(client, "/models", kind="test-rm")
    table = pd.read_parquet(artifacts(comparisons) / "comparisons.parquet")
    halves = [half_of(table, each.data.params["half"]) for each in (proxy, test_rm)]
    assert not set(halves[0].prompt) & set(halves[1].prompt)
    assert sum(map(len, halves)) == len(table)
    assert all(half.held_out.any() and not half.held_out.all() for half in halves)
    [policy] = runs(client, "/models", kind="initial-policy")
    splits = json.loads((artifacts(policy) / "prompts" / "prompts.json").read_text())["splits"]
    assert not set(table.prompt) & {*splits["curve"], *splits["audit"]}


@pytest.mark.slow
@pytest.mark.parametrize("entry_point", ["best_of_n", "ppo"])
def test_a_users_reward_model_is_a_proxy_by_its_path(study, entry_point):
    answer = run_here(study, entry_point, "--preset", "smoke", "--config", "mine.yaml", "--proxy", "./llama-rm")
    assert answer.returncode == 0, answer.stderr
    rows = rows_of_last_study(client_of(study), entry_point)
    assert all(row["reused"] for row in rows), "the curve exists"
    assert any(row["kind"] == "policy-run" for row in rows)


@pytest.mark.slow
def test_a_promotion_can_be_tried_dry(study):
    answer = run_here(study, "promote", "--preset", "smoke", "--config", "mine.yaml", "--dry_run", "true")
    assert answer.returncode in (0, 3), answer.stderr
    assert "Traceback" not in answer.stderr
    assert rows_of_last_study(client_of(study), "promote")


@pytest.mark.slow
def test_a_proxy_by_its_run_brings_its_world_with_it_and_one_of_another_world_reads_texts(study):
    client = client_of(study)
    proxy = next(
        rm_run for rm_run in runs(client, "/models", kind="proxy-rm") if rm_run.data.params["rm_size"] == "./neox-rm"
    )
    small = ("--preset", "smoke", "--bon_n_max", "8", "--pool_samples", "16", "--n_trials", "0")
    answer = run_here(study, "best_of_n", *small, "--proxy", proxy.info.run_id)  # without the options of its world
    assert answer.returncode == 0, answer.stderr
    newest = max(runs(client, kind="policy-run"), key=lambda rm_run: rm_run.info.start_time)
    assert newest.data.params["world"] == "files"
    assert newest.data.tags["mlproject.gold"] == "checkpoint"

    answer = run_here(study, "promote", *small, "--proxy", "1k")  # of the help desk
    assert answer.returncode in (0, 3), answer.stderr
    helpdesk = next(
        rm_run for rm_run in runs(client, "/models", kind="proxy-rm") if rm_run.data.params["world"] == "helpdesk"
    )
    version = client.search_model_versions("name = 'reward-model'")[0].version
    client.set_registered_model_alias("reward-model", "champion", version)
    gates = study / "gates.yaml"
    gates.write_text(
        "method: best-of-n\ngates: [{metric: margin, at_least: -100, judged_by: low, otherwise: a, remedy: b}]\n"
    )
    answer = run_here(
        study, "promote", "--preset", "smoke", "--config", "mine.yaml", "--proxy", "./neox-rm", "--gates", str(gates)
    )
    assert answer.returncode in (0, 3), answer.stderr
    drawn = [policy_run.data.tags.get("mlproject.proxy_run_id") for policy_run in runs(client, kind="policy-run")
             if policy_run.data.params["world"] == "files"]  # fmt: skip
    assert helpdesk.info.run_id in drawn, "the champion of the help desk was optimized against in this world"


@pytest.mark.slow
def test_every_method_of_direct_alignment_aligns_a_users_checkpoint_without_a_reward_model(tmp_path):
    names = [name for name, method in METHODS.items() if not method.needs_proxy]
    small = {"methods": names, "n_trials": 0}
    folder = user_folder(tmp_path, gold="./gold", rm_sizes=["1k"], search_rm_sizes=["1k"], rm_size="1k", **small)
    answer = run_here(folder, "main", "--preset", "smoke", "--config", "mine.yaml")
    assert answer.returncode == 0, answer.stderr
    client = client_of(folder)
    found = {run.data.tags["mlproject.method"]: run for run in runs(client, kind="policy-run")}
    assert found.keys() == set(names) and not runs(client, "/models", kind="proxy-rm")
    for run in found.values():
        curve = Curve.load(artifacts(run) / "curve.npz")
        assert (run.info.status, run.data.params["rm_size"]) == ("FINISHED", "implicit")
        assert curve.kl_S[0] == pytest.approx(0, abs=1e-6) and curve.kl_S[-1] > 0
        assert curve.proxy_SP[0] == pytest.approx(0, abs=1e-4) and np.isfinite(curve.proxy_SP).all()
        assert ((curve.win_SP >= 0) & (curve.win_SP <= 1)).all()


@pytest.mark.slow
@pytest.mark.trains
def test_every_on_policy_method_runs_on_the_users_policy_with_adapters_in_bfloat16(tmp_path):
    folder = user_folder(tmp_path, gold="./gold", rm_sizes=["./llama-rm"], methods=["grpo", "rloo", "reinforce"])
    options = {"lora_rank": 2, "ppo_mixed_precision": "bf16", "kl_coef": 0.1, "kl_in": "loss", "kl_estimator": "k3"}
    arguments = [f"--{name}={value}" for name, value in {**options, "ppo_lr": 0.01, "n_trials": 0}.items()]
    answer = run_here(folder, "main", "--preset", "smoke", "--config", "mine.yaml", *arguments)
    assert answer.returncode == 0, answer.stderr
    made = runs(client_of(folder), kind="policy-run")
    assert {run.data.tags["mlproject.method"] for run in made} == {"grpo", "rloo", "reinforce"}
    for run in made:
        curve = Curve.load(artifacts(run) / "curve.npz")
        assert curve.kl_S[0] == pytest.approx(0, abs=1e-6) and curve.kl_S[-1] > 1e-4
        assert np.isfinite(curve.gold_SP).all()
        assert run.info.run_name.startswith("llama-rm KL 0.1 in loss k3 seed 0")
