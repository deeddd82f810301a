"""A registered scorer, which imports nothing of this project, gives the scores that the project gives."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.support.chats import chat_tokenizer
from tests.support.checkpoints import TEXTS, bert_tokenizer, byte_tokenizer, save_checkpoint
from transformers import AutoModelForSequenceClassification

from mlproject.models.checkpoints import load_reward_checkpoint, prompt_format_of
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import load_reward_model
from mlproject.registry.pyfunc_scorer import RewardModelScorer

LAYOUTS = {
    "chat": ("llama", lambda: byte_tokenizer(320, chat=True)),
    "plain, no padding named": ("gpt_neox", lambda: byte_tokenizer(300, chat=False)),
    "plain, learned positions": ("gpt2", lambda: byte_tokenizer(300, chat=False)),
    "plain, its tokenizer adds both ends": ("llama", lambda: chat_tokenizer(None, adds_bos=True, adds_eos=True)),
    "pair": ("bert", bert_tokenizer),
}
TURNS = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]'
PROMPTS = [*TEXTS, TURNS, "far too long a prompt " * 60, '[{"role": broken', "x"]
RESPONSES = ["Restart it.", "", "重启手机 😱", "word " * 40, "no", "Because.", "yes " * 3, "a", ""]


@pytest.mark.parametrize("padding", ["as saved", "the end"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_registered_scorer_gives_the_scores_of_the_reward_model(layout, padding, tmp_path):
    architecture, make = LAYOUTS[layout]
    source = save_checkpoint(tmp_path / "source", architecture, make(), reward=True)
    if padding == "the end":
        own = AutoModelForSequenceClassification.from_pretrained(source)
        own.config.pad_token_id = own.config.eos_token_id
        own.save_pretrained(source)
    model, tokenizer = load_reward_checkpoint(inspect_checkpoint(str(source), "gold"), "gold")
    RewardModel(model).with_units(0.3, 2.0).save(tmp_path / "rm", prompt_format_of(tokenizer, model))

    policy = PromptFormat(byte_tokenizer(300, chat=False), 300)
    here = load_reward_model(tmp_path / "rm", policy).rate(
        Responses(PROMPTS, policy.encode(PROMPTS, RESPONSES), policy)
    )
    served = RewardModelScorer()
    served.load_context(SimpleNamespace(artifacts={"model": str(tmp_path / "rm")}))
    table = pd.DataFrame({"prompt": PROMPTS, "response": RESPONSES})
    together = served.predict(None, table).reward.to_numpy()
    alone = [served.predict(None, table.iloc[i : i + 1]).reward.item() for i in range(len(table))]
    assert here.std() > 0.05
    np.testing.assert_allclose(together, here, atol=1e-5)
    np.testing.assert_allclose(alone, here, atol=1e-5)


def test_a_reward_that_is_no_number_is_named_by_its_row(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(
        save_checkpoint(tmp_path / "rm", "llama", byte_tokenizer(320, chat=True), reward=True)
    )
    with torch.no_grad():
        model.get_input_embeddings().weight[byte_tokenizer(320, chat=True)("!")["input_ids"][0]] = torch.nan
    model.save_pretrained(tmp_path / "rm")
    served = RewardModelScorer()
    served.load_context(SimpleNamespace(artifacts={"model": str(tmp_path / "rm")}))
    table = pd.DataFrame({"prompt": ["Why?"] * 3, "response": ["So.", "So!", "Because."]})
    with pytest.raises(ValueError, match=r"row 1: must get a finite reward, but gets nan \('So!'\)"):
        served.predict(None, table)
    assert np.isfinite(served.predict(None, table.drop(index=1)).reward).all()


@pytest.mark.parametrize("value", [None, float("nan"), 3, [{"role": "user", "content": "Why?"}]])
@pytest.mark.parametrize("column", ["prompt", "response"])
def test_a_cell_that_is_no_text_is_named_by_its_row(tmp_path, column, value):
    save_checkpoint(tmp_path / "rm", "llama", byte_tokenizer(320, chat=True), reward=True)
    served = RewardModelScorer()
    served.load_context(SimpleNamespace(artifacts={"model": str(tmp_path / "rm")}))
    rows = [{"prompt": "Why?", "response": "So."}, {"prompt": "Why?", "response": "So.", column: value}]
    with pytest.raises(ValueError, match=f"row 1: {column} must be a text, not "):
        served.predict(None, pd.DataFrame(rows))
