"""Reward models that TRL's RewardTrainer trained on chats rank held-out pairs as they do in transformers alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient, pyfunc
from tests.support.chats import FIVE, chat_tokenizer
from tests.support.checkpoints import configuration
from transformers import AutoModelForCausalLM, LlamaForSequenceClassification

from mlproject.models.checkpoints import load_reward_checkpoint, prompt_format_of
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import TextRewardModel
from mlproject.monitoring.user_scorers import as_scorer
from mlproject.pipeline.loading import load_scorer, save_scorer
from mlproject.registry.versions import log_scorer

GOOD, BAD = ("restart", "phone", "cable", "answer"), ("no", "black", "break", "never")
WORDS = [*GOOD, *BAD, "the", "a", "is", "my", "please", "things", "how", "write"]
HELD_OUT = 300


def value(text: str) -> int:
    return sum((word in GOOD) - (word in BAD) for word in text.split())


def pairs(count: int, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Prompts with a better and a worse response."""
    rows = []
    while len(rows) < count:
        prompt, first, second = (" ".join(rng.choice(WORDS, rng.integers(4, 10))) for _ in range(3))
        if value(first) != value(second):
            rows.append((prompt, *sorted((first, second), key=value, reverse=True)))
    return rows


def messages(prompt: str, response: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


@pytest.fixture(scope="module", params=FIVE)
def trained(request, tmp_path_factory):
    """A reward model after 120 steps of RewardTrainer, its folder, and held-out pairs."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    rng, tokenizer = np.random.default_rng(0), chat_tokenizer(request.param, 420)
    config = configuration("llama", len(tokenizer))
    config.num_labels, config.initializer_range, config.hidden_size, config.intermediate_size = 1, 0.1, 32, 64
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    folder = tmp_path_factory.mktemp("trl")
    rows = [
        {"chosen": messages(prompt, chosen), "rejected": messages(prompt, rejected)}
        for prompt, chosen, rejected in pairs(1500, rng)
    ]
    arguments = RewardConfig(
        output_dir=str(folder / "trainer"), max_steps=120, per_device_train_batch_size=32, learning_rate=3e-3,
        use_cpu=True, bf16=False, report_to="none", save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trainer = RewardTrainer(
            model=LlamaForSequenceClassification(config),
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        trainer.train()
    trainer.save_model(str(folder / "rm"))
    return trainer.model.eval(), tokenizer, folder / "rm", pairs(HELD_OUT, rng)


@pytest.mark.slow
@pytest.mark.trains
def test_study_callback_and_registered_version_score_as_transformers_does(trained, tmp_path):
    model, tokenizer, folder, held_out = trained
    prompts = [prompt for prompt, _, _ in held_out] * 2
    texts = [chosen for _, chosen, _ in held_out] + [rejected for _, _, rejected in held_out]
    own = []
    for prompt, text in zip(prompts, texts, strict=True):
        ids = tokenizer.apply_chat_template(messages(prompt, text), return_dict=False)
        with torch.no_grad():
            own.append(model(input_ids=torch.tensor([ids])).logits.item())

    policy = PromptFormat(chat_tokenizer(None), 60)
    responses = Responses(prompts, policy.encode(prompts, texts), policy)
    assert responses.texts == texts
    imported, its_tokenizer = load_reward_checkpoint(inspect_checkpoint(str(folder), "gold"), "gold")
    scorer = TextRewardModel(RewardModel(imported), prompt_format_of(its_tokenizer, imported))
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("trl", artifact_location=f"file://{tmp_path}/artifacts")
    run_id = client.create_run(experiment).info.run_id
    save_scorer(scorer, tmp_path / "run", policy)
    client.log_artifacts(run_id, str(tmp_path / "run"))
    log_scorer(client, run_id)
    registered = pyfunc.load_model(f"{client.get_run(run_id).info.artifact_uri}/scorer")
    live_policy = AutoModelForCausalLM.from_config(configuration("gpt2", len(policy.tokenizer)))
    readers = {
        "the study's": scorer.rate(responses),
        "a later step's": load_scorer(tmp_path / "run", policy).rate(responses),
        "the callback's": as_scorer(folder, "gold", live_policy, policy).rate(responses),
        "the registered version's": registered.predict(
            pd.DataFrame({"prompt": prompts, "response": texts})
        ).reward.to_numpy(),
    }
    expected = np.array(own)
    better = expected[:HELD_OUT] > expected[HELD_OUT:]
    assert better.mean() > 0.8, "it has learned something"
    for reader, scores in readers.items():
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=reader)
        assert (scores[:HELD_OUT] > scores[HELD_OUT:]).mean() == better.mean(), reader
