"""A policy behind an OpenAI-compatible server, as vLLM serves it: responses with their log-probabilities.

Axis letters: P prompts, N samples per prompt, B responses, T tokens of a sequence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mlproject.errors import UserError
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.sequences import sequences_from_rows
from mlproject.rewards.http import Client

_MOST = 128
"""Samples that one request asks for."""
_FROM_THE_POLICY_ITSELF = {
    "temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}  # fmt: skip
"""Servers may take other values from the model's `generation_config`, and so sample from another distribution."""
_AS_TOKENS = {"return_token_ids": True, "return_tokens_as_token_ids": True, "skip_special_tokens": False}
_TOKEN = "token_id:"
_ROUNDING = 1e-2
"""Nats by which the logarithm of a probability may lie above 0."""


class PolicyServer(Client):
    """Samples from a policy that is served at an address which ends with `/v1`."""

    def sample(self, prompts: Sequence[str], samples: int, prompt_format: PromptFormat, seed: int) -> Responses:
        """Responses with their log-probabilities under the server's policy.

        Prompts are sent as token ids, so that the server reads what this project's policies read.

        Args:
            prompts: P texts.
            samples: N.
            prompt_format: of the policy; it bounds the length of a response.
            seed: of the samples, where the server keeps to seeds.

        Returns:
            P * N responses, those of one prompt side by side.

        Raises:
            UserError: if the server does not answer, or answers without log-probabilities.
        """
        base, model = self.url.rstrip("/"), self.model(self.url.rstrip("/"))
        encoded = prompt_format.encode_prompts(prompts)
        ids_P = [row[:length].tolist() for row, length in zip(encoded.ids_PT, encoded.lengths_P, strict=True)]
        jobs = [(p, first) for p in range(len(prompts)) for first in range(0, samples, _MOST)]

        def ask(job: tuple[int, int]) -> list[tuple[list[int], float]]:
            p, first = job
            count = min(_MOST, samples - first)
            body = {
                "model": model, "prompt": ids_P[p], "n": count, "max_tokens": prompt_format.max_response_tokens,
                "logprobs": 1, "seed": (seed + 7919 * p + first) % 2**31, **_FROM_THE_POLICY_ITSELF, **_AS_TOKENS,
            }  # fmt: skip
            numbers, task = count * prompt_format.max_response_tokens, f"sample {count} responses"
            answer = self.request(f"{base}/completions", body, self.deadline(), task, numbers)
            choices = answer.get("choices") if isinstance(answer, dict) else None
            if not isinstance(choices, list) or len(choices) != count:
                raise UserError(
                    f"{self.url}: must answer with {count} choices, as the OpenAI-compatible completions of vLLM do. "
                    "Correct the address, which ends with /v1."
                )
            return [self._response(choice, prompt_format) for choice in choices]

        with ThreadPoolExecutor(min(self.options.scorer_parallel, len(jobs))) as pool:
            answers = list(pool.map(ask, jobs))
        rows, starts, log_probs = [], [], []
        for (p, _), responses in zip(jobs, answers, strict=True):
            for ids, log_prob in responses:
                rows.append([*ids_P[p], *ids])
                starts.append(len(ids_P[p]))
                log_probs.append(log_prob)
        sequences = sequences_from_rows(rows, starts, prompt_format.pad_id)
        of_prompts = Responses.of_prompts(prompts, sequences, prompt_format)
        return Responses(of_prompts.prompts, of_prompts.sequences, prompt_format, np.array(log_probs))

    def _response(self, choice: Any, prompt_format: PromptFormat) -> tuple[list[int], float]:
        """Token ids of a choice, and its log-probability in nats."""
        said = choice.get("logprobs") if isinstance(choice, dict) else None
        said = said if isinstance(said, dict) else {}
        values, tokens = said.get("token_logprobs"), said.get("tokens")
        if not isinstance(values, list) or not values or not all(map(_is_number, values)):
            raise UserError(
                f"{self.url}: must return the log-probability of each token, and does not. Start the server so that it "
                "answers logprobs=1 (vLLM does), or give the responses as a file, pool=FILE."
            )
        if any(not -math.inf < value <= _ROUNDING for value in values):
            odd = next(value for value in values if not -math.inf < value <= _ROUNDING)
            raise UserError(
                f"{self.url}: must return log-probabilities in nats, finite and at most 0, and returns {odd:g} for a "
                "token. Correct the server."
            )
        ids = choice.get("token_ids")
        if ids is None and isinstance(tokens, list) and all(str(token).startswith(_TOKEN) for token in tokens):
            ids = [token.removeprefix(_TOKEN) for token in tokens]
            ids = [int(token) if token.isascii() and token.isdigit() and len(token) < 10 else -1 for token in ids]
        if ids is None:  # the text alone: encoded again, which may split words otherwise than they were written
            encoded = prompt_format.encode([""], [self._text(choice)])
            return encoded.ids_BT[0, int(encoded.starts_B[0]) : int(encoded.ends_B[0])].tolist(), float(sum(values))
        self._check_ids(ids, len(values), prompt_format)
        if choice.get("finish_reason") == "stop" and len(ids) < prompt_format.max_response_tokens:
            ids = ids if ids and ids[-1] in prompt_format.ends else [*ids, prompt_format.end_id]
        return list(ids), float(sum(values))

    def _text(self, choice: dict[str, Any]) -> str:
        text = choice.get("text")
        try:
            if isinstance(text, str) and text.encode() is not None:
                return text
        except UnicodeEncodeError:
            pass
        raise UserError(f"{self.url}: must give each choice token ids or a text, and does not. Correct the server.")

    def _check_ids(self, ids: Any, count: int, prompt_format: PromptFormat) -> None:
        vocabulary, most = len(prompt_format.tokenizer), prompt_format.max_response_tokens
        if not isinstance(ids, list) or not all(type(token) is int and 0 <= token < vocabulary for token in ids):
            raise UserError(
                f"{self.url}: must return tokens of the policy's vocabulary of {vocabulary}, and does not. Is "
                "policy_weights the model that it serves?"
            )
        if len(ids) != count or len(ids) > most:
            raise UserError(
                f"{self.url}: must return at most max_tokens={most} tokens with a log-probability each, and returns "
                f"{len(ids)} tokens and {count} log-probabilities. Correct the server."
            )


def _is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that a float can hold."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**53)
