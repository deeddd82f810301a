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

from mlproject.errors import UserError, first_line
from mlproject.models.functions import load_function
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, Scorer, TextRewardModel, load_reward_model
from mlproject.names import Artifact, Role
from mlproject.pipeline.step import Run
from mlproject.worlds import WORLDS, World

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


def new_accelerator(mixed_precision: str = "no") -> Accelerator:
    """Device and precision of this step. CUDA or the CPU: Apple's MPS lacks the float64 that scores are kept in.

    Where several processes carry the step out together (see `mlproject.execution.distributed`), it joins the group of
    processes that exists already; the reset forgets what accelerate knows, not that group.

    Raises:
        UserError: for a precision that the device cannot do.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # accelerate keeps one state per process; steps differ
    try:
        return Accelerator(mixed_precision=mixed_precision, cpu=not torch.cuda.is_available())
    except ValueError as error:
        reason = first_line(error)
        raise UserError(f"mixed_precision={mixed_precision}: {reason}; use no or bf16") from None


def load_tokenizer(policy_artifacts: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(policy_artifacts / Artifact.MODEL)


def load_policy(policy_artifacts: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    return load_checkpoint(policy_artifacts / Artifact.MODEL, device)


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder).to(device).eval()


def open_world(run: Run) -> World:
    """The world that a run takes place in."""
    seed = run.params.get("world_seed", 0)  # steps without one, such as proxy RMs, ask for no prompts
    return WORLDS[run.params["world"]].open(seed, lambda: run.input(Role.INITIAL_POLICY))


def load_prompt_format(run: Run, world: World) -> PromptFormat:
    """How the policy reads and writes."""
    return PromptFormat(load_tokenizer(run.input(Role.INITIAL_POLICY)), world.max_response_tokens)


def load_gold(run: Run, prompt_format: PromptFormat, device: torch.device | str = "cpu") -> Scorer:
    """What plays the ground truth in a run, for responses of a policy that reads so."""
    return load_scorer(run.input(Role.GOLD_RM), prompt_format, device)


def load_scorer(artifacts: Path, prompt_format: PromptFormat, device: torch.device | str = "cpu") -> Scorer:
    """Read what `save_scorer` wrote, for responses of a policy that reads so."""
    if not (artifacts / Artifact.SCORER_FUNCTION).exists():
        return load_reward_model(artifacts / Artifact.MODEL, prompt_format, device)
    known = json.loads((artifacts / Artifact.SCORER_FUNCTION).read_text())
    return FunctionScorer(known["function"], load_function(known["function"]), known["centre"], known["scale"])


def save_scorer(scorer: Scorer, artifacts: Path, prompt_format: PromptFormat) -> None:
    """Write a scorer among a run's artifacts.

    Args:
        scorer: with its units.
        artifacts: folder.
        prompt_format: of the policy, whose ids an own reward model reads.
    """
    if isinstance(scorer, FunctionScorer):
        known = {"function": scorer.name, "centre": scorer.centre, "scale": scorer.scale}
        (artifacts / Artifact.SCORER_FUNCTION).write_text(json.dumps(known))
    elif isinstance(scorer, TextRewardModel):
        scorer.reward_model.model.config.reads_texts = True
        scorer.reward_model.save(artifacts / Artifact.MODEL, scorer.prompt_format)
    else:
        assert isinstance(scorer, RewardModel)
        scorer.save(artifacts / Artifact.MODEL, prompt_format)


def human_units(run: Run) -> tuple[float, float]:
    """(mean, standard deviation) of the human judgement over the initial policy's responses."""
    units = json.loads((run.input(Role.GOLD_RM) / Artifact.UNITS).read_text())
    return units.get("human_mean", 0.0), units.get("human_std", 1.0)
