"""The layout of prompts and responses: what is put together comes apart again, and groups are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlproject.models.sequences import (
    Prompts,
    Sequences,
    batches_by_length,
    concatenate,
    decode_responses,
    encode,
    encode_prompts,
    join,
    rows_by_prompt,
    unique,
)

PROMPTS = ["yes", "no no yes", "yes no", "maybe"]
RESPONSES = ["no maybe", "yes", "maybe maybe maybe", "no"]


@pytest.fixture
def random_sequences(tiny_tokenizer) -> Sequences:
    """Rows with many repeats, over prompts of which some begin with others."""
    rng = np.random.default_rng(0)
    words = np.array(["yes", "no", "maybe"])
    prompts = [" ".join(["yes"] * rng.integers(1, 4)) for _ in range(120)]
    responses = [" ".join(rng.choice(words[:2], rng.integers(1, 4))) for _ in range(120)]
    return encode(tiny_tokenizer, prompts, responses, max_response_tokens=5)


def rows_of(sequences: Sequences) -> list[tuple[int, ...]]:
    return [tuple(row[:end]) for row, end in zip(sequences.ids_BT.tolist(), sequences.ends_B.tolist(), strict=True)]


def prompts_of(sequences: Sequences) -> list[tuple[int, ...]]:
    return [
        tuple(row[:start]) for row, start in zip(sequences.ids_BT.tolist(), sequences.starts_B.tolist(), strict=True)
    ]


def test_encoding_lays_out_prompt_separator_response_end_and_padding(tiny_tokenizer) -> None:
    pad, sep, eos = (getattr(tiny_tokenizer, f"{name}_token_id") for name in ("pad", "sep", "eos"))
    yes, no, maybe = tiny_tokenizer.convert_tokens_to_ids(["yes", "no", "maybe"])
    sequences = encode(tiny_tokenizer, PROMPTS[:2], RESPONSES[:2], max_response_tokens=9)
    assert sequences.ids_BT.tolist() == [[yes, sep, no, maybe, eos, pad], [no, no, yes, sep, yes, eos]]
    assert sequences.starts_B.tolist() == [2, 4]
    assert sequences.ends_B.tolist() == [5, 6]


def test_decoding_gives_back_the_responses_that_were_encoded(tiny_tokenizer) -> None:
    sequences = encode(tiny_tokenizer, PROMPTS, RESPONSES, max_response_tokens=9)
    assert decode_responses(tiny_tokenizer, sequences) == RESPONSES


def test_a_response_without_room_for_it_has_no_end_of_sequence(tiny_tokenizer) -> None:
    sequences = encode(tiny_tokenizer, ["yes"], ["no maybe yes"], max_response_tokens=3)
    assert tiny_tokenizer.eos_token_id not in sequences.ids_BT
    assert decode_responses(tiny_tokenizer, sequences) == ["no maybe yes"]
    cut = encode(tiny_tokenizer, ["yes"], ["no maybe yes"], max_response_tokens=2)
    assert decode_responses(tiny_tokenizer, cut) == ["no maybe"]


def test_joining_prompts_with_response_tokens_equals_encoding_both(tiny_tokenizer) -> None:
    whole = encode(tiny_tokenizer, PROMPTS, RESPONSES, max_response_tokens=9)
    prompts = encode_prompts(tiny_tokenizer, PROMPTS)
    joined = join(prompts, whole.response_ids_BR, whole.response_lengths_B, tiny_tokenizer.pad_token_id)
    for name in ("ids_BT", "starts_B", "ends_B"):
        assert torch.equal(getattr(joined, name), getattr(whole, name)), name


def test_joining_ignores_whatever_stands_behind_a_response(tiny_tokenizer) -> None:
    whole = encode(tiny_tokenizer, PROMPTS, RESPONSES, max_response_tokens=9)
    noise_BR = torch.where(whole.response_mask_BR, whole.response_ids_BR, 7)
    wide = torch.cat([noise_BR, torch.full((4, 3), 7)], dim=1)
    joined = join(encode_prompts(tiny_tokenizer, PROMPTS), wide, whole.response_lengths_B, tiny_tokenizer.pad_token_id)
    assert torch.equal(joined.ids_BT, whole.ids_BT)


def test_response_masks_and_ids_pick_exactly_the_response_tokens(tiny_tokenizer) -> None:
    sequences = encode(tiny_tokenizer, PROMPTS, RESPONSES, max_response_tokens=9)
    eos = tiny_tokenizer.eos_token_id
    picked = [
        ids[mask].tolist() for ids, mask in zip(sequences.response_ids_BR, sequences.response_mask_BR, strict=True)
    ]
    assert picked == [[*row, eos] for row in tiny_tokenizer(RESPONSES, add_special_tokens=False)["input_ids"]]
    assert sequences.response_mask_BR.sum(1).tolist() == sequences.response_lengths_B.tolist()


def test_selecting_keeps_the_rows_and_trims_the_padding(random_sequences: Sequences) -> None:
    index = torch.tensor([5, 3, 5, 77])
    chosen = random_sequences.select(index)
    assert rows_of(chosen) == [rows_of(random_sequences)[i] for i in index]
    assert prompts_of(chosen) == [prompts_of(random_sequences)[i] for i in index]
    assert chosen.ids_BT.shape[1] == int(chosen.ends_B.max())


def test_selecting_prompts_trims_to_the_longest_left() -> None:
    prompts = Prompts(torch.tensor([[5, 2, 0, 0], [5, 6, 7, 2], [6, 5, 2, 0]]), torch.tensor([2, 4, 3]))
    chosen = prompts.select(torch.tensor([2, 0]))
    assert chosen.ids_PT.tolist() == [[6, 5, 2], [5, 2, 0]]
    assert chosen.lengths_P.tolist() == [3, 2]


def test_concatenating_keeps_every_row_of_every_part(tiny_tokenizer, random_sequences: Sequences) -> None:
    parts = [random_sequences.select(slice(0, 7)), random_sequences.select(slice(7, 9)), random_sequences]
    whole = concatenate(parts, tiny_tokenizer.pad_token_id)
    assert rows_of(whole) == [row for part in parts for row in rows_of(part)]
    assert whole.starts_B.tolist() == [start for part in parts for start in part.starts_B.tolist()]


def test_unique_rows_and_their_inverse_reconstruct_the_batch(random_sequences: Sequences) -> None:
    distinct, inverse = unique(random_sequences)
    assert len(set(rows_of(distinct))) == len(distinct) == len(set(rows_of(random_sequences))) < len(random_sequences)
    assert rows_of(distinct.select(inverse)) == rows_of(random_sequences)
    assert torch.equal(distinct.select(inverse).starts_B, random_sequences.starts_B)


def test_grouping_by_prompt_gives_every_prompt_its_rows_and_no_others(random_sequences: Sequences) -> None:
    prompts = prompts_of(random_sequences)
    expected = {prompt: [i for i, other in enumerate(prompts) if other == prompt] for prompt in prompts}
    groups = [rows.tolist() for rows in rows_by_prompt(random_sequences)]
    assert sorted(groups) == sorted(expected.values())


def test_batches_by_length_cover_each_row_once_and_in_order_of_length(random_sequences: Sequences) -> None:
    batches = list(batches_by_length(random_sequences, batch_size=32))
    rows = torch.cat([index for index, _ in batches])
    assert sorted(rows.tolist()) == list(range(len(random_sequences)))
    assert (random_sequences.ends_B[rows].diff() >= 0).all()
    for index, batch in batches:
        assert len(index) <= 32
        assert rows_of(batch) == [rows_of(random_sequences)[i] for i in index]
