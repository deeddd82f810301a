"""The code inside every registered reward model (an MLflow pyfunc, logged as this file).

It stands on its own: it imports nothing of this project, so a registered version can be served where the project is not
installed. Sequences are laid out as `mlproject.models.sequences` does; a test holds the two against each other.
"""

from __future__ import annotations

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
        self._model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self._centre = getattr(self._model.config, "reward_centre", 0.0)
        self._scale = getattr(self._model.config, "reward_scale", 1.0)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        prompts, responses = model_input["prompt"].tolist(), model_input["response"].tolist()
        scores: list[float] = []
        for start in range(0, len(prompts), BATCH):
            scores += self._score(prompts[start : start + BATCH], responses[start : start + BATCH])
        return pd.DataFrame({"reward": scores})

    def _score(self, prompts: list[str], responses: list[str]) -> list[float]:
        tokenizer = self._tokenizer
        encoded = [tokenizer(texts, add_special_tokens=False)["input_ids"] for texts in (prompts, responses)]
        longest = getattr(self._model.config, "max_response_tokens", None)
        responses_ids = [[*row, tokenizer.eos_token_id][:longest] for row in encoded[1]]
        rows = [[*p, tokenizer.sep_token_id, *r] for p, r in zip(encoded[0], responses_ids, strict=True)]
        width = max(map(len, rows))
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
        with torch.inference_mode():
            logits = self._model(input_ids=ids, use_cache=False).logits.squeeze(-1)
        return (self._scale * (logits.double() - self._centre)).tolist()


mlflow.models.set_model(RewardModelScorer())
