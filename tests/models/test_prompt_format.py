"""How texts become ids: exactly what transformers gives for the same chat, pair or text."""

from __future__ import annotations

import json

import pytest
import torch
from tests.support.checkpoints import TEXTS, bert_tokenizer, byte_tokenizer

from mlproject.models.prompt_format import PromptFormat, Responses, messages_of, plain_text

ANSWERS = ["Restart it.", "Κλείσ' το 😱", "", "重启手机", " two  spaces "]
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Ποιος;"},
    {"role": "assistant", "content": "我"},
    {"role": "user", "content": "And then?"},
]


def rows_of(sequences):
    return [row[:end] for row, end in zip(sequences.ids_BT.tolist(), sequences.ends_B.tolist(), strict=True)]


@pytest.fixture(scope="module")
def chat():
    return byte_tokenizer(340, chat=True)


@pytest.fixture(scope="module")
def plain():
    return byte_tokenizer(300, chat=False)


@pytest.fixture(scope="module")
def pair():
    return bert_tokenizer()


def test_a_chat_is_written_as_its_template_says_up_to_the_end_of_the_response(chat):
    prompt_format = PromptFormat(chat, 64)
    assert prompt_format.layout == "chat"
    prompts = [*TEXTS, json.dumps(TURNS, ensure_ascii=False)]
    answers = [*ANSWERS, "The end."]
    sequences = prompt_format.encode(prompts, answers)
    encoded_prompts = prompt_format.encode_prompts(prompts)
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        messages = TURNS if prompt.startswith("[") else [{"role": "user", "content": prompt}]
        head = chat.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        whole = [*messages, {"role": "assistant", "content": answer}]
        conversation = chat.apply_chat_template(whole, tokenize=True, return_dict=False)
        assert rows_of(sequences)[i] == conversation[:-1] and conversation[-2] == chat.eos_token_id
        assert encoded_prompts.ids_PT[i, : encoded_prompts.lengths_P[i]].tolist() == head
        assert sequences.starts_B[i] == len(head)


def test_plain_texts_are_read_as_the_tokenizer_reads_them_with_an_end(plain):
    prompt_format = PromptFormat(plain, 64)
    assert prompt_format.layout == "plain"
    sequences = prompt_format.encode(TEXTS, ANSWERS)
    expected = [plain(p)["input_ids"] + plain(a)["input_ids"] + [plain.eos_token_id]
              for p, a in zip(TEXTS, ANSWERS, strict=True)]  # fmt: skip
    assert rows_of(sequences) == expected
    assert sequences.starts_B.tolist() == [len(plain(p)["input_ids"]) for p in TEXTS]
    assert prompt_format.pad_id == plain.eos_token_id, "it has no padding of its own"


def test_a_conversation_is_read_line_by_line_where_there_is_no_chat_template(plain):
    prompt = json.dumps(TURNS, ensure_ascii=False)
    assert plain_text(prompt) == "Be brief.\nΠοιος;\n我\nAnd then?"
    prompts = PromptFormat(plain, 8).encode_prompts([prompt])
    assert prompts.ids_PT[0].tolist() == plain("Be brief.\nΠοιος;\n我\nAnd then?")["input_ids"]


@pytest.mark.parametrize("text", ['[{"role": broken', '[{"role": "user"', "[1, 2]", '{"role": "user"}', "[]"])
def test_a_text_that_looks_like_json_is_one_turn_of_the_user(text):
    assert messages_of(text) == [{"role": "user", "content": text}]


def test_an_empty_prompt_begins_with_one_token(plain):
    assert PromptFormat(plain, 8).encode_prompts([""]).ids_PT.tolist() == [[plain.eos_token_id]]


def test_pairs_are_read_as_the_tokenizer_reads_pairs(pair):
    prompt_format = PromptFormat(pair, 64)
    assert prompt_format.layout == "pair"
    sequences = prompt_format.encode(TEXTS, ANSWERS)
    expected = pair(TEXTS, ANSWERS)
    assert rows_of(sequences) == expected["input_ids"]
    begin, sep = pair.cls_token_id, pair.sep_token_id
    prompt_ids, response_ids = (
        [pair(text, add_special_tokens=False)["input_ids"] for text in texts] for texts in (TEXTS, ANSWERS)
    )
    assert expected["input_ids"] == [[begin, *a, sep, *b, sep] for a, b in zip(prompt_ids, response_ids, strict=True)]
    has_text = [bool(answer) for answer in ANSWERS]
    assert sequences.starts_B[has_text].tolist() == [
        kinds.index(1) for kinds, some in zip(expected["token_type_ids"], has_text, strict=True) if some
    ]


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_a_sequence_that_is_too_long_loses_the_beginning_of_its_prompt_alone(kind, request):
    tokenizer = request.getfixturevalue(kind)
    whole, cut = PromptFormat(tokenizer, 12), PromptFormat(tokenizer, 12, max_tokens=16)
    full, short = whole.encode(TEXTS, ANSWERS), cut.encode(TEXTS, ANSWERS)
    assert int(full.ends_B.min()) < int(full.ends_B.max()) > 16
    assert [row[-16:] for row in rows_of(full)] == rows_of(short)
    assert short.response_lengths_B.tolist() == full.response_lengths_B.tolist()


def test_a_pair_that_is_too_long_loses_the_beginning_of_its_prompt_alone(pair):
    pair.truncation_side = "left"
    rows = rows_of(PromptFormat(pair, 12, max_tokens=30).encode([TEXTS[4]] * 2, ["a b", "one long answer " * 5]))
    pair.truncation_side = "right"
    begin, sep = pair.cls_token_id, pair.sep_token_id
    prompt_ids = pair(TEXTS[4], add_special_tokens=False)["input_ids"]
    for row, answer in zip(rows, ["a b", "one long answer " * 5], strict=True):
        response_ids = pair(answer, add_special_tokens=False)["input_ids"][:12]
        cut_prompt = prompt_ids[-(30 - 3 - len(response_ids)) :]
        assert row == [begin, *cut_prompt, sep, *response_ids, sep]
        assert len(row) == min(30, 3 + len(prompt_ids) + len(response_ids))


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_a_response_is_cut_at_its_longest_and_then_has_no_end(kind, request):
    tokenizer = request.getfixturevalue(kind)
    text = "Switch it off and on again"
    ids = tokenizer(text)["input_ids"]
    for longest in (1, len(ids) - 1, len(ids), len(ids) + 1, len(ids) + 5):
        sequences = PromptFormat(tokenizer, longest).encode(["x"], [text])
        response_ids = sequences.ids_BT[0, int(sequences.starts_B[0]) : int(sequences.ends_B[0])].tolist()
        assert response_ids == [*ids, tokenizer.eos_token_id][:longest]


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_what_is_encoded_is_decoded_to_the_same_texts_in_every_script(kind, request):
    prompt_format = PromptFormat(request.getfixturevalue(kind), 200)
    texts = [*TEXTS, *ANSWERS, "tab\tand\nline", "👩‍👩‍👧", "é and e\u0301"]
    sequences = prompt_format.encode([TEXTS[0]] * len(texts), texts)
    assert prompt_format.decode(sequences) == texts
    responses = Responses.of_prompts([TEXTS[0]], sequences, prompt_format)
    assert responses.texts == texts
    assert list(responses.prompts) == [TEXTS[0]] * len(texts)
    picked = responses.select(torch.tensor([3, 1]))
    assert picked.texts == [texts[3], texts[1]]


def test_a_pair_loses_the_beginning_of_its_prompt_also_after_its_tokenizer_was_saved(pair, tmp_path):
    pair.save_pretrained(tmp_path)
    prompt, response = " ".join("abcdefgh" * 4), "yes"
    most = len(pair(prompt, response)["input_ids"]) - 5
    for tokenizer in (pair, type(pair).from_pretrained(tmp_path)):
        [row] = rows_of(PromptFormat(tokenizer, 100, most).encode([prompt], [response]))
        whole = pair(prompt, response)["input_ids"]
        assert row == [whole[0], *whole[6:]]


@pytest.mark.parametrize("kind", ["chat", "plain", "pair"])
def test_a_response_that_is_longer_than_all_that_fits_is_cut_at_its_end(kind, request):
    tokenizer, response = request.getfixturevalue(kind), "word after word " * 30
    sequences = PromptFormat(tokenizer, 10_000, 20).encode(["a prompt"], [response])
    assert int(sequences.ends_B[0]) == 20
    [decoded] = tokenizer.batch_decode(sequences.response_ids_BR, skip_special_tokens=True)
    pieces = decoded.replace(" ", "").replace("##", "")
    assert pieces and response.replace(" ", "").startswith(pieces)


def test_two_readers_are_alike_where_ids_and_template_are_the_same(chat, plain):
    assert PromptFormat(chat, 5).shares_ids(PromptFormat(byte_tokenizer(340, chat=True), 9))
    assert not PromptFormat(chat, 5).shares_ids(PromptFormat(plain, 5))
    untold = byte_tokenizer(340, chat=True)
    untold.chat_template = None
    assert not PromptFormat(chat, 5).shares_ids(PromptFormat(untold, 5))
