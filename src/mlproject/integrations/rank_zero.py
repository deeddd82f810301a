"""What the one process that measures tells all processes of a training."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Instruction:
    """What rank zero tells all ranks.

    Attributes:
        stop: whether the training ends here.
        next_step: step of the next evaluation.
        error: what failed on rank zero; empty for nothing.
    """

    stop: bool
    next_step: int
    error: str = ""


def from_rank_zero(instruction: Instruction) -> Instruction:
    """Rank zero's instruction, on every rank; all wait for it."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return instruction
    instructions = [instruction]
    distributed.broadcast_object_list(instructions, src=0)
    return instructions[0]
