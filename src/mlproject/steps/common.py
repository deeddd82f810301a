"""What several steps do alike: where randomness comes from, which device they use, how they read each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from mlproject.errors import UserError

MODEL_FOLDER = "model"
"""Artifact folder of every model: a Hugging Face folder."""

SAMPLE_BATCH = 2048
"""Responses sampled at a time."""


def stream_seed(*names: str | int) -> int:
    """A seed of its own for every purpose, so that no two streams of random numbers are the same."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def torch_generator(*names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device=device).manual_seed(stream_seed(*names))


def numpy_generator(*names: str | int) -> np.random.Generator:
    return np.random.default_rng(stream_seed(*names))


def accelerator(mixed_precision: str = "no") -> Accelerator:
    """Device and precision of this step. CUDA or the CPU: Apple's MPS lacks the float64 that scores are kept in.

    Where several processes carry the step out together (see `mlproject.tracking.crew`), it joins the group of processes
    that exists already; the reset forgets what accelerate knows, not that group.

    Raises:
        UserError: for a precision that the device cannot do.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # accelerate keeps one state per process; steps differ
    try:
        return Accelerator(mixed_precision=mixed_precision, cpu=not torch.cuda.is_available())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"mixed_precision={mixed_precision}: {reason}; use no or bf16") from None


def memory(how: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a `Schedule` that trades time for memory, from `Step.how`."""
    return {
        "accumulation": how.get("accumulation", 1),
        "recompute": how.get("gradient_checkpointing") == "yes",
    }


def load_tokenizer(policy_artifacts: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(policy_artifacts / MODEL_FOLDER)


def load_policy(policy_artifacts: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    return load_checkpoint(policy_artifacts / MODEL_FOLDER, device)


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder).to(device).eval()
