"""Whether scores are raw: some set-ups put a reward model's logit through a sigmoid or a softmax.

Axis letters: B responses.
"""

from __future__ import annotations

import numpy as np

from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.rewards.protocols import is_vllm
from mlproject.rewards.source import is_service

_FEW = 20
"""Distinct values; a check that gives some points for each of a few conditions has fewer."""


def check_raw(name: str, raw_B: Array) -> str:
    """What is odd about raw scores, for a notice; empty where nothing is.

    Args:
        name: function or address.
        raw_B: scores of the initial policy's responses. Shape: (B,).

    Raises:
        UserError: where all responses have one score, or a server of vLLM's gives probabilities.
    """
    if raw_B.std() == 0:
        raise UserError(
            f"{name}: must give different responses different scores, but gives each {raw_B[0]:g} (a softmax over one "
            "class gives 1 to all). Use another reward, or have its raw scores returned."
        )
    if not (raw_B.min() > 0 and raw_B.max() < 1 and len(np.unique(raw_B)) > _FEW):
        return ""
    range_ = f"all scores of {len(raw_B)} responses lie between {raw_B.min():.3g} and {raw_B.max():.3g}"
    if is_service(name) and is_vllm(name):
        raise UserError(
            f"{name}: must give raw scores, but {range_}, as a sigmoid or softmax gives them. Start vLLM with a pooler "
            "that applies no activation (use_activation false)."
        )
    return (
        f"{name}: {range_}. If this is a reward model's score behind a sigmoid or softmax, have the raw one returned: "
        "squashed scores tell good responses apart less and less."
    )
