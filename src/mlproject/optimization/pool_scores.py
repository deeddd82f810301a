"""Scores of a pool by the reward models that a reward with cures is made of: computed once, read by every such reward.

Rewards of one ensemble differ in how they combine the same members. A file holds what one reward model gives to one
pool, under a digest of both, so that whichever run comes first scores, and all others read the very same numbers.

Axis letters: P prompts, N samples per prompt in the pool, B responses.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.cures.scorers import EnsembleScorer, ShapedScorer, parts_of, with_parts
from mlproject.curve import Array
from mlproject.digest import digest_of_files
from mlproject.file_lock import file_lock
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.scorers import Scorer, TextRewardModel, rated
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.resume.resumption import Resumption
from mlproject.strict_json import strict_json


def proxy_scores(proxy: Scorer, samples: PoolSamples, resumption: Resumption, cache: Path | None) -> Array:
    """The proxy's scores of a pool.

    Args:
        proxy: what is optimized.
        samples: the pool.
        resumption: where scores are kept as they come.
        cache: folder for scores of the reward models that a proxy with cures is made of; None: nothing is kept.

    Returns:
        gold standard deviations above the initial policy. Shape: (P, N).

    Raises:
        NotFiniteError: for a score of nan or infinity.
    """
    if cache is not None and isinstance(proxy, EnsembleScorer | ShapedScorer):
        known = _scores_of_parts(proxy, samples, resumption, cache)
        proxy = with_parts(proxy, lambda part: _InOrder(known[id(part)]) if id(part) in known else part)
    return samples.rate(lambda responses: rated(proxy, responses, "proxy"), resumption.row("proxy"))


@dataclass
class _InOrder:
    """Scores of a pool that are known, in the order in which it is read.

    Attributes:
        scores_B: of all samples. Shape: (B,).
        place: of the next one.
    """

    scores_B: Array
    place: int = 0

    def rate(self, responses: Responses) -> Array:
        """Those of the next responses. Shape: (B,)."""
        start, self.place = self.place, self.place + len(responses)
        return self.scores_B[start : self.place]

    def with_units(self, centre: float, scale: float) -> _InOrder:
        """The same with other units."""
        return _InOrder(scale * (self.scores_B - centre))


def _scores_of_parts(proxy: Scorer, samples: PoolSamples, resumption: Resumption, cache: Path) -> dict[int, Array]:
    """Scores of those parts that are reward models, by their `id`; a function or a service has a cache of its own."""
    models = [part for part in parts_of(proxy) if isinstance(part, RewardModel | TextRewardModel)]
    pool = _digest_of_pool(samples)
    files = {id(part): cache / f"{_digest([pool, _identity(part)])}.npy" for part in models}
    cache.mkdir(parents=True, exist_ok=True)
    for waits in (False, True):  # first what no other process is scoring right now
        for part in models:
            file = files[id(part)]
            with file_lock(file.with_suffix(".lock"), waits) as is_mine:
                if is_mine and _read(file, samples) is None:
                    row = resumption.row(f"proxy-{file.stem[:16]}")
                    _write(file, samples.rate(partial(rated, part, role="proxy"), row))
    return {key: found for key, file in files.items() if (found := _read(file, samples)) is not None}


def _identity(part: RewardModel | TextRewardModel) -> dict[str, Any]:
    """All that the scores of a reward model depend on beside the responses."""
    reward_model = part.reward_model if isinstance(part, TextRewardModel) else part
    config = reward_model.model.config.to_dict()
    return {
        "weights": content_hash(reward_model.model),
        "config": {name: value for name, value in config.items() if not name.startswith("_")},
        "sds": [getattr(module, "sds", 0) for module in reward_model.model.modules()],  # of a conservative head
        "units": [reward_model.centre, reward_model.scale],
        "reads": _identity_of_format(part.prompt_format) if isinstance(part, TextRewardModel) else "ids",
        "device": reward_model.model.device.type,
    }


def _identity_of_format(prompt_format: PromptFormat) -> list[Any]:
    tokenizer = prompt_format.tokenizer
    limits = [prompt_format.max_response_tokens, prompt_format.max_tokens, *prompt_format.further_ends]
    return [tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template, *limits]


def _digest_of_pool(samples: PoolSamples) -> str:
    files = digest_of_files(samples.folder, samples.folder.iterdir())
    return _digest([files, list(samples.prompts), _identity_of_format(samples.prompt_format)])


def _digest(content: Any) -> str:
    return hashlib.sha256(strict_json(content, sort_keys=True, default=str).encode()).hexdigest()


def _write(file: Path, scores_PN: Array) -> None:
    unfinished = file.with_suffix(f".{secrets.token_hex(4)}.unfinished")
    with unfinished.open("wb") as opened:
        np.save(opened, scores_PN.reshape(-1))
    unfinished.replace(file)


def _read(file: Path, samples: PoolSamples) -> Array | None:
    """The scores in a file, left on the disk until they are used; None where there are none."""
    try:
        if not file.is_file():  # a pipe would be waited for
            return None
        scores_B: Array = np.lib.format.open_memmap(file, mode="r")  # reads arrays alone: no archives, no pickles
    except Exception:  # numpy parses the header as Python: tokenize's errors too
        return None
    is_whole = scores_B.shape == (samples.shape[0] * samples.shape[1],) and scores_B.dtype == np.float64
    if not is_whole or not np.isfinite(scores_B).all():
        return None
    with suppress(OSError):
        os.utime(file)  # it is of use
    return scores_B
