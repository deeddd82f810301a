"""One request over HTTP to an address that the user named, whose server is trusted with nothing else.

What comes back is bounded in time and length, and a redirect is not followed: prompts, responses and the token go to no
other address.
"""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.parse import urlsplit

from mlproject.errors import first_line
from mlproject.rewards.time_limit import within

SUCCESS = range(200, 300)
"""Statuses of an answer that is what was asked for."""


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        status: of HTTP.
        reason: in the server's words.
        headers: of the answer.
        content: its body; of a refusal, perhaps not all of it.
    """

    status: int
    reason: str
    headers: Message
    content: bytes


class NoAnswerError(Exception):
    """Nothing that is HTTP came back; the message says why."""


def exchange(url: str, data: bytes | None, headers: dict[str, str], seconds: float, most: int) -> Answer:
    """Send a request and read the answer, whatever its status.

    Args:
        url: http or https.
        data: sent by POST; None: by GET.
        headers: of the request.
        seconds: in which the whole answer must have come; infinite: no limit.
        most: bytes of its body that are read at most, and one.

    Raises:
        TimeoutError: if it has not.
        NoAnswerError: if none comes.
    """
    try:
        return within(lambda: _exchange(url, data, headers, seconds, most), seconds)
    except TimeoutError:
        raise
    except (OSError, HTTPException, ValueError) as error:  # ValueError: for an address that no request can name
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            raise cause from None
        raise NoAnswerError(first_line(cause) if isinstance(cause, BaseException) else str(cause)) from None


def connect(url: str, seconds: float) -> None:
    """Connect to the host of an address, and hang up.

    Raises:
        NoAnswerError: if nothing listens there.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=seconds).close()
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be that of a host
        raise NoAnswerError(first_line(error)) from None


def _exchange(url: str, data: bytes | None, headers: dict[str, str], seconds: float, most: int) -> Answer:
    request = urllib.request.Request(url, data, headers)
    with _opener(url).open(request, timeout=None if seconds == float("inf") else seconds) as answer:
        try:
            content = answer.read(most + 1)
            if answer.length and len(content) <= most:
                raise IncompleteRead(content, answer.length)
        except HTTPException:
            if answer.status in SUCCESS:
                raise
            content = b""
        return Answer(answer.status, answer.reason, answer.headers, content)


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Every status is an answer; none is followed elsewhere."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response

    https_response = http_response


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Requests to this machine go around a proxy that the environment names."""
    local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    return urllib.request.build_opener(urllib.request.ProxyHandler({} if local else None), _AnyStatus())
