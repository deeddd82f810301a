"""Rewards with cures are promoted as one version, which scores as offline and needs nothing of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from tests.support.checkpoints import byte_tokenizer, write_all
from tests.support.commands import run_here
from transformers import AutoTokenizer

from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.pipeline.loading import load_scorer

pytestmark = [pytest.mark.slow, pytest.mark.trains]

GATE = {
    "metric": "probe_worst_excess", "at_most": 1e6, "judged_by": "low", "otherwise": "Never.", "remedy": "None.",
}  # fmt: skip
ALONE = """
import json, sys
sys.modules["mlproject"] = None  # importing it fails
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/reward-model@champion")
print(json.dumps(model.predict(pd.DataFrame(json.loads(sys.argv[2]))).reward.tolist()))
"""
FILES = [
    "--world", "files", "--policy", "./policy", "--prompts", "prompts.jsonl", "--gold", "./gold",
    "--max_prompt_tokens", "60", "--max_response_tokens", "12", "--curve_prompts", "8", "--audit_prompts", "8",
    "--pool_samples", "16", "--bon_n_max", "8", "--bon_points", "4", "--bootstrap", "20",
    "--reward", "worst-case", "--ensemble_checkpoints", "./neox-rm,./llama-rm", "--proxy", "./neox-rm",
]  # fmt: skip
EMBEDDED = ["--reward", "warm", "--ensemble_members", "2", "--proxy", "25k"]


def promoted(folder: Path, options: list[str]) -> Any:
    (folder / "gates.yaml").write_text(yaml.safe_dump({"method": "best-of-n", "gates": [GATE]}))
    answer = run_here(folder, "promote", "--preset", "smoke", *options, "--gates", "gates.yaml")
    assert answer.returncode == 0, answer.stderr + answer.stdout
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return client, client.get_model_version_by_alias("reward-model", "champion")


def scores_alone(folder: Path, prompts: list[str], texts: list[str]) -> np.ndarray:
    """Of the registered version, in a process that cannot import this project."""
    table = json.dumps({"prompt": prompts, "response": texts})
    command = [sys.executable, "-c", ALONE, f"sqlite:///{folder}/mlflow.db", table]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout.splitlines()[-1]))


def offline(client: MlflowClient, version: Any, policy: PromptFormat, prompts: list[str], texts: list[str]) -> Any:
    scorer = load_scorer(Path(client.download_artifacts(version.run_id, "")), policy)
    return scorer, scorer.rate(Responses(prompts, policy.encode(prompts, texts), policy))


def test_an_ensemble_of_given_checkpoints(tmp_path: Path) -> None:
    write_all(tmp_path)
    client, version = promoted(tmp_path, FILES)
    assert client.get_run(version.run_id).data.params["reward"] == "worst-case"
    assert "worst-case" in version.description
    prompts, texts = ["Why?", "Why?", "My screen is black"], ["So.", "Old.", "Restart it"]
    policy = PromptFormat(byte_tokenizer(300, chat=False), 12)
    scorer, expected_B = offline(client, version, policy, prompts, texts)
    assert len(scorer.members) == 2 and expected_B.std() > 1e-4
    np.testing.assert_allclose(scores_alone(tmp_path, prompts, texts), expected_B, atol=1e-5)


def test_an_average_of_weights(tmp_path: Path) -> None:
    client, version = promoted(tmp_path, EMBEDDED)
    assert client.get_run(version.run_id).data.params["reward"] == "warm"
    prompts, texts = ["my old phone is slow", "hi", "hello"], ["restart phone .", "thanks thanks thanks", ""]
    tokenizer = AutoTokenizer.from_pretrained(Path(client.download_artifacts(version.run_id, "model")))
    _, expected_B = offline(client, version, PromptFormat(tokenizer, 25), prompts, texts)
    assert expected_B.std() > 1e-3
    np.testing.assert_allclose(scores_alone(tmp_path, prompts, texts), expected_B, atol=1e-5)
