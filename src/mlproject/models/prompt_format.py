"""Prompt formats: how a policy's tokenizer encodes a prompt with a response.

`Responses` of a policy are its token ids, and the same as texts for reward models, which read them in their own format
(`mlproject.models.conversation_format`).

Axis letters: B responses, P prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlproject.models.sequences import (
    Prompts,
    Sequences,
    concatenate,
    decode_responses,
    encode,
    encode_prompts,
    prompts_from_rows,
    sequences_from_rows,
)
from mlproject.models.turns import conversation_ids, template_end
from mlproject.worlds.chat import messages_of, plain_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

UNBOUNDED = 2**20
"""`max_response_tokens` of a prompt format that cuts no response."""


@dataclass(frozen=True)
class PromptFormat:
    """Encodes texts and decodes token ids, in the layout that the tokenizer determines.

    - `chat`: the tokenizer has a chat template: the conversation up to the beginning of the assistant's turn, the
      response, and the token with which the template ends a turn.
    - `pair`: it has a class token (encoders such as BERT): its own encoding of a pair of texts.
    - `separator`: it has a separator, as the embedded world's has: `prompt <sep> response <eos>`.
    - `plain`: the prompt with the tokens that the tokenizer adds before it (and none behind), response,
      end-of-sequence.

    Attributes:
        tokenizer: its end-of-sequence serves as padding if it has none.
        max_response_tokens: longer responses are cut; end-of-sequence counts.
        max_tokens: longer sequences lose the beginning of the prompt, then the end of the response; None: no limit.
        further_ends: ids that end a response beside those of tokenizer and chat template.

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
    further_ends: tuple[int, ...] = ()

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

    @cached_property
    def end_id(self) -> int:
        """The token that ends an encoded response."""
        end = template_end(self.tokenizer)
        return self.tokenizer.eos_token_id if end is None else end

    @property
    def ends(self) -> set[int]:
        """The tokens that end a response."""
        return {self.end_id, self.tokenizer.eos_token_id, *self.further_ends}

    def encode_prompts(self, texts: Sequence[str]) -> Prompts:
        """Prompts, each up to the first token of a response. Length P."""
        if self.layout == "separator":
            return encode_prompts(self.tokenizer, texts)
        ids_by_text = self._prompt_ids(texts)
        return prompts_from_rows([ids_by_text[text] for text in texts], self.pad_id)

    def encode(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequences:
        """Prompts with their responses. Length B."""
        if self.layout == "separator":
            return encode(self.tokenizer, prompts, responses, self.max_response_tokens)
        if self.layout == "pair":
            return self._encode_pairs(prompts, responses)
        ids_by_text = self._prompt_ids(prompts)
        rows, starts = [], []
        for prompt, response in zip(prompts, responses, strict=True):
            prompt_ids = ids_by_text[prompt]
            response_ids = self._response(response)[: self.max_tokens]
            if self.max_tokens is not None:
                prompt_ids = prompt_ids[max(0, len(prompt_ids) + len(response_ids) - self.max_tokens) :]
            rows.append([*prompt_ids, *response_ids])
            starts.append(len(prompt_ids))
        return sequences_from_rows(rows, starts, self.pad_id)

    def decode(self, sequences: Sequences) -> list[str]:
        """The response texts as they were written, without their end and without special tokens. Length B."""
        return decode_responses(self.tokenizer, sequences, self.ends)

    def cut(self, prompt: str, limit: int) -> str | None:
        """The longest end of a prompt that has at most `limit` tokens; None if the whole prompt has no more.

        A conversation of several turns cannot be cut; it becomes empty.
        """
        text = plain_text(prompt)
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        if len(encoding["input_ids"]) <= limit:
            return None
        if text != prompt:
            return ""
        # a token may be half a character, and an end alone may have more tokens than within the whole text
        ends = (text[start:] for start, _ in encoding["offset_mapping"][-limit:])
        return next((end for end in ends if len(self._ids(end)) <= limit), "")

    def shares_ids(self, other: PromptFormat) -> bool:
        """Whether token ids mean the same in both formats."""
        a, b = self.tokenizer, other.tokenizer
        return a is b or (a.get_vocab() == b.get_vocab() and a.chat_template == b.chat_template)

    def _prompt_ids(self, prompts: Sequence[str]) -> dict[str, list[int]]:
        """The token ids of each distinct prompt."""
        return {prompt: self._prompt(prompt) for prompt in dict.fromkeys(prompts)}

    def _prompt(self, text: str) -> list[int]:
        if self.layout == "chat":
            return conversation_ids(self.tokenizer, [messages_of(text)], is_open=True)[0]
        ids = self.tokenizer(plain_text(text))["input_ids"]
        return ids[: len(ids) - self._appended] or [self._start_id]

    def _response(self, text: str) -> list[int]:
        return [*self._ids(text), self.end_id][: self.max_response_tokens]

    @cached_property
    def _appended(self) -> int:
        return appended_tokens(self.tokenizer)

    def _encode_pairs(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequences:
        truncation = {"truncation": "only_first", "max_length": self.max_tokens} if self.max_tokens else {}
        self.tokenizer.truncation_side = "left"  # saved tokenizers forget it
        shortened = [self._cut_response(response) for response in responses]
        encoded = self.tokenizer([plain_text(prompt) for prompt in prompts], shortened, **truncation)
        rows = encoded["input_ids"]  # an empty response starts at the token that closes the pair
        starts = [_first(1, encoded.sequence_ids(row), default=len(ids) - 1) for row, ids in enumerate(rows)]
        return sequences_from_rows(rows, starts, self.pad_id)

    def _cut_response(self, response: str) -> str:
        """The beginning of a response that leaves room for one token of the prompt, since no tokenizer cuts all."""
        limit = self.max_response_tokens
        if self.max_tokens:
            limit = min(limit, self.max_tokens - self.tokenizer.num_special_tokens_to_add(pair=True) - 1)
        return beginning(self.tokenizer, response, limit)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @property
    def _start_id(self) -> int:
        """The token before a response to an empty prompt: a model predicts the first token from it."""
        tokenizer = self.tokenizer
        return tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id


def appended_tokens(tokenizer: PreTrainedTokenizerFast) -> int:
    """Number of tokens that a tokenizer itself puts behind a text; behind a prompt they would be an end that nobody
    wrote."""
    added: list[int] = tokenizer("?", return_special_tokens_mask=True)["special_tokens_mask"]
    return added[::-1].index(0) if 0 in added else 0


def beginning(tokenizer: PreTrainedTokenizerFast, text: str, limit: int) -> str:
    """The beginning of a text that has at most `limit` tokens."""
    if limit >= UNBOUNDED:
        return text
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(offsets) <= limit else text[: offsets[limit - 1][1]] if limit else ""


def _first(value: int, values: Sequence[int | None], default: int) -> int:
    return values.index(value) if value in values else default


@dataclass(frozen=True)
class Responses:
    """Responses of a policy, for scorers.

    Attributes:
        prompts: the prompt of each response. Length B.
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
        """The same number of responses for each prompt, those of one prompt side by side."""
        count = len(sequences) // max(1, len(prompts))
        return cls(
            [prompt for prompt in prompts for _ in range(count)], sequences.to(torch.device("cpu")), prompt_format
        )


def joined(parts: Sequence[Responses]) -> Responses:
    """Several responses of one policy as one."""
    if len(parts) == 1:
        return parts[0]
    prompt_format = parts[0].prompt_format
    sequences = concatenate([part.sequences for part in parts], prompt_format.pad_id)
    log_probs = [part.log_prob_B for part in parts if part.log_prob_B is not None]
    prompts = [prompt for part in parts for prompt in part.prompts]
    return Responses(prompts, sequences, prompt_format, np.concatenate(log_probs) if log_probs else None)
