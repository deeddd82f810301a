"""How one model reads and writes: its tokenizer, and how a prompt and a response stand side by side in its ids.

Models with different tokenizers meet in texts. A policy's responses are `Responses`: its own ids, and the same as texts
for whoever reads otherwise.

Axis letters: B responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from mlproject.models.sequences import (
    Prompts,
    Sequences,
    decode_responses,
    encode,
    encode_prompts,
    prompts_from_rows,
    sequences_from_rows,
)
from mlproject.worlds.chat import messages_of, plain_text

UNBOUNDED = 2**20
"""Longest response of a prompt_format that cuts none: what a policy writes is bounded by the policy."""


@dataclass(frozen=True)
class PromptFormat:
    """Texts to ids and back, in the layout that the tokenizer asks for.

    - `chat`: the tokenizer has a chat template: user turn, then assistant turn.
    - `pair`: it has a class token (encoders such as BERT): its own form of a pair of texts.
    - `separator`: it has a separator: `prompt <sep> response <eos>`; the embedded world's.
    - `plain`: prompt with what the tokenizer puts before it, response, end-of-sequence.

    Attributes:
        tokenizer: padding, where it has none, is its end-of-sequence.
        max_response_tokens: a longer response is cut; end-of-sequence counts.
        max_tokens: a longer sequence loses the beginning of its prompt, then the end of its response; None: as long as
            it is.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject import PromptFormat
        >>> prompt_format = PromptFormat(AutoTokenizer.from_pretrained("policy"), max_response_tokens=8)
        >>> sequences = prompt_format.encode(["yes no"], ["no maybe"])
        >>> prompt_format.layout, prompt_format.decode(sequences)
        ('separator', ['no maybe'])
    """

    tokenizer: PreTrainedTokenizerFast
    max_response_tokens: int
    max_tokens: int | None = None

    @cached_property
    def layout(self) -> str:
        """`chat`, `pair`, `separator` or `plain`."""
        if self.tokenizer.chat_template:
            return "chat"
        if self.tokenizer.cls_token_id is not None:
            return "pair"
        return "plain" if self.tokenizer.sep_token_id is None else "separator"

    @property
    def pad_id(self) -> int:
        tokenizer = self.tokenizer
        return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def encode_prompts(self, texts: Sequence[str]) -> Prompts:
        """Prompts, each up to where a response begins. Length P."""
        if self.layout == "separator":
            return encode_prompts(self.tokenizer, texts)
        known = self._heads(texts)
        return prompts_from_rows([known[text] for text in texts], self.pad_id)

    def encode(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequences:
        """Prompts with their responses. Length B."""
        if self.layout == "separator":
            return encode(self.tokenizer, prompts, responses, self.max_response_tokens)
        if self.layout == "pair":
            return self._encode_pairs(prompts, responses)
        known = self._heads(prompts)
        rows, starts = [], []
        for prompt, response in zip(prompts, responses, strict=True):
            head = known[prompt]
            tail = self._response(response)[: self.max_tokens]
            if self.max_tokens is not None:
                head = head[max(0, len(head) + len(tail) - self.max_tokens) :]
            rows.append([*head, *tail])
            starts.append(len(head))
        return sequences_from_rows(rows, starts, self.pad_id)

    def decode(self, sequences: Sequences) -> list[str]:
        """The response texts, without special tokens. Length B."""
        return decode_responses(self.tokenizer, sequences)

    def cut(self, prompt: str, most: int) -> str | None:
        """The end of a prompt that has too many tokens, no longer than allowed as it is read; None where it has not.

        A conversation of several turns cannot be cut; it becomes empty.
        """
        text = plain_text(prompt)
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        if len(found["input_ids"]) <= most:
            return None
        if text != prompt:
            return ""
        # half a character cannot be kept, and an end may be read as more tokens than it was within the whole
        ends = (text[start:] for start, _ in found["offset_mapping"][-most:])
        return next((end for end in ends if len(self._ids(end)) <= most), "")

    def is_like(self, other: PromptFormat) -> bool:
        """Whether the ids of one mean the same to the other."""
        own, its = self.tokenizer, other.tokenizer
        return own is its or (own.get_vocab() == its.get_vocab() and own.chat_template == its.chat_template)

    def _heads(self, prompts: Sequence[str]) -> dict[str, list[int]]:
        """The ids of each prompt, which may stand there many times."""
        return {prompt: self._prompt(prompt) for prompt in dict.fromkeys(prompts)}

    def _prompt(self, text: str) -> list[int]:
        if self.layout == "chat":
            said = self.tokenizer.apply_chat_template(messages_of(text), tokenize=False, add_generation_prompt=True)
            return self._ids(said)
        return self.tokenizer(plain_text(text))["input_ids"] or [self._beginning]

    def _response(self, text: str) -> list[int]:
        return [*self._ids(text), self.tokenizer.eos_token_id][: self.max_response_tokens]

    def _encode_pairs(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequences:
        told = {"truncation": "only_first", "max_length": self.max_tokens} if self.max_tokens else {}
        self.tokenizer.truncation_side = "left"  # not kept where a tokenizer is saved
        shortened = [self._beginning_of(response) for response in responses]
        encoded = self.tokenizer([plain_text(prompt) for prompt in prompts], shortened, **told)
        rows = encoded["input_ids"]  # to nothing, the response is what closes it
        starts = [_first(1, encoded.sequence_ids(row), default=len(ids) - 1) for row, ids in enumerate(rows)]
        return sequences_from_rows(rows, starts, self.pad_id)

    def _beginning_of(self, response: str) -> str:
        """A response of a pair, cut so that it fits behind one token: no tokenizer cuts a prompt to nothing."""
        most = self.max_response_tokens
        if self.max_tokens:
            most = min(most, self.max_tokens - self.tokenizer.num_special_tokens_to_add(pair=True) - 1)
        found = self.tokenizer(response, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return response[: found[most - 1][1]] if len(found) > most else response

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @property
    def _beginning(self) -> int:
        """What stands before a response to nothing: a model needs one token to predict the first from."""
        tokenizer = self.tokenizer
        return tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id


def _first(wanted: int, values: Sequence[int | None], default: int) -> int:
    return values.index(wanted) if wanted in values else default


@dataclass(frozen=True)
class Responses:
    """Responses of a policy, for anyone to score.

    Attributes:
        prompts: what each answers. Length B.
        sequences: token ids of the policy that wrote them, on the CPU. Length B.
        prompt_format: prompt format of that policy.
        log_prob_B: log-probability of each response under that policy, nats; None if it was not recorded. Shape: (B,).
    """

    prompts: Sequence[str]
    sequences: Sequences
    prompt_format: PromptFormat
    log_prob_B: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.sequences)

    @cached_property
    def texts(self) -> list[str]:
        """As texts, without special tokens. Length B."""
        return self.prompt_format.decode(self.sequences)

    def select(self, index: Tensor) -> Responses:
        """Some of the responses, by index; shape (B',)."""
        log_prob_B = None if self.log_prob_B is None else self.log_prob_B[index.numpy()]
        prompts = [self.prompts[i] for i in index.tolist()]
        return Responses(prompts, self.sequences.select(index), self.prompt_format, log_prob_B)

    @classmethod
    def of_prompts(cls, prompts: Sequence[str], sequences: Sequences, prompt_format: PromptFormat) -> Responses:
        """Responses of which those to one prompt stand side by side, equally many to each."""
        each = len(sequences) // max(1, len(prompts))
        return cls(
            [prompt for prompt in prompts for _ in range(each)], sequences.to(torch.device("cpu")), prompt_format
        )
