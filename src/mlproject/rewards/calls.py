"""Calls of a function or a service: in batches, within a time limit, and each response once as long as it is known.

Axis letters: B responses, U unique responses.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.rewards.cache import ScoreCache, open_cache
from mlproject.rewards.functions import ScoreFunction
from mlproject.rewards.options import CallOptions
from mlproject.rewards.time_limit import TooSlowError, within
from mlproject.strict_json import strict_json


@dataclass
class Usage:
    """What was asked of a function or a service, and what the cache knew.

    Attributes:
        responses: scores that were asked for, equal ones of one request counted once.
        cache_hits: of them, those that the cache knew.
        calls: batches that the function or the service got.
        retries: requests that were sent again.
        seconds: time that scoring took.
    """

    responses: int = 0
    cache_hits: int = 0
    calls: int = 0
    retries: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class CachedCalls:
    """A score function that hands another one what is not known yet, some responses at a time.

    Attributes:
        name: PACKAGE.MODULE:FUNCTION or an address, for messages.
        function: scores responses.
        identity: what the scores depend on beside prompt and response; part of the key of the cache.
        options: size of a batch, time limit, cache.
        limits_itself: whether the function keeps the time limit by itself.
        usage: counts; shared by all copies of a scorer.
    """

    name: str
    function: ScoreFunction
    identity: str = ""
    options: CallOptions = field(default_factory=CallOptions)
    limits_itself: bool = False
    usage: Usage = field(default_factory=Usage)
    _cache: list[ScoreCache] = field(default_factory=list)

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        """Raw scores. Shape: (B,).

        Raises:
            UserError: if the function does not return one number per response, or takes too long.
        """
        started = time.monotonic()
        cache = self._opened()
        keys_B = [self._key(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        known = cache.get(keys_B)
        unknown = [row for row, key in enumerate(keys_B) if key not in known]
        self.usage.responses += len(keys_B)
        self.usage.cache_hits += len(keys_B) - len(unknown)
        scores_B = np.array([known.get(key, np.nan) for key in keys_B], dtype=np.float64)
        for start in range(0, len(unknown), self.options.scorer_batch):
            rows = unknown[start : start + self.options.scorer_batch]
            values_U = self._batch([prompts[row] for row in rows], [responses[row] for row in rows])
            scores_B[rows] = values_U
            finite = np.isfinite(values_U)  # what is not will be refused, and is asked for again next time
            cache.put({keys_B[row]: float(v) for row, v, is_finite in zip(rows, values_U, finite, strict=True)
                       if is_finite})  # fmt: skip
        self.usage.seconds += time.monotonic() - started
        return scores_B

    def _opened(self) -> ScoreCache:
        """The cache, opened where it is first asked: a scorer may be sent to another process before."""
        if not self._cache:
            self._cache.append(open_cache(self.options.scorer_cache))
        return self._cache[0]

    def _key(self, prompt: str, response: str) -> bytes:
        text = strict_json([self.name, self.identity, prompt, response])
        return hashlib.sha256(text.encode()).digest()

    def _batch(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        self.usage.calls += 1
        limit = self.options.scorer_seconds
        if self.limits_itself or not limit:
            values = self.function(prompts, responses)
        else:
            try:
                values = within(lambda: self.function(prompts, responses), limit)
            except TooSlowError:
                raise too_slow(self.name, limit, f"score {len(responses)} responses") from None
        return numbers_of(values, self.name, len(responses))


def too_slow(name: str, seconds: float, task: str) -> UserError:
    """The mistake of a reward that does not keep `scorer_seconds`."""
    return UserError(
        f"{name}: must {task} within scorer_seconds={seconds:g}, and did not. Raise scorer_seconds, "
        "lower scorer_batch, or make it faster."
    )


def numbers_of(values: Any, name: str, count: int) -> Array:
    """What a function returned, as numbers.

    Args:
        values: one per response.
        name: of the function, for messages.
        count: number of responses, B.

    Returns:
        shape (B,); nan for None.

    Raises:
        UserError: if it is anything else.
    """
    try:
        values_B = np.asarray(values, dtype=np.float64)
    except OverflowError:
        raise UserError(
            f"{name}: must return numbers that a float can hold, of at most 1.8e308. Fix the function."
        ) from None
    except Exception:  # whatever the values do when they are turned into numbers
        raise UserError(
            f"{name}: must return one number per response, not {type(values).__name__}. Fix the function."
        ) from None
    if values_B.shape != (count,):
        raise UserError(
            f"{name}: must return one finite number for each of {count} responses, not an array of "
            f"shape {values_B.shape}. Fix the function."
        )
    return values_B
