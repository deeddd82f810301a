"""Parameters of a run that only some runs have: typed, and said in one place for the plan and for its execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class RunParams:
    """What a run does beyond the plain case. A parameter at its default is left out, so that no fingerprint holds it.

    Attributes:
        round: round of comparisons and optimization, from 1.
        rounds_from: where the policy of a later round starts: `current` or `initial`; "" in the first round.
        rounds_data: comparisons from which the proxy of a later round learned: `last` or `all`.
        auxiliary_rms: roles of the reward models that score without being optimized.
        kl_budget: KL in nats above which the run ends; None without a budget.
    """

    round: int = 1
    rounds_from: str = ""
    rounds_data: str = ""
    auxiliary_rms: tuple[str, ...] = ()
    kl_budget: float | None = None

    @property
    def starts_from_earlier(self) -> bool:
        """Whether the policy of the round before is trained further."""
        return self.rounds_from == "current"

    def to_params(self) -> dict[str, Any]:
        """Parameters as a run stores them; `witnesses` is the stored name of `auxiliary_rms`."""
        params: dict[str, Any] = {}
        if self.kl_budget is not None:
            params["kl_budget"] = self.kl_budget
        if self.round > 1:
            params |= {"round": self.round}
        if self.rounds_from:
            params |= {"rounds_from": self.rounds_from, "rounds_data": self.rounds_data}
        if self.auxiliary_rms:
            params["witnesses"] = ",".join(self.auxiliary_rms)
        return params

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Inverse of `to_params`; other parameters are ignored."""
        return cls(
            round=params.get("round", 1),
            rounds_from=params.get("rounds_from", ""),
            rounds_data=params.get("rounds_data", ""),
            auxiliary_rms=tuple(filter(None, params.get("witnesses", "").split(","))),
            kl_budget=params.get("kl_budget"),
        )
