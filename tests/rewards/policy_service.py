"""A policy behind the completions of an OpenAI-compatible server, in the form in which vLLM answers."""

from __future__ import annotations

import threading
from typing import Any

import torch
from tests.rewards.loopback import Answer

from mlproject.models.generation import sample
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import prompts_from_rows


class PolicyService:
    """Answers requests with samples of a policy.

    Args:
        policy: in eval mode.
        prompt_format: of the policy.
        form: what a choice says beside its text: `token_ids`, `token_id:` names, or `text` alone.
        off: added to each log-probability, as by a sampler in another precision.
    """

    def __init__(self, policy: Any, prompt_format: PromptFormat, form: str = "token_ids", off: float = 0.0) -> None:
        self._policy, self._format, self._form, self._off = policy, prompt_format, form, off
        self._lock = threading.Lock()  # one model, several requests

    def __call__(self, path: str, content: Any, number: int) -> Answer:
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": "tiny"}]}, {}
        if path != "/v1/completions" or content["model"] != "tiny":
            return 404, {"error": "no such page"}, {}
        with self._lock:
            samples = sample(
                self._policy,
                prompts_from_rows([content["prompt"]], self._format.pad_id),
                max_new_tokens=content["max_tokens"],
                generator=torch.Generator().manual_seed(content["seed"]),
                samples_per_prompt=content["n"],
                temperature=content["temperature"],
            )
        texts = self._format.decode(samples.sequences)
        return 200, {"choices": [self._choice(samples, row, text) for row, text in enumerate(texts)]}, {}

    def _choice(self, samples: Any, row: int, text: str) -> dict[str, Any]:
        start, end = int(samples.sequences.starts_B[row]), int(samples.sequences.ends_B[row])
        ids = samples.sequences.ids_BT[row, start:end].tolist()
        values = [value + self._off for value in samples.log_probs_BR[row, : end - start].tolist()]
        tokens = [f"token_id:{token}" if self._form == "token_id:" else str(token) for token in ids]
        return {
            "index": row,
            "text": text,
            "finish_reason": "stop" if ids[-1] in self._format.ends else "length",
            "logprobs": {"tokens": tokens, "token_logprobs": values},
            **({"token_ids": ids} if self._form == "token_ids" else {}),
        }
