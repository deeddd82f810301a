"""Responses of a policy as a state, for a step that is interrupted while it samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.sequences import Sequences
from mlproject.resume.state import State


def responses_state(responses: Responses) -> State:
    """Token ids and log-probabilities, without the prompts' texts."""
    sequences = responses.sequences
    fits = int(sequences.ids_BT.max()) < 2**16
    tensors = {
        "ids": sequences.ids_BT.to(torch.uint16 if fits else torch.int32),
        "starts": sequences.starts_B,
        "ends": sequences.ends_B,
    }
    if responses.log_prob_B is not None:
        tensors["log_prob"] = torch.from_numpy(responses.log_prob_B)
    return State(tensors)


def responses_of(state: State, prompts: Sequence[str], prompt_format: PromptFormat) -> Responses:
    """The responses of a state.

    Args:
        state: what `responses_state` gave.
        prompts: P texts; each has the same number of responses, side by side.
        prompt_format: of the policy that wrote them.
    """
    tensors = state.tensors
    sequences = Sequences(tensors["ids"].long(), tensors["starts"], tensors["ends"])
    count = len(sequences) // len(prompts)
    log_prob_B = tensors["log_prob"].numpy() if "log_prob" in tensors else None
    return Responses([text for text in prompts for _ in range(count)], sequences, prompt_format, log_prob_B)
