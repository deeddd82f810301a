"""Scores of texts: those of transformers for each pair alone, whatever the architecture and the padding."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest
import torch
from tests.support.checkpoints import TEXTS, bert_tokenizer, byte_tokenizer, save_checkpoint
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from mlproject import errors
from mlproject.errors import UserError
from mlproject.models.checkpoints import load_reward_checkpoint, prompt_format_of
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, TextRewardModel, load_reward_model
from mlproject.rewards.functions import load_function

KINDS = {
    "gpt_neox, no padding named": ("gpt_neox", False, None),
    "gpt2, no padding named": ("gpt2", False, None),
    "gpt_neox, padding is the end": ("gpt_neox", False, "eos"),
    "gpt2, padding is the end": ("gpt2", False, "eos"),
    "llama, chat": ("llama", True, None),
    "llama, plain, padding is the end": ("llama", False, "eos"),
    "llama, chat, model and tokenizer name other padding": ("llama", True, "eos"),
    "bert, pair": ("bert", None, None),
}


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    architecture, chat, padding = KINDS[request.param]
    tokenizer = bert_tokenizer() if chat is None else byte_tokenizer(320, chat=chat)
    folder = save_checkpoint(tmp_path_factory.mktemp("rm") / "rm", architecture, tokenizer, reward=True)
    if padding == "eos":
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        model.config.pad_token_id = tokenizer.eos_token_id
        model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def written() -> Responses:
    """80 responses to one prompt, some empty and some too long, 2 to each of the others, as a policy wrote them."""
    rng = np.random.default_rng(0)
    words = [*" ".join(TEXTS).split(), "no", "😱", "重启"]
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(0, 9, size=80 + 2 * (len(TEXTS) - 1))]
    prompts = [TEXTS[0]] * 80 + [text for text in TEXTS[1:] for _ in range(2)]
    order = rng.permutation(len(texts))
    prompt_format = PromptFormat(byte_tokenizer(300, chat=False), 400)
    prompts, texts = [prompts[i] for i in order], [texts[i] for i in order]
    assert "" in texts
    return Responses(prompts, prompt_format.encode(prompts, texts), prompt_format)


def one_by_one(folder, responses: Responses) -> np.ndarray:
    """The long way: transformers alone, one pair at a time, neither padded nor cached."""
    model, tokenizer = (cls.from_pretrained(folder) for cls in (AutoModelForSequenceClassification, AutoTokenizer))
    model.eval()
    scores = []
    for prompt, response in zip(responses.prompts, responses.texts, strict=True):
        if tokenizer.cls_token is not None:
            model_inputs = dict(tokenizer([prompt], [response], return_tensors="pt"))
        else:
            ids = [*tokenizer(prompt)["input_ids"], *tokenizer(response)["input_ids"], tokenizer.eos_token_id]
            if tokenizer.chat_template:
                messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
                ids = tokenizer.apply_chat_template(messages, return_dict=False)
            model_inputs = {"input_ids": torch.tensor([ids])}
        with torch.no_grad():
            scores.append(model(**model_inputs).logits.item())
    return np.array(scores)


def imported(folder) -> TextRewardModel:
    model, tokenizer = load_reward_checkpoint(inspect_checkpoint(str(folder), "gold"), "gold")
    return TextRewardModel(RewardModel(model), prompt_format_of(tokenizer, model))


def test_scores_are_those_of_transformers_for_each_pair_alone(checkpoint, written):
    expected = one_by_one(checkpoint, written)
    assert expected.std() > 0.04
    np.testing.assert_allclose(imported(checkpoint).rate(written), expected, atol=1e-5)


def test_the_cache_of_a_shared_prompt_changes_no_score(checkpoint, written, monkeypatch):
    scorer, scores = imported(checkpoint), {}
    for least in (1, 10_000):
        monkeypatch.setattr("mlproject.models.reward_model._SHARED_PROMPT", least)
        scores[least] = scorer.rate(written)
    np.testing.assert_allclose(scores[1], scores[10_000], atol=1e-5)


def test_a_saved_reward_model_scores_as_before_in_its_units(checkpoint, written, tmp_path):
    scorer = imported(checkpoint).with_units(0.25, 3.0)
    scorer.reward_model.save(tmp_path, scorer.prompt_format)
    again = load_reward_model(tmp_path, written.prompt_format)
    assert isinstance(again, TextRewardModel)
    assert again.prompt_format.max_tokens == scorer.prompt_format.max_tokens
    np.testing.assert_allclose(again.rate(written), scorer.rate(written), atol=1e-6)
    np.testing.assert_allclose(again.rate(written), 3 * (one_by_one(checkpoint, written) - 0.25), atol=1e-4)


def test_the_checkpoint_names_no_other_padding_after_scoring_than_before(checkpoint, written):
    scorer = imported(checkpoint)
    before = scorer.reward_model.model.config.pad_token_id
    scorer.rate(written)
    assert scorer.reward_model.model.config.pad_token_id == before
    assert before == AutoModelForSequenceClassification.from_pretrained(checkpoint).config.pad_token_id


def answers(*texts) -> Responses:
    prompt_format = PromptFormat(byte_tokenizer(300, chat=False), 64)
    prompts = [TEXTS[i % 2] for i in range(len(texts))]
    return Responses(prompts, prompt_format.encode(prompts, texts), prompt_format)


def test_a_function_scores_equal_responses_once_and_its_units_are_kept():
    calls = []

    def length(prompts, responses):
        calls.append(list(zip(prompts, responses, strict=True)))
        return [len(prompt) + len(response) for prompt, response in zip(*map(list, (prompts, responses)), strict=True)]

    responses = answers("a", "a", "a", "a", "bbb", "")
    raw = FunctionScorer("m:length", length).rate(responses)
    assert calls == [[(TEXTS[0], "a"), (TEXTS[1], "a"), (TEXTS[0], "bbb"), (TEXTS[1], "")]]
    assert raw.tolist() == [len(p) + len(r) for p, r in zip(responses.prompts, responses.texts, strict=True)]
    scaled = FunctionScorer("m:length", length).with_units(2.0, 0.5).rate(responses)
    np.testing.assert_allclose(scaled, 0.5 * (raw - 2.0))


FAULTS = {
    "too few numbers": (lambda p, r: [1.0], "one finite number for each of 2 responses, not an array of shape (1,)"),
    "a number": (lambda p, r: 1.0, "not an array of shape ()"),
    "nan": (lambda p, r: [1.0, float("nan")], "a finite score, but gives nan to 1 of 2 (first to 'b'"),
    "infinity": (lambda p, r: [1.0, float("inf")], "gives infinity to 1 of 2 (first to 'b'"),
    "texts": (lambda p, r: ["good", "bad"], "must return one number per response, not list"),
    "a text": (lambda p, r: "good", "not str"),
    "nothing": (lambda p, r: None, "m:f: must return one"),
    "ragged": (lambda p, r: [[1], [1, 2]], "not list"),
    "failure": (lambda p, r: {}["key"], "m:f: must not fail (KeyError: 'key'). Fix the function."),
    "failure of many lines": (
        lambda p, r: exec("raise ValueError('one\\ntwo')"),
        "must not fail (ValueError: one two)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_function_without_a_number_per_response_is_reported_in_one_line(name):
    function, words = FAULTS[name]
    with pytest.raises(UserError) as error:
        FunctionScorer("m:f", function).rate(answers("a", "b"))
    assert words in str(error.value)
    assert "m:f" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


class WithoutTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text either")


def raises(error):
    def function(prompts, responses):
        raise error

    return function


class Grumpy:
    def __float__(self):
        raise RuntimeError("not today")


ENDINGS = {
    "exit": (raises(SystemExit(3)), "must not fail (SystemExit: 3)"),
    "exit without a code": (lambda p, r: sys.exit(), "must not fail (SystemExit)"),
    "an interruption of its own": (raises(KeyboardInterrupt()), "must not fail (KeyboardInterrupt)"),
    "the end of a generator": (raises(GeneratorExit()), "must not fail (GeneratorExit)"),
    "an error without a text": (raises(WithoutTextError()), "must not fail (WithoutTextError)"),
    "an integer beyond floats": (lambda p, r: [10**400] * len(r), "numbers that a float can hold"),
    "objects that are no numbers": (lambda p, r: [Grumpy() for _ in r], "one number per response, not list"),
}


@pytest.fixture
def our_signals():
    """Signals are handled as in a command, where Ctrl-C can be told from what a function raises."""
    before = {ending: signal.signal(ending, errors.interrupt) for ending in errors.ENDING_SIGNALS}
    yield
    for ending, handler in before.items():
        signal.signal(ending, handler)


@pytest.mark.parametrize("name", ENDINGS)
def test_a_function_cannot_end_the_study_in_silence(name, our_signals):
    function, words = ENDINGS[name]
    with pytest.raises(UserError) as error:
        FunctionScorer("m:f", function).rate(answers("a", "b"))
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_signal_while_a_function_runs_is_no_failure_of_the_function(our_signals):
    def waits(prompts, responses):
        os.kill(os.getpid(), signal.SIGTERM)
        return [0.0 for _ in responses]

    with pytest.raises(errors.Interrupted):
        FunctionScorer("m:f", waits).rate(answers("a", "b"))


def test_without_our_signals_ctrl_c_in_a_function_stays_ctrl_c(our_signals):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        FunctionScorer("m:f", raises(KeyboardInterrupt())).rate(answers("a", "b"))


@pytest.mark.parametrize("line", ["import sys; sys.exit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_module_that_ends_where_it_is_imported_is_refused(line, our_signals, tmp_path, monkeypatch):
    (tmp_path / "ends.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"ends:f: must be importable"):
        load_function("ends:f")


def test_a_function_is_found_by_its_name():
    assert load_function("tests.support.checkpoints:word_count")(["x"], ["aab"]) == pytest.approx([2 - 0.6])
