"""The code inside every registered reward model: an MLflow pyfunc, logged as this file.

It imports nothing from this project, so that a registered version can be served where the project is not installed.
Sequences are laid out as in `mlproject.models.conversation_format` and `prompt_format`; tests compare the scores.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
from itertools import takewhile
from pathlib import Path
from statistics import NormalDist
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
import transformers
from safetensors import safe_open

BATCH_SIZE = 256


class RewardModelScorer(mlflow.pyfunc.PythonModel):
    """Scores responses: takes a table with `prompt` and `response`, returns a table with `reward`.

    Rewards are calibrated: gold standard deviations above the initial policy's mean.
    """

    def load_context(self, context: Any) -> None:
        self._reward = _load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        prompts, responses = model_input["prompt"].tolist(), model_input["response"].tolist()
        for row, pair in enumerate(zip(prompts, responses, strict=True)):
            for name, text in zip(("prompt", "response"), pair, strict=True):
                if not isinstance(text, str):
                    raise ValueError(f"row {row}: {name} must be a text, not {str(text)[:40]!r}")
        scores = self._reward.scores(prompts, responses)
        for row, score in enumerate(scores):
            if not math.isfinite(score):
                raise ValueError(f"row {row}: must get a finite reward, but gets {score} ({responses[row][:40]!r})")
        return pd.DataFrame({"reward": scores})


def _load(folder: Path) -> Any:
    """A reward model, or a reward with cures that is made of others."""
    return _Made(folder) if (folder / "reward.json").exists() else _Model(folder)


class _Made:
    """An ensemble or a shaped reward, as `reward.json` describes it; see the pages of mlproject.cures."""

    def __init__(self, folder: Path) -> None:
        self._recipe = json.loads((folder / "reward.json").read_text())
        self._parts = [_load(folder / name) for name in self._recipe["parts"]]
        references = folder / "references.json"
        self._references = json.loads(references.read_text()) if references.exists() else {}

    def scores(self, prompts: list[str], responses: list[str]) -> list[float]:
        recipe = self._recipe
        parts = np.array([part.scores(prompts, responses) for part in self._parts])
        start, options = recipe.get("start"), recipe["options"]
        if start is None:
            made = _combined(recipe["how"], parts, options)
        else:
            made = _shaped(recipe["how"], parts[0], start, self._of(prompts), options)
        return (recipe["scale"] * (made - recipe["centre"])).tolist()

    def _of(self, prompts: list[str]) -> Any:
        """Scores of the reference responses to each prompt."""
        for row, prompt in enumerate(prompts):
            if self._references and prompt not in self._references:
                raise ValueError(f"row {row}: prompt must be one that has reference responses, not {prompt[:40]!r}")
        return np.array([self._references.get(prompt, []) for prompt in prompts], dtype=float)


def _combined(how: str, parts: Any, options: dict[str, Any]) -> Any:
    if how == "worst-case":
        return parts.min(axis=0)
    if how == "median":
        return np.median(parts, axis=0)
    if how == "uncertainty-weighted":
        return parts.mean(axis=0) - options["uwo_lambda"] * parts.var(axis=0)
    if how == "mean-minus-sd":
        return parts.mean(axis=0) - options["ensemble_sds"] * parts.std(axis=0)
    if how == "mean":
        return parts.mean(axis=0)
    raise ValueError(f"reward.json: how={how} must be an ensemble that this version knows")


def _shaped(how: str, scores: Any, start: dict[str, float], references: Any, options: dict[str, Any]) -> Any:
    if how == "ceiling":
        return np.minimum(scores, options["reward_ceiling"])
    if how == "clip":
        width = options["clip_sds"] * start["sd"]
        return np.clip(scores, start["mean"] - width, start["mean"] + width)
    if how == "min-max":
        return (np.clip(scores, start["low"], start["high"]) - start["low"]) / (start["high"] - start["low"])
    if how == "par":
        return np.exp(-np.logaddexp(0, -options["par_k"] * (scores[:, None] - references))).mean(axis=1)
    if how == "log-sigmoid":
        sd = references.std(axis=1) if references.shape[1] > 1 else start["sd"]
        quantile = references.mean(axis=1) + NormalDist().inv_cdf(options["lsc_quantile"]) * sd
        return -np.logaddexp(0, quantile - scores)
    raise ValueError(f"reward.json: how={how} must be a shaping that this version knows")


class _ConservativeHead(torch.nn.Module):
    """A linear head that takes standard deviations of its posterior off the reward."""

    def __init__(self, head: torch.nn.Module, root: torch.Tensor, certain: torch.Tensor, sds: float) -> None:
        super().__init__()
        self.head, self.root, self.certain, self.sds = head, root, certain, sds

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        sigma = ((hidden - self.certain) @ self.root).square().sum(-1, keepdim=True).sqrt()
        return self.head(hidden) - self.sds * sigma


def _with_saved_head(model: Any, path: Path) -> None:
    if not path.exists():
        return
    name = [name for name, part in model.named_modules() if getattr(part, "out_features", 0) == 1][-1]
    parent, _, last = name.rpartition(".")
    with safe_open(path, "pt") as file:
        sds, root, certain = float(file.metadata()["sds"]), file.get_tensor("root"), file.get_tensor("certain")
    plain = model.get_submodule(name)
    setattr(model.get_submodule(parent), last, _ConservativeHead(plain, root, certain, sds))


class _Model:
    """A reward model with its units."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._tokenizer.truncation_side = "left"
        self._model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False, use_safetensors=True
        )
        if report["missing_keys"]:
            raise ValueError(f"{folder}: must have the weights {', '.join(sorted(report['missing_keys']))}")
        _with_saved_head(self._model, folder / "conservative_head.safetensors")
        self._model.eval()
        self._centre = getattr(self._model.config, "reward_centre", 0.0)
        self._is_causal = "past_key_values" in inspect.signature(self._model.forward).parameters
        self._scale = getattr(self._model.config, "reward_scale", 1.0)

    def scores(self, prompts: list[str], responses: list[str]) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(prompts), BATCH_SIZE):
            scores += self._score(prompts[start : start + BATCH_SIZE], responses[start : start + BATCH_SIZE])
        return scores

    def _score(self, prompts: list[str], responses: list[str]) -> list[float]:
        rows, starts = self._rows(prompts, responses)
        if not getattr(self._model.config, "reads_lengths_apart", False):
            return self._score_rows(rows, starts)
        scores = dict[int, float]()  # this model reads padding
        for length in {len(row) for row in rows}:
            index = [i for i, row in enumerate(rows) if len(row) == length]
            part = self._score_rows([rows[i] for i in index], [starts[i] for i in index])
            scores |= dict(zip(index, part, strict=True))
        return [scores[i] for i in range(len(rows))]

    def _score_rows(self, rows: list[list[int]], starts: list[int]) -> list[float]:
        pad = self._padding(rows)
        width = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        ends = torch.tensor([len(row) for row in rows])[:, None]
        positions = torch.arange(width)
        options: dict[str, Any] = {"use_cache": False}
        if not self._is_causal:  # an encoder needs a mask of the padding
            options = {"attention_mask": (positions < ends).long()}
            if getattr(self._model.config, "type_vocab_size", 0) > 1:
                options["token_type_ids"] = ((positions < ends) & (positions >= torch.tensor(starts)[:, None])).long()
        config = self._model.config.get_text_config()
        configured_pad, config.pad_token_id = getattr(config, "pad_token_id", None), pad
        with torch.inference_mode():
            logits = self._model(input_ids=ids, **options).logits.squeeze(-1)
        config.pad_token_id = configured_pad
        return (self._scale * (logits.double() - self._centre)).tolist()

    def _padding(self, rows: list[list[int]]) -> int:
        """The padding token of the configuration; if it has none, a token that no row ends with."""
        configured_pad = getattr(self._model.config.get_text_config(), "pad_token_id", None)
        if configured_pad is not None:
            return configured_pad
        last_tokens = {row[-1] for row in rows}
        return next(token for token in range(len(last_tokens) + 1) if token not in last_tokens)

    def _rows(self, prompts: list[str], responses: list[str]) -> tuple[list[list[int]], list[int]]:
        """Token ids in the layout of the tokenizer, and the index at which each response begins."""
        tokenizer, config = self._tokenizer, self._model.config
        has_limit = getattr(config, "reads_texts", False) or tokenizer.chat_template
        max_tokens = getattr(config, "max_tokens", None) if has_limit else None
        max_response = getattr(config, "max_response_tokens", None)
        if tokenizer.chat_template:
            rows = [
                self._conversation(prompt, self._truncated(response, max_response), max_tokens)
                for prompt, response in zip(prompts, responses, strict=True)
            ]
            return rows, [len(row) for row in rows]  # one text, without types of tokens
        if tokenizer.cls_token_id is not None:
            truncation = {"truncation": "only_first", "max_length": max_tokens} if max_tokens else {}
            available = max_tokens - tokenizer.num_special_tokens_to_add(pair=True) - 1 if max_tokens else None
            bounds = [bound for bound in (max_response, available) if bound is not None]
            truncated = [self._truncated(response, min(bounds, default=None)) for response in responses]
            encoded = tokenizer([_plain(prompt) for prompt in prompts], truncated, **truncation)
            rows = encoded["input_ids"]
            sequence_ids = [encoded.sequence_ids(row) for row in range(len(rows))]
            return rows, [ids.index(1) if 1 in ids else len(ids) - 1 for ids in sequence_ids]
        rows, starts = [], []
        for prompt, response in zip(prompts, responses, strict=True):
            head = self._head(prompt)
            tail = [*self._ids(response), tokenizer.eos_token_id][:max_response]
            if max_tokens is not None:
                tail = tail[:max_tokens]
                head = head[max(0, len(head) + len(tail) - max_tokens) :]
            rows.append([*head, *tail])
            starts.append(len(head))
        return rows, starts

    def _conversation(self, prompt: str, response: str, max_tokens: int | None) -> list[int]:
        """A whole conversation; a long one loses the beginning of its prompt, then the end of its response."""
        row = self._ids(self._laid_out(prompt, response))
        if max_tokens is None or len(row) <= max_tokens:
            return row
        first, second = (self._laid_out(prompt, probe) for probe in ("0", "-"))
        head = self._ids(first[: _shared(first, second)])
        while response and (excess := len(row) - _shared(row, head) - max_tokens) > 0:
            shorter = self._truncated(response, max(0, len(self._ids(response)) - excess))
            response = shorter if len(shorter) < len(response) else response[:-1]
            row = self._ids(self._laid_out(prompt, response))
        return row[-max_tokens:]

    def _laid_out(self, prompt: str, response: str) -> str:
        messages = [*_messages(prompt), {"role": "assistant", "content": response}]
        return self._tokenizer.apply_chat_template(messages, tokenize=False)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _truncated(self, response: str, max_tokens: int | None) -> str:
        """The longest beginning of the response that has at most `max_tokens` tokens; None: no limit."""
        if max_tokens is None:
            return response
        offsets = self._tokenizer(response, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        if len(offsets) <= max_tokens:
            return response
        return response[: offsets[max_tokens - 1][1]] if max_tokens else ""

    def _head(self, prompt: str) -> list[int]:
        tokenizer = self._tokenizer
        if tokenizer.sep_token_id is not None:
            return [*self._ids(prompt), tokenizer.sep_token_id]
        begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        encoded = tokenizer([_plain(prompt), "?"], return_special_tokens_mask=True)
        added = encoded["special_tokens_mask"][1][::-1]
        appended = added.index(0) if 0 in added else 0  # they would be an end in the middle
        ids = encoded["input_ids"][0]
        return ids[: len(ids) - appended] or [begin]


def _shared(first: Any, second: Any) -> int:
    """Number of elements that two sequences begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _messages(prompt: str) -> list[dict[str, str]]:
    if prompt.startswith('[{"role":'):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(prompt)
    return [{"role": "user", "content": prompt}]


def _plain(prompt: str) -> str:
    return "\n".join(message["content"] for message in _messages(prompt))


mlflow.models.set_model(RewardModelScorer())
