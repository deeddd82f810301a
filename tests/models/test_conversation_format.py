"""A chat reward model reads the ids of transformers' own chat template, whoever reads with it and whoever wrote."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.support.chats import CHATS, chat_tokenizer
from tests.support.checkpoints import TEXTS, configuration, save_checkpoint
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from mlproject.models.checkpoints import load_reward_checkpoint, prompt_format_of
from mlproject.models.conversation_format import ConversationFormat
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.prompt_format import UNBOUNDED, PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import TextRewardModel
from mlproject.monitoring.user_scorers import as_scorer
from mlproject.pipeline.loading import load_scorer, save_scorer
from mlproject.registry.pyfunc_scorer import RewardModelScorer

SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Ποιος;"}]
TURNS = [
    {"role": "user", "content": "Who is there?"},
    {"role": "assistant", "content": "  It is me. "},
    {"role": "user", "content": "And then?"},
]
ANSWERS = ["Restart it.", "Κλείσ' το 😱", "", " two  spaces ", "end", "\nassistant", "0", "-1", "a</think>b"]


def prompts_for(name: str) -> list[str]:
    conversations = [TURNS, SYSTEM] if CHATS[name].has_system else [TURNS, TURNS]
    return [*TEXTS, *TEXTS[:2], *(json.dumps(turns, ensure_ascii=False) for turns in conversations)]


def messages_of(prompt: str) -> list[dict[str, str]]:
    return json.loads(prompt) if prompt.startswith("[{") else [{"role": "user", "content": prompt}]


def by_transformers(tokenizer, prompt: str, answer: str) -> list[int]:
    messages = [*messages_of(prompt), {"role": "assistant", "content": answer}]
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]


def rows_of(sequences) -> list[list[int]]:
    return [row[:end] for row, end in zip(sequences.ids_BT.tolist(), sequences.ends_B.tolist(), strict=True)]


@pytest.mark.parametrize("name", CHATS)
def test_ids_are_those_of_the_template_for_the_whole_conversation(name):
    tokenizer, prompts = chat_tokenizer(name), prompts_for(name)
    sequences = ConversationFormat(tokenizer, UNBOUNDED, 2048).encode(prompts, ANSWERS)
    assert rows_of(sequences) == [by_transformers(tokenizer, p, a) for p, a in zip(prompts, ANSWERS, strict=True)]
    for row, start, prompt in zip(rows_of(sequences), sequences.starts_B.tolist(), prompts, strict=True):
        assert 0 < start < len(row)
        others = [by_transformers(tokenizer, prompt, other) for other in ("yes", "no")]
        before = row[: start - 1]  # a space of the template may be one token with the first word
        assert all(other[: start - 1] == before for other in others), "the prompt's ids are those of all its responses"


@pytest.mark.parametrize("name", ["ChatML", "Gemma", "Llama 2, Mistral"])
def test_a_long_conversation_loses_the_beginning_of_its_prompt_and_keeps_the_end_of_the_turn(name):
    tokenizer, limit = chat_tokenizer(name), 24
    whole, answers = by_transformers(tokenizer, TEXTS[4], "no"), ["no", "word after word " * 20]
    assert len(whole) > limit
    short, cut = rows_of(ConversationFormat(tokenizer, UNBOUNDED, limit).encode([TEXTS[4]] * 2, answers))
    assert short == whole[-limit:]
    behind = by_transformers(tokenizer, "x", answers[1])[-2:]
    assert len(cut) <= limit and cut[-2:] == behind
    text = tokenizer.decode(cut, skip_special_tokens=True).strip()
    assert len(text) > 10 and answers[1].startswith(text)


def test_a_response_that_is_longer_than_the_longest_is_cut_and_its_turn_ended():
    tokenizer = chat_tokenizer("ChatML")
    response = "Switch it off and on again"
    ids = tokenizer(response)["input_ids"]
    for longest in (1, 3, len(ids), len(ids) + 1):
        [row] = rows_of(ConversationFormat(tokenizer, longest).encode(["x"], [response]))
        assert row == by_transformers(tokenizer, "x", tokenizer.decode(ids[:longest]))


def test_an_encoder_reads_a_chat_as_one_text_without_types_of_tokens():
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = chat_tokenizer("ChatML")
    tokenizer.cls_token = "<|im_start|>"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(
            BertConfig(
                vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                intermediate_size=32, num_labels=1, initializer_range=0.5, pad_token_id=tokenizer.pad_token_id,
            )
        ).eval()  # fmt: skip
    scorer = TextRewardModel(RewardModel(model), prompt_format_of(tokenizer, model))
    policy = PromptFormat(chat_tokenizer(None), 60)
    responses = Responses(TEXTS, policy.encode(TEXTS, ANSWERS[:5]), policy)
    own = []
    for prompt, answer in zip(TEXTS, ANSWERS, strict=False):
        ids = torch.tensor([by_transformers(tokenizer, prompt, answer)])
        with torch.no_grad():
            own.append(model(input_ids=ids, token_type_ids=torch.zeros_like(ids)).logits.item())
    np.testing.assert_allclose(scorer.rate(responses), own, atol=1e-5)


@pytest.fixture(scope="module", params=CHATS)
def checkpoint(request, tmp_path_factory):
    """A finished reward model with one of the chat templates."""
    folder = tmp_path_factory.mktemp("rm") / "rm"
    save_checkpoint(folder, "llama", chat_tokenizer(request.param), reward=True)
    return request.param, folder


@pytest.mark.parametrize("policy", ["another tokenizer", "the same tokenizer, responses cut"])
def test_every_reader_gives_transformers_own_score(policy, checkpoint, tmp_path, monkeypatch):
    name, folder = checkpoint
    if policy == "another tokenizer":  # every prompt is read into the cache once
        monkeypatch.setattr("mlproject.models.reward_model._SHARED_PROMPT", 1)
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), chat_tokenizer(name)
    same = policy.startswith("the same")
    written = PromptFormat(tokenizer, 5) if same else PromptFormat(chat_tokenizer(None), 60)
    prompts = prompts_for(name)
    responses = Responses(prompts, written.encode(prompts, ANSWERS), written)
    assert responses.texts != ANSWERS if same else responses.texts == ANSWERS
    with torch.no_grad():
        own = np.array([
            model(input_ids=torch.tensor([by_transformers(tokenizer, prompt, answer)])).logits.item()
            for prompt, answer in zip(prompts, responses.texts, strict=True)
        ])  # fmt: skip
    assert own.std() > 0.04

    of_study = TextRewardModel(
        RewardModel((loaded := load_reward_checkpoint(inspect_checkpoint(str(folder), "gold"), "gold"))[0]),
        prompt_format_of(loaded[1], loaded[0]),
    )
    save_scorer(of_study.with_units(0.5, 2.0), tmp_path, written)
    served = RewardModelScorer()
    served.load_context(SimpleNamespace(artifacts={"model": str(tmp_path / "model")}))
    table = pd.DataFrame({"prompt": prompts, "response": responses.texts})
    config = configuration("llama", len(tokenizer) + 19)  # some embeddings belong to no token
    config.eos_token_id = config.bos_token_id = config.pad_token_id = None
    live_policy = AutoModelForCausalLM.from_config(config)
    readers = {
        "the study's": of_study.rate(responses),
        "a later step's": load_scorer(tmp_path, written).rate(responses) / 2 + 0.5,
        "the registered version's": served.predict(None, table).reward.to_numpy() / 2 + 0.5,
        "the callback's, of a folder": as_scorer(folder, "proxy", live_policy, written).rate(responses),
    }
    if same:
        readers["the callback's, of a model"] = as_scorer(model, "proxy", live_policy, written).rate(responses)
        readers["a reward model's"] = RewardModel(model).rate(responses)
    of_texts = TextRewardModel(RewardModel(model), PromptFormat(tokenizer, 200))
    readers["a format's for policies"] = of_texts.rate(responses)
    for reader, scores in readers.items():
        np.testing.assert_allclose(scores, own, atol=1e-5, err_msg=reader)


def test_a_tokenizer_saved_with_its_model_reads_the_same(checkpoint):
    name, folder = checkpoint
    again, prompts = AutoTokenizer.from_pretrained(folder), prompts_for(name)
    rows = [rows_of(ConversationFormat(t, 90, 50).encode(prompts, ANSWERS)) for t in (chat_tokenizer(name), again)]
    assert rows[0] == rows[1]
