"""JSON over HTTP: requests are sent again after growing pauses, within a time limit."""

from __future__ import annotations

import email.utils
import json
import os
import random
import time
from dataclasses import dataclass, field
from typing import Any

from mlproject.errors import UserError
from mlproject.names.quoting import one_line
from mlproject.options.secrets import HIDDEN
from mlproject.rewards.calls import Usage, too_slow
from mlproject.rewards.exchange import SUCCESS, Answer, NoAnswerError, connect, exchange
from mlproject.rewards.options import CallOptions
from mlproject.rewards.source import TOKEN_VARIABLE
from mlproject.strict_json import strict_json

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the first and, at most, before a later try."""
_LONGEST_ASKED_PAUSE = 3600.0
"""Seconds that `Retry-After` may ask for, where nothing else bounds the time."""
_BUSY = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request may succeed."""
_ANY_ANSWER, _OF_A_NUMBER = 32 * 2**20, 256
"""Bytes that an answer may have, and as many again for each number that was asked for."""
_SHOWN = 160
_CONNECT_SECONDS = 10.0
_DEAD = "Start the service, or correct the address; then run the same command again, which continues."


@dataclass(frozen=True)
class Client:
    """Asks a service.

    Attributes:
        url: its address, for messages.
        options: time limit, tries.
        usage: counts what was sent again.
    """

    url: str
    options: CallOptions = field(default_factory=CallOptions)
    usage: Usage = field(default_factory=Usage)

    def deadline(self) -> float:
        """When a request that begins now must have been answered, on the clock `time.monotonic`."""
        limit = self.options.scorer_seconds
        return time.monotonic() + limit if limit else float("inf")

    def request(self, url: str, body: Any, deadline: float, task: str, numbers: int = 0) -> Any:
        """The JSON that a service answers with; tried again where that may help.

        Args:
            url: where to.
            body: sent as JSON by POST; None: by GET.
            deadline: when to give up, on the clock `time.monotonic`.
            task: what it must do, for messages: `score 8 responses`.
            numbers: that it is asked for, which bound the length of its answer.

        Raises:
            UserError: where it does not come.
        """
        started, reason = time.monotonic(), ""
        most = _ANY_ANSWER + _OF_A_NUMBER * numbers
        for attempt in range(self.options.scorer_retries + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            pause = random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
            try:
                answer = exchange(url, None if body is None else strict_json(body).encode(), _headers(), left, most)
                if answer.status in SUCCESS:
                    return self._parsed(answer, most)
                reason = _status(answer)
                if answer.status not in _BUSY:
                    raise self._refuses(answer, reason)
                pause = max(pause, _asked_pause(answer.headers.get("Retry-After")))
            except TimeoutError:
                reason = "it takes too long"
            except NoAnswerError as error:
                reason = _shown(str(error))
            if attempt == self.options.scorer_retries:
                break
            if time.monotonic() + pause >= deadline:
                raise too_slow(f"{self.url} ({reason})", self.options.scorer_seconds, task)
            self.usage.retries += 1
            time.sleep(min(pause, _LONGEST_ASKED_PAUSE))
        if time.monotonic() >= deadline:
            raise too_slow(f"{self.url} ({reason})" if reason else self.url, self.options.scorer_seconds, task)
        tries = self.options.scorer_retries + 1
        raise UserError(
            f"{self.url}: must answer, and did not in {tries} {'try' if tries == 1 else 'tries'} and "
            f"{time.monotonic() - started:.0f} s ({reason}). {_DEAD}"
        )

    def _parsed(self, answer: Answer, most: int) -> Any:
        if len(answer.content) > most:
            raise UserError(
                f"{self.url}: must answer with at most {most / 2**20:,.0f} MB for such a request, and says more. "
                "Correct the service."
            )
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            kind, text = answer.headers.get_content_type(), _beginning(answer.content)
            raise UserError(
                f"{self.url}: must answer in JSON, and answers in {kind}, beginning '{text}'. Correct the address."
            ) from None

    def _refuses(self, answer: Answer, reason: str) -> UserError:
        if answer.status in range(300, 400):
            to = _shown(str(answer.headers.get("Location", "another address")))
            return UserError(
                f"{self.url}: must answer itself, and sends elsewhere, to {to} ({reason}), which is not followed, "
                "since texts and token would go there too. Give that address, if you trust it."
            )
        return UserError(
            f"{self.url}: refuses the request ({reason}). Correct the address, or set {TOKEN_VARIABLE} where it asks "
            "for a token."
        )

    def model(self, base: str) -> str:
        """The name of the model that an OpenAI-compatible server has; empty where it does not say.

        Args:
            base: address that ends with `/v1`.
        """
        try:
            answer = self.request(f"{base}/models", None, self.deadline(), "name its model")
            return str(answer["data"][0]["id"])
        except (UserError, KeyError, IndexError, TypeError):
            return ""


def check_reachable(url: str, option: str) -> None:
    """Connect to the host of a service, so that a dead one is named before anything starts.

    Raises:
        UserError: if nothing listens there.
    """
    try:
        connect(url, _CONNECT_SECONDS)
    except NoAnswerError as error:
        raise UserError(f"{option}={url}: must be a service that answers ({error}). {_DEAD}") from None


def _headers() -> dict[str, str]:
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _asked_pause(header: str | None) -> float:
    """Seconds that `Retry-After` asks for: a number, or a date."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _status(answer: Answer) -> str:
    said = _beginning(answer.content)
    return _shown(f"HTTP {answer.status} {answer.reason}".rstrip()) + (f": {said}" if said else "")


def _beginning(content: bytes) -> str:
    return _shown(" ".join(content[: 8 * _SHOWN].decode(errors="replace").split()))


def _shown(text: str) -> str:
    """What a server said, as it may stand in a line of a log; it may give back the token that it was sent."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    return one_line(text.replace(token, HIDDEN) if token else text, _SHOWN)
