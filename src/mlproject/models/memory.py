"""Options that trade time for memory. Free of torch, so that the command line can show them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.options.declaration import Options, option


@dataclass(frozen=True, kw_only=True)
class MemoryOptions(Options):
    """How a gradient step saves memory; its gradient stays the same up to the last digits."""

    HEADING: ClassVar[str] = "Execution"

    accumulation: int = option(
        "micro-batches into which the batch of a gradient step is split, to save memory",
        default=1,
        minimum=1,
        maximum=4096,
    )
    gradient_checkpointing: str = option(
        "recompute layers in the backward pass, to save memory", default="no", choices=("no", "yes")
    )

    @property
    def recomputes_layers(self) -> bool:
        """Whether `gradient_checkpointing` is on."""
        return self.gradient_checkpointing == "yes"
