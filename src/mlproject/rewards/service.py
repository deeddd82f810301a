"""A reward service over HTTP as a score function.

What is sent and read depends on the last part of the address's path (see `mlproject.rewards.protocols`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from mlproject.errors import UserError
from mlproject.rewards.http import Client
from mlproject.rewards.protocols import Protocol, protocol_of


class Service(Client):
    """A service that scores responses."""

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """One raw score for each response; several requests are under way at the same time.

        Raises:
            UserError: if the service does not answer, refuses, or answers with something else than raw scores.
        """
        protocol, deadline, task = protocol_of(self.url), self.deadline(), f"score {len(responses)} responses"
        model = self.model(urlsplit(self.url)._replace(path="/v1").geturl()) if protocol.names_model else ""
        size = protocol.most or len(responses)
        parts = [slice(start, start + size) for start in range(0, len(responses), size)]

        def ask(part: slice) -> list[float]:
            body, count = protocol.body(prompts[part], responses[part], model), len(responses[part])
            return self._scores(protocol, self.request(self.url, body, deadline, task, count), count)

        if len(parts) == 1:
            return ask(parts[0])
        with ThreadPoolExecutor(min(self.options.scorer_parallel, len(parts))) as pool:
            return [score for scores in pool.map(ask, parts) for score in scores]

    def _scores(self, protocol: Protocol, answer: Any, count: int) -> list[float]:
        try:
            return protocol.scores(answer, count)
        except ValueError as error:
            raise UserError(f"{self.url}: {error}") from None
