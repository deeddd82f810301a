"""What several steps do alike: where randomness comes from, which device they use, how they read each other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from mlproject.errors import UserError
from mlproject.models.reader import Reader
from mlproject.models.scorers import Scorer, load_reward_model
from mlproject.steps.step import Run
from mlproject.worlds import World, load_world

MODEL_FOLDER = "model"
"""Artifact folder of every model: a Hugging Face folder."""

UNITS = "units.json"
"""Artifact of a gold RM: mean and standard deviation of the human judgement of the initial policy's responses."""

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

    Raises:
        UserError: for a precision that the device cannot do.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # accelerate keeps one state per process; steps differ
    try:
        return Accelerator(mixed_precision=mixed_precision, cpu=not torch.cuda.is_available())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"mixed_precision={mixed_precision}: {reason}; use no or bf16") from None


def load_tokenizer(policy_artifacts: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(policy_artifacts / MODEL_FOLDER)


def load_policy(policy_artifacts: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    return load_checkpoint(policy_artifacts / MODEL_FOLDER, device)


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder).to(device).eval()


def open_world(run: Run) -> World:
    """The world that a run takes place in."""
    return load_world(run.params["world"], run.params.get("world_seed", 0))  # a proxy asks for no prompts


def load_reader(run: Run, world: World) -> Reader:
    """How the policy reads and writes."""
    return Reader(load_tokenizer(run.input("initial-policy")), world.max_response_tokens)


def load_gold(run: Run, device: torch.device | str = "cpu") -> Scorer:
    """What plays the ground truth in a run."""
    return load_reward_model(run.input("gold-rm") / MODEL_FOLDER, device)


def human_units(run: Run) -> tuple[float, float]:
    """(mean, standard deviation) of the human judgement over the initial policy's responses."""
    units = json.loads((run.input("gold-rm") / UNITS).read_text())
    return units["human_mean"], units["human_std"]
