"""A study whose samples come from a server, against the study that samples by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from tests.rewards.loopback import serving
from tests.rewards.policy_service import PolicyService
from tests.support.checkpoints import change_weights, write_all
from tests.support.commands import run_here

from mlproject.curve import Curve
from mlproject.models.checkpoints import load_policy_checkpoint
from mlproject.models.inspection import inspect_policy
from mlproject.models.prompt_format import PromptFormat
from mlproject.names import Metric

pytestmark = [pytest.mark.slow, pytest.mark.trains]

TOKENS, PROMPTS, AUDIT_PROMPTS = 8, 40, 8
OPTIONS = {
    "world": "files", "prompts": "prompts.jsonl", "max_prompt_tokens": "60", "max_response_tokens": TOKENS,
    "gold": "./gold", "rm_sizes": "./llama-rm", "rm_size": "./llama-rm", "methods": "best-of-n", "n_trials": "0",
    "curve_prompts": PROMPTS, "audit_prompts": AUDIT_PROMPTS, "pool_samples": "64", "bon_n_max": "16",
    "bon_points": "5", "bootstrap": "20", "seeds": "0",
}  # fmt: skip


def study(folder: Path, name: str, **options: str) -> tuple[Curve, dict[str, float], str]:
    """Curve, metrics of the policy run, and report of a whole study in an experiment of its own."""
    words = [word for key, value in (OPTIONS | options).items() for word in (f"--{key}", str(value))]
    answer = run_here(folder, "main", "--preset", "smoke", "--experiment", name, *words)
    assert answer.returncode == 0, answer.stderr
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    studies = client.search_runs([client.get_experiment_by_name(f"{name}/studies").experiment_id])
    folders = [Path(each.info.artifact_uri.removeprefix("file://")) for each in (run, *studies)]
    report = next(each / "report.html" for each in folders[1:] if (each / "report.html").exists())
    return Curve.load(folders[0] / "curve.npz"), run.data.metrics, report.read_text()


def z_of(own: np.ndarray, served: np.ndarray) -> np.ndarray:
    """Mean difference of two curves over the same prompts in its standard errors, at each point. Shapes: (S, P)."""
    difference = served - own
    return difference.mean(1) / (difference.std(1, ddof=1) / np.sqrt(difference.shape[1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_all(folder)
    # of random weights nearly all responses are equally likely, so that a temperature would not be seen
    change_weights(folder / "policy", lambda weights: weights["transformer.wte.weight"].mul_(8))
    return folder


def test_a_served_policys_study_is_that_of_its_own_samples_up_to_noise_and_another_sampler_is_told(folder):
    model, tokenizer = load_policy_checkpoint(inspect_policy(str(folder / "policy"), "policy"), "policy")
    service = PolicyService(model.eval(), PromptFormat(tokenizer, TOKENS))
    weights = {"policy_weights": str(folder / "policy")}
    own, own_metrics, own_report = study(folder, "own", policy=str(folder / "policy"))
    with serving(service) as (url, requests):
        served, metrics, report = study(folder, "served", policy=f"{url}/v1", **weights)
        assert sum(path == "/v1/completions" for path, *_ in requests) == PROMPTS + AUDIT_PROMPTS
    assert served.gold_SP.shape == own.gold_SP.shape == (len(own), PROMPTS)
    assert np.array_equal(served.kl_S, own.kl_S)
    assert not np.array_equal(served.gold_SP, own.gold_SP), "other draws"
    for one, other in ((own.gold_SP, served.gold_SP), (own.proxy_SP, served.proxy_SP)):
        assert np.abs(z_of(one[1:], other[1:])).max() < 4
    assert abs(metrics[Metric.SAMPLER_KL]) < 1e-3 and Metric.SAMPLER_KL not in own_metrics
    assert "Sampler of the pool" in report and "Sampler of the pool" not in own_report

    def hot(path, content, number):
        return service(path, content and {**content, "temperature": 3.0}, number)

    with serving(hot) as (url, _):
        _, metrics, _ = study(folder, "hot", policy=f"{url}/v1", **weights)
    assert metrics[Metric.SAMPLER_KL] > 0.5
