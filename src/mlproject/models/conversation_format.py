"""Conversation formats: how a reward model reads a prompt with a response.

Axis letters: B responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlproject.models.prompt_format import PromptFormat, beginning
from mlproject.models.sequences import Sequences, sequences_from_rows
from mlproject.models.turns import answered, conversation_ids, head_ids, shared_beginning
from mlproject.worlds.chat import messages_of


@dataclass(frozen=True)
class ConversationFormat(PromptFormat):
    """Encodes what a reward model reads: with a chat template, exactly the whole conversation as the template gives it.

    A response is always a finished turn, also one that was cut before its end: reward models were trained on finished
    turns, and a text does not say whether it was cut. Without a chat template the layout is that of `PromptFormat`.

    Where a conversation is longer than `max_tokens`, the beginning of its prompt is cut; where the response alone is
    longer, the end of its text too.

    Examples:
        >>> from transformers import AutoTokenizer
        >>> from mlproject.models.conversation_format import ConversationFormat
        >>> conversation_format = ConversationFormat(AutoTokenizer.from_pretrained("reward-model"), 8)
        >>> conversation_format.encode(["yes no"], ["no maybe"]).response_lengths_B.tolist()
        [3]
    """

    def encode(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequences:
        """Whole conversations; a response starts where its prompt's conversations begin to differ. Length B."""
        if self.layout != "chat":
            return super().encode(prompts, responses)
        heads = {prompt: head_ids(self.tokenizer, messages_of(prompt)) for prompt in dict.fromkeys(prompts)}
        pairs = list(zip(prompts, responses, strict=True))
        texts = {pair: beginning(self.tokenizer, pair[1], self.max_response_tokens) for pair in dict.fromkeys(pairs)}
        rows = self._whole([(prompt, text) for (prompt, _), text in texts.items()])
        laid_out = {
            pair: self._fitted(pair[0], text, row, heads[pair[0]])
            for (pair, text), row in zip(texts.items(), rows, strict=True)
        }
        ids, starts = zip(*(laid_out[pair] for pair in pairs), strict=True)
        return sequences_from_rows(ids, starts, self.pad_id)

    def _response(self, text: str) -> list[int]:
        return [*self._ids(text)[: self.max_response_tokens], self.end_id]

    def _whole(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        return conversation_ids(self.tokenizer, [answered(messages_of(prompt), response) for prompt, response in pairs])

    def _fitted(self, prompt: str, response: str, row: list[int], head: list[int]) -> tuple[list[int], int]:
        """A conversation cut to `max_tokens`, and where its response starts."""
        start = shared_beginning(row, head)
        limit = self.max_tokens
        while limit is not None and response and len(row) - start > limit:
            fewer = len(self._ids(response)) - (len(row) - start - limit)
            shorter = beginning(self.tokenizer, response, max(0, fewer))
            response = shorter if len(shorter) < len(response) else response[:-1]
            [row] = self._whole([(prompt, response)])
            start = shared_beginning(row, head)
        excess = 0 if limit is None else max(0, len(row) - limit)
        if self.tokenizer.cls_token_id is not None:  # an encoder reads a chat as one text, without types of tokens
            start = len(row)
        return row[excess:], max(0, start - excess)
