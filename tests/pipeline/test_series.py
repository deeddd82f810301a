"""A series of checkpoints becomes one curve, with exact KL from the initial policy."""

import json
import shutil

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from tests.support.checkpoints import byte_tokenizer, save_checkpoint, write_prompts
from tests.support.commands import run_here

from mlproject.__main__ import main
from mlproject.execution.executors import InProcessExecutor
from mlproject.models.generation import sample_responses
from mlproject.models.model_loading import load_causal_lm
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.turns import set_ends
from mlproject.pipeline.external.checkpoint import load_point
from mlproject.pipeline.loading import stream_seed
from mlproject.tracking.run_data import artifact, curve_of
from mlproject.worlds.files.world import Files

STEPS = (10, 30, 20)
OPTIONS = {
    "preset": "smoke", "curve_prompts": 12, "audit_prompts": 4, "pool_samples": 16, "eval_samples": 2,
    "max_response_tokens": 5, "long_prompts": "skip", "max_prompt_tokens": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A policy, three checkpoints that moved away from it (one without a tokenizer), reward models and prompts."""
    folder = tmp_path_factory.mktemp("training")
    tokenizer = byte_tokenizer(270, chat=False)
    save_checkpoint(folder / "policy", "gpt_neox", tokenizer, reward=False)
    for name, seed in (("rm", 1), ("gold", 2)):
        save_checkpoint(folder / name, "gpt_neox", tokenizer, reward=True, seed=seed)
    write_prompts(folder / "prompts.jsonl", 40)
    for step in STEPS:
        policy = load_causal_lm(str(folder / "policy"), "policy")
        noise = torch.randn(policy.get_output_embeddings().weight.shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            policy.get_output_embeddings().weight.add_(0.01 * step * noise)
        policy.save_pretrained(folder / "out" / f"checkpoint-{step}")
        if step != 20:
            tokenizer.save_pretrained(folder / "out" / f"checkpoint-{step}")
    return folder


@pytest.fixture(scope="module")
def measured(training, tmp_path_factory, empty_database):
    """A store in which the first two checkpoints were measured, and then all three; what was printed each time."""
    folder = tmp_path_factory.mktemp("measured")
    shutil.copy(empty_database, folder / "mlflow.db")
    words = command(training, method="grpo")
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        patch.setattr("mlproject.execution.new_executor.LocalExecutor", lambda workers: InProcessExecutor())
        for checkpoints in (f"{training}/out/checkpoint-10@10,{training}/out/checkpoint-30@30", f"{training}/out"):
            lines: list[str] = []
            patch.setattr("mlproject.execution.invocation.Invocation.say", lambda self, line, to=lines: to.append(line))
            assert main([*words, "--checkpoints", checkpoints]) == 0
            printed.append("\n".join(lines))
    return MlflowClient(f"sqlite:///{folder}/mlflow.db"), printed


def command(training, **more):
    given = {"policy": "policy", "gold": "gold", "prompts": "prompts.jsonl", "proxy": "rm"}
    options = OPTIONS | {name: training / path for name, path in given.items()} | more
    return ["measure", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]


def whole_run(client):
    [experiment] = client.search_experiments(filter_string="name = 'overoptimization'")
    runs = client.search_runs([experiment.experiment_id], "tags.`mlproject.method` = 'grpo'")
    return next(run for run in runs if json.loads(run.data.params["checkpoints"]) == [0, 10, 20, 30])


def test_kl_is_that_of_the_two_models_along_what_the_checkpoint_writes(measured, training):
    client, _ = measured
    run = whole_run(client)
    curve = curve_of(client, run.info.run_id)
    assert curve.steps_S.tolist() == [0, 10, 20, 30] and curve.kl_S[0] == 0
    inputs = json.loads(run.data.tags["mlproject.inputs"])
    world = Files.load(artifact(client, inputs["initial-policy"], "prompts"))
    prompts = world.prompts("curve", 12)
    initial = load_causal_lm(str(training / "policy"), "policy")
    checkpoint = load_causal_lm(str(training / "out" / "checkpoint-20"), "policy")
    prompt_format = PromptFormat(byte_tokenizer(270, chat=False), 5)
    set_ends(checkpoint, prompt_format.tokenizer)
    generator = torch.Generator().manual_seed(stream_seed("curve responses", 0))
    sampled = sample_responses(checkpoint, prompt_format, prompts, generator=generator, samples_per_prompt=2)
    total = []
    for i in range(len(sampled)):
        sequence = sampled.sequences.select(torch.tensor([i]))
        ids = sequence.ids_BT[0]
        start, end = int(sequence.starts_B[0]), int(sequence.ends_B[0])
        p, q = (
            torch.log_softmax(model(input_ids=ids[None, :end]).logits[0].double(), -1).detach().numpy()
            for model in (checkpoint, initial)
        )
        at = slice(start - 1, end - 1)
        total.append((np.exp(p[at]) * (p[at] - q[at])).sum())
    assert curve.kl_S[2] == pytest.approx(np.mean(total), rel=1e-4)
    point, snapshot = load_point(artifact(client, inputs["point-2"]))
    assert point.gold == pytest.approx(curve.gold_S[2]) and list(snapshot.responses) == sampled.texts[::2]


def test_a_further_checkpoint_costs_one_measurement(measured):
    _, (first, second) = measured
    assert "steps: 10 executed, 0 reused" in first and "steps: 3 executed, 8 reused" in second
    assert "4 checkpoints at steps 0, 10, 20, 30; KL from" in second


def test_the_run_is_a_policy_run_that_every_tool_reads(measured, monkeypatch):
    client, (_, text) = measured
    run = whole_run(client)
    curve = curve_of(client, run.info.run_id)
    for name, values_S in (("curve/kl", curve.kl_S), ("curve/gold", curve.gold_S), ("curve/proxy", curve.proxy_S)):
        logged = {each.step: each.value for each in client.get_metric_history(run.info.run_id, name)}
        assert logged == pytest.approx(dict(zip([0, 10, 20, 30], values_S.tolist(), strict=True)))
    metrics = run.data.metrics
    assert metrics["signs/length"] > 0 and "forecast/p_past_peak" in metrics and "grpo/kl_k1" in metrics
    assert run.data.tags["law/form"] == "rl"
    peak = int(run.data.tags["mlproject.peak_step"])
    assert f"highest gold: step {peak}, " in text and "GRPO" in text
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"curve.npz", "curve.png", "samples.json"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoints", "{0}/rm@1"], "must have the weights"),
        (["--checkpoints", "{0}/other@1"], "must have the architecture of the initial policy"),
        (["--checkpoints", "{0}/words@1"], "must have the size of the vocabulary of the initial policy"),
        (["--checkpoints", "{0}/policy@1"], "must be at least 2 with the initial policy"),
        (["--checkpoints", "{0}/out", "--method", "best-of-n"], "must be a method that trains a policy"),
        (["--checkpoints", "{0}/out", "--gold", ""], "gold"),
        (["--checkpoints", "{0}/nowhere"], "must be an existing folder"),
    ],
)
def test_mistakes_are_one_line_before_a_store_is_opened(training, tmp_path, monkeypatch, capsys, arguments, message):
    if "other" in arguments[1]:
        save_checkpoint(training / "other", "gpt2", byte_tokenizer(270, chat=False), reward=False)
    if "words" in arguments[1]:
        save_checkpoint(training / "words", "gpt_neox", byte_tokenizer(280, chat=False), reward=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    more = {name[2:]: value.format(training) for name, value in zip(arguments[::2], arguments[1::2], strict=True)}
    assert main(command(training, **more)) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_last_policy_of_a_run_is_measured_as_the_run_measured_it(training, tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    ppo = {
        "ppo_updates": 3,
        "ppo_batch_size": 16,
        "ppo_minibatches": 2,
        "ppo_eval_every": 1,
        "ppo_lr": 0.01,
        "world": "files",
    }
    words = command(training, **ppo)
    answer = run_here(tmp_path, "ppo", *words[1:])
    assert answer.returncode == 0, answer.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    [experiment] = client.search_experiments(filter_string="name = 'overoptimization'")
    [run] = client.search_runs([experiment.experiment_id])
    model = artifact(client, run, "model")
    answer = run_here(tmp_path, *command(training, checkpoints=f"{model}@3", method="ppo"))
    assert answer.returncode == 0, answer.stderr
    [again] = client.search_runs([experiment.experiment_id], "params.checkpoints LIKE '%3%'")
    optimized, measured = curve_of(client, run), curve_of(client, again)
    assert measured.steps_S.tolist() == [0, 3] and optimized.kl_S[-1] > 0.01
    for name in ("kl_S", "gold_S", "proxy_S"):
        assert getattr(measured, name)[-1] == pytest.approx(getattr(optimized, name)[-1], abs=1e-5), name
