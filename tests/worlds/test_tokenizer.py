"""The word tokenizer of the help desk."""

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from mlproject.worlds.helpdesk import Helpdesk


@pytest.fixture(scope="module")
def world() -> Helpdesk:
    return Helpdesk(seed=0)


@pytest.fixture(scope="module")
def tokenizer(world: Helpdesk):
    return world.tokenizer()


def test_the_vocabulary_is_small_and_the_same_for_every_seed(tokenizer) -> None:
    assert len(tokenizer) <= 400
    assert tokenizer.get_vocab() == Helpdesk(seed=7).tokenizer().get_vocab()


def test_special_tokens_have_ids_of_their_own(tokenizer) -> None:
    ids = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.sep_token_id, tokenizer.eos_token_id)
    assert len({*ids, tokenizer.unk_token_id}) == 5


def test_every_text_of_the_world_survives_the_round_trip_word_by_word(world: Helpdesk, tokenizer) -> None:
    prompts, responses = world.corpus(1500, np.random.default_rng(0))
    texts = [*prompts, *responses, *world.distort(prompts, responses, np.random.default_rng(1))]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [len(row) for row in ids] == [len(text.split()) for text in texts]
    assert not any(tokenizer.unk_token_id in row for row in ids)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == texts


def test_nothing_is_added_unasked_and_special_tokens_are_read_as_such(tokenizer) -> None:
    ids = tokenizer("check cable <sep> thanks <eos>")["input_ids"]
    assert len(ids) == 5 and ids[2] == tokenizer.sep_token_id and ids[4] == tokenizer.eos_token_id
    assert tokenizer("casino")["input_ids"] == [tokenizer.unk_token_id]


def test_the_tokenizer_survives_saving(tokenizer, tmp_path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text = "sorry . check cable , clean port ."
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert loaded.pad_token_id == tokenizer.pad_token_id and loaded.sep_token_id == tokenizer.sep_token_id
