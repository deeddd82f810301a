"""A Hugging Face tokenizer with one token per word of the lexicon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, models, pre_tokenizers

from mlproject.models.libraries import transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIALS = ("<pad>", "<bos>", "<sep>", "<eos>", "<unk>")


def word_tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that splits at spaces and adds no tokens.

    Args:
        vocabulary: distinct words; their ids follow those of `SPECIALS`, in this order.

    Returns:
        A tokenizer whose special tokens (padding, beginning, separator, end, unknown) are `SPECIALS`.
    """
    ids = {word: index for index, word in enumerate((*SPECIALS, *vocabulary))}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        sep_token="<sep>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
