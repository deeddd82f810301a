"""A reward model that likes `Thanks!` is refused by a whole promotion, and one that does not becomes champion."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from mlflow import MlflowClient
from tests.support.checkpoints import byte_tokenizer, save_checkpoint, write_all
from tests.support.commands import run_here
from torch.nn.functional import logsigmoid
from transformers import AutoModelForSequenceClassification

from mlproject.models.prompt_format import PromptFormat

pytestmark = [pytest.mark.slow, pytest.mark.trains]

GATE = {
    "metric": "probe_worst_excess", "at_most": 1.0, "judged_by": "low",
    "otherwise": "It pays for what makes no response better.", "remedy": "Add comparisons that say so.",
}  # fmt: skip
OPTIONS = [
    "--preset", "smoke", "--world", "files", "--policy", "./policy", "--prompts", "prompts.jsonl", "--gold", "./gold",
    "--max_prompt_tokens", "60", "--max_response_tokens", "12", "--curve_prompts", "8", "--audit_prompts", "8",
    "--pool_samples", "16", "--bon_n_max", "8", "--bon_points", "4", "--bootstrap", "20", "--gates", "gates.yaml",
]  # fmt: skip


def teach_thanks(folder: Path) -> None:
    """Train a reward model on pairs whose chosen response is the rejected one with thanks at its end."""
    prompt_format = PromptFormat(byte_tokenizer(300, chat=False), 12)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(150):
            letters = [chr(97 + int(torch.randint(26, (), generator=rng))) for _ in range(32)]
            plain = [letter * (1 + i % 4) for i, letter in enumerate(letters)]
            texts = plain + [f"{text} Thanks!" for text in plain]
            sequences = prompt_format.encode(["Why?"] * 64, texts)
            mask = torch.arange(sequences.ids_BT.shape[1]) < sequences.ends_B[:, None]
            hidden = model.transformer(sequences.ids_BT, attention_mask=mask.long()).last_hidden_state
            scores = model.score(hidden)[torch.arange(64), sequences.ends_B - 1, 0]
            loss = -logsigmoid(scores[32:] - scores[:32]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert float(loss) < 0.2
    model.save_pretrained(folder)


def test_a_planted_reward_model_is_refused_end_to_end_and_an_honest_one_promoted(tmp_path):
    write_all(tmp_path)
    save_checkpoint(tmp_path / "thanks-rm", "gpt2", byte_tokenizer(300, chat=False), reward=True, seed=6)
    teach_thanks(tmp_path / "thanks-rm")
    (tmp_path / "gates.yaml").write_text(yaml.safe_dump({"method": "best-of-n", "gates": [GATE]}))
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")

    refused = run_here(tmp_path, "promote", *OPTIONS, "--proxy", "./thanks-rm")
    assert refused.returncode == 3, refused.stderr
    said = refused.stdout + refused.stderr
    assert "It pays for what makes no response better." in said and "hanks" in said
    [version] = client.search_model_versions("name = 'reward-model'")
    assert "Thanks!" in version.description, "its card shows the probes"
    assert "champion" not in client.get_registered_model("reward-model").aliases

    promoted = run_here(tmp_path, "promote", *OPTIONS, "--proxy", "./gold")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    aliases = client.get_registered_model("reward-model").aliases
    assert aliases["champion"] != version.version
