"""The code inside every registered reward model (an MLflow pyfunc, logged as this file).

It stands on its own: it imports nothing of this project, so a registered version can be served where the project is not
installed. Sequences are laid out as `mlproject.models.prompt_format` does; tests hold the two against each other.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from typing import Any

import mlflow
import pandas as pd
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

BATCH = 256


class RewardModelScorer(mlflow.pyfunc.PythonModel):
    """Scores responses: a table with `prompt` and `response` in, calibrated rewards out.

    The reward is in gold standard deviations above the initial policy's mean.
    """

    def load_context(self, context: Any) -> None:
        folder = context.artifacts["model"]
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._tokenizer.truncation_side = "left"
        self._model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self._centre = getattr(self._model.config, "reward_centre", 0.0)
        self._is_causal = "past_key_values" in inspect.signature(self._model.forward).parameters
        self._scale = getattr(self._model.config, "reward_scale", 1.0)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        prompts, responses = model_input["prompt"].tolist(), model_input["response"].tolist()
        scores: list[float] = []
        for start in range(0, len(prompts), BATCH):
            scores += self._score(prompts[start : start + BATCH], responses[start : start + BATCH])
        return pd.DataFrame({"reward": scores})

    def _score(self, prompts: list[str], responses: list[str]) -> list[float]:
        rows, starts = self._rows(prompts, responses)
        pad = self._padding(rows)
        width = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        ends = torch.tensor([len(row) for row in rows])[:, None]
        place = torch.arange(width)
        told: dict[str, Any] = {"use_cache": False}
        if not self._is_causal:  # an encoder must be told what is padding
            told = {"attention_mask": (place < ends).long()}
            if getattr(self._model.config, "type_vocab_size", 0) > 1:
                told["token_type_ids"] = ((place < ends) & (place >= torch.tensor(starts)[:, None])).long()
        config, named = self._model.config.get_text_config(), self._model.config.get_text_config().pad_token_id
        config.pad_token_id = pad
        with torch.inference_mode():
            logits = self._model(input_ids=ids, **told).logits.squeeze(-1)
        config.pad_token_id = named
        return (self._scale * (logits.double() - self._centre)).tolist()

    def _padding(self, rows: list[list[int]]) -> int:
        """The configuration's padding; where it names none, a token with which no row ends."""
        named = self._model.config.get_text_config().pad_token_id
        last = {row[-1] for row in rows}
        return next(token for token in range(len(last) + 1) if token not in last) if named is None else named

    def _rows(self, prompts: list[str], responses: list[str]) -> tuple[list[list[int]], list[int]]:
        """Token ids in the layout that the tokenizer asks for, and where each response begins."""
        tokenizer, config = self._tokenizer, self._model.config
        most = getattr(config, "max_tokens", None) if getattr(config, "reads_texts", False) else None
        longest = getattr(config, "max_response_tokens", None)
        if not tokenizer.chat_template and tokenizer.cls_token_id is not None:
            cut = {"truncation": "only_first", "max_length": most} if most else {}
            fits = most - tokenizer.num_special_tokens_to_add(pair=True) - 1 if most else None
            bounds = [bound for bound in (longest, fits) if bound is not None]
            shortened = [self._beginning_of(response, min(bounds, default=None)) for response in responses]
            encoded = tokenizer([_plain(prompt) for prompt in prompts], shortened, **cut)
            rows = encoded["input_ids"]
            kinds = [encoded.sequence_ids(number) for number in range(len(rows))]
            return rows, [kind.index(1) if 1 in kind else len(kind) - 1 for kind in kinds]
        rows, starts = [], []
        for prompt, response in zip(prompts, responses, strict=True):
            head = self._head(prompt)
            tail = [*tokenizer(response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id][:longest]
            if most is not None:
                tail = tail[:most]
                head = head[max(0, len(head) + len(tail) - most) :]
            rows.append([*head, *tail])
            starts.append(len(head))
        return rows, starts

    def _beginning_of(self, response: str, longest: int | None) -> str:
        found = self._tokenizer(response, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return response if longest is None or len(found) <= longest else response[: found[longest - 1][1]]

    def _head(self, prompt: str) -> list[int]:
        tokenizer = self._tokenizer
        if tokenizer.chat_template:
            said = tokenizer.apply_chat_template(_messages(prompt), tokenize=False, add_generation_prompt=True)
            return tokenizer(said, add_special_tokens=False)["input_ids"]
        if tokenizer.sep_token_id is not None:
            return [*tokenizer(prompt, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
        begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        return tokenizer(_plain(prompt))["input_ids"] or [begin]


def _messages(prompt: str) -> list[dict[str, str]]:
    if prompt.startswith('[{"role":'):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(prompt)
    return [{"role": "user", "content": prompt}]


def _plain(prompt: str) -> str:
    return "\n".join(message["content"] for message in _messages(prompt))


mlflow.models.set_model(RewardModelScorer())
