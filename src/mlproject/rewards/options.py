"""Options of rewards that are functions or services. Free of torch, so that the command line can show them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.options.declaration import Options, option

IN_MEMORY, NO_CACHE = "memory", "none"


@dataclass(frozen=True, kw_only=True)
class CallOptions(Options):
    """How a function or a service is called; its scores do not depend on it."""

    HEADING: ClassVar[str] = "Execution"

    scorer_batch: int = option(
        "responses that a reward function or service gets at a time", default=256, minimum=1, maximum=1_000_000
    )
    scorer_parallel: int = option(
        "requests to a reward service that are under way at the same time", default=8, minimum=1, maximum=1024
    )
    scorer_seconds: float = option(
        "seconds in which a reward function or service must score a batch, tries again included; 0: no limit",
        default=600.0,
        minimum=0,
        maximum=604_800,
    )
    scorer_retries: int = option(
        "times that a request to a reward service is sent again, after a growing pause", default=5, minimum=0,
        maximum=1000,
    )  # fmt: skip
    scorer_cache: str = option(
        "scores of functions and services are kept by content in memory (for a step), in a FILE (for later runs too), "
        "or not at all (none)",
        default=IN_MEMORY,
    )
