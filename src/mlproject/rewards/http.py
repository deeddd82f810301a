"""JSON over HTTP: requests are sent again after growing pauses, within a time limit."""

from __future__ import annotations

import email.utils
import json
import os
import random
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from mlproject.errors import UserError, first_line
from mlproject.rewards.calls import Usage, too_slow
from mlproject.rewards.options import CallOptions
from mlproject.rewards.source import TOKEN_VARIABLE
from mlproject.strict_json import strict_json

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the first and, at most, before a later try."""
_BUSY = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request may succeed."""
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

    def request(self, url: str, body: Any, deadline: float, task: str) -> Any:
        """The JSON that a service answers with; tried again where that may help.

        Args:
            url: where to.
            body: sent as JSON by POST; None: by GET.
            deadline: when to give up, on the clock `time.monotonic`.
            task: what it must do, for messages: `score 8 responses`.

        Raises:
            UserError: where it does not come.
        """
        started, reason = time.monotonic(), ""
        for attempt in range(self.options.scorer_retries + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            pause = random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
            try:
                return self._once(url, body, left)
            except urllib.error.HTTPError as error:
                said = _beginning(error.read().decode(errors="replace"))
                reason = f"HTTP {error.code} {error.reason}".rstrip() + (f": {said}" if said else "")
                if error.code not in _BUSY:
                    raise UserError(
                        f"{self.url}: refuses the request ({reason}). Correct the address, or set {TOKEN_VARIABLE} "
                        "where it asks for a token."
                    ) from None
                pause = max(pause, _asked_pause(error.headers.get("Retry-After")))
            except TimeoutError:
                reason = "it takes too long"
            except (OSError, HTTPException) as error:
                cause = error.reason if isinstance(error, urllib.error.URLError) else error
                if isinstance(cause, TimeoutError):
                    reason = "it takes too long"
                else:
                    reason = first_line(cause) if isinstance(cause, BaseException) else str(cause)
            if attempt == self.options.scorer_retries:
                break
            if time.monotonic() + pause >= deadline:
                raise too_slow(f"{self.url} ({reason})", self.options.scorer_seconds, task)
            self.usage.retries += 1
            time.sleep(pause)
        if time.monotonic() >= deadline:
            raise too_slow(f"{self.url} ({reason})" if reason else self.url, self.options.scorer_seconds, task)
        tries = self.options.scorer_retries + 1
        raise UserError(
            f"{self.url}: must answer, and did not in {tries} {'try' if tries == 1 else 'tries'} and "
            f"{time.monotonic() - started:.0f} s ({reason}). {_DEAD}"
        )

    def _once(self, url: str, body: Any, seconds: float) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token := os.environ.get(TOKEN_VARIABLE):
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else strict_json(body).encode()
        request = urllib.request.Request(url, data, headers)
        with _opener(url).open(request, timeout=None if seconds == float("inf") else seconds) as answer:
            content, kind = answer.read(), answer.headers.get_content_type()
        try:
            return json.loads(content)
        except ValueError:
            text = _beginning(content.decode(errors="replace"))
            raise UserError(
                f"{self.url}: must answer in JSON, and answers in {kind}, beginning {text!r}. Correct the address."
            ) from None

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
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(f"{option}={url}: must be a service that answers ({first_line(error)}). {_DEAD}") from None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Requests to this machine go around a proxy that the environment names."""
    local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    return urllib.request.build_opener(urllib.request.ProxyHandler({} if local else None))


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
    except (TypeError, ValueError):
        return 0.0


def _beginning(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
