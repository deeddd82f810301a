"""Models small enough to write down every response they can give, with its probability.

Heavy imports stand inside the fixtures, so that tests without models start at once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from mlproject.tracking.store import Store

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tiny models are fastest on one thread

Responses = dict[tuple[int, ...], float]


@pytest.fixture(autouse=True, scope="module")
def mlflow_variables() -> Iterator[None]:
    """MLflow leaves the active experiment in the environment, where commands of a later file would read it."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    yield
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Three words and the five special tokens: a vocabulary of 8."""
    from mlproject.worlds.helpdesk.tokenizer import word_tokenizer

    return word_tokenizer(["yes", "no", "maybe"])


@pytest.fixture(scope="session")
def tiny_policy(tiny_tokenizer: PreTrainedTokenizerFast) -> Callable[..., PreTrainedModel]:
    """Builds a policy over the vocabulary of 8; `sharpness` says how far it is from uniform, `eos` lifts the end."""
    import torch

    from mlproject.models.init import new_policy

    def build(seed: int = 0, sharpness: float = 3.0, eos: float = 1.0) -> PreTrainedModel:
        policy = new_policy("25k", tiny_tokenizer, seed).eval()
        with torch.no_grad():
            policy.get_output_embeddings().weight.mul_(sharpness)
            policy.get_output_embeddings().weight[policy.config.eos_token_id].mul_(eos)
        return policy

    return build


@pytest.fixture(scope="session")
def tiny_reward_model(tiny_tokenizer: PreTrainedTokenizerFast) -> Callable[..., PreTrainedModel]:
    """Builds a classifier with one label over the vocabulary of 8."""
    import torch

    from mlproject.models.init import new_reward_model

    def build(seed: int = 0, size: str = "3k", sharpness: float = 3.0) -> PreTrainedModel:
        model = new_reward_model(size, tiny_tokenizer, seed).eval()
        with torch.no_grad():
            model.score.weight.mul_(sharpness)
        return model

    return build


@pytest.fixture(scope="session")
def enumerate_responses() -> Callable[[PreTrainedModel, list[int], int], Responses]:
    """Every response to one prompt with its probability, from plain calls of the model on unpadded prefixes."""
    import torch

    def enumerated(policy: PreTrainedModel, prompt: list[int], max_new_tokens: int) -> Responses:
        finished: Responses = {}
        open_responses: Responses = {(): 1.0}
        for step in range(max_new_tokens):
            prefixes = list(open_responses)
            with torch.no_grad():
                logits = policy(input_ids=torch.tensor([[*prompt, *prefix] for prefix in prefixes])).logits[:, -1]
            probabilities = torch.softmax(logits.double(), dim=-1).tolist()
            grown: Responses = {}
            for prefix, row in zip(prefixes, probabilities, strict=True):
                for token, probability in enumerate(row):
                    ends = token == policy.config.eos_token_id or step == max_new_tokens - 1
                    (finished if ends else grown)[(*prefix, token)] = open_responses[prefix] * probability
            open_responses = grown
        assert abs(sum(finished.values()) - 1) < 1e-6
        return finished

    return enumerated


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in them. To copy it is much faster than to create the tables."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Store]:
    """A store of its own for a file of tests, in a folder that is the working directory meanwhile."""
    from mlproject.tracking.store import open_store

    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_database, folder / "mlflow.db")
    patch.chdir(folder)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield open_store("trial")
    patch.undo()
