"""What several steps share: random streams, device, and reading and writing artifacts."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mlproject.cures.folder import is_recipe, load_recipe, save_recipe
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer
from mlproject.errors import UserError, first_line
from mlproject.models.libraries import accelerate, transformers
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, Scorer, TextRewardModel, load_reward_model
from mlproject.names import Artifact, Role
from mlproject.pipeline.reward import load_saved_reward, save_reward
from mlproject.pipeline.step import Run
from mlproject.rewards.options import CallOptions
from mlproject.worlds import WORLDS, World

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SAMPLE_BATCH = 2048
"""Largest number of responses that are sampled at a time."""

TRAINING_THREADS = 2
"""Threads that train what everything else waits for; fixed, since last digits depend on it."""


def stream_seed(*names: str | int) -> int:
    """A seed for each purpose, so that no two streams of random numbers are the same."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def torch_generator(*names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of torch for one purpose."""
    return torch.Generator(device=device).manual_seed(stream_seed(*names))


def numpy_generator(*names: str | int) -> np.random.Generator:
    """A generator of numpy for one purpose."""
    return np.random.default_rng(stream_seed(*names))


def new_accelerator(mixed_precision: str = "no") -> accelerate.Accelerator:
    """Device and precision of a step. CUDA or the CPU, since Apple's MPS lacks the float64 of scores.

    If several processes share the step (see `mlproject.execution.distributed`), it joins their process group; the reset
    affects accelerate's state and not that group.

    Raises:
        UserError: for a precision that the device does not support.
    """
    accelerate.state.AcceleratorState._reset_state(
        reset_partial_state=True
    )  # accelerate has one state per process, and steps differ
    try:
        return accelerate.Accelerator(mixed_precision=mixed_precision, cpu=not torch.cuda.is_available())
    except ValueError as error:
        reason = first_line(error)
        raise UserError(
            f"mixed_precision={mixed_precision}: must be supported by this device ({reason}). Use no or bf16."
        ) from None


def load_tokenizer(policy_artifacts: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a policy."""
    return transformers.AutoTokenizer.from_pretrained(policy_artifacts / Artifact.MODEL, trust_remote_code=False)


def load_policy(policy_artifacts: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    """A policy from the artifacts of its run, in eval mode."""
    return load_checkpoint(policy_artifacts / Artifact.MODEL, device)


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    """A policy from a Hugging Face folder, in eval mode."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, use_safetensors=True)
    return model.to(device).eval()


def open_world(run: Run) -> World:
    """The world of a run."""
    seed = run.params.get("world_seed", 0)  # steps without one, such as proxy RMs, ask for no prompts
    return WORLDS[run.params["world"]].open(seed, lambda: run.input(Role.INITIAL_POLICY))


def load_prompt_format(run: Run, world: World) -> PromptFormat:
    """Prompt format of the initial policy."""
    folder = run.input(Role.INITIAL_POLICY)
    ends = json.loads((folder / Artifact.MODEL / "config.json").read_text()).get("eos_token_id")
    further_ends = tuple(ends) if isinstance(ends, list) else ()
    return PromptFormat(load_tokenizer(folder), world.max_response_tokens, further_ends=further_ends)


def load_gold(run: Run, prompt_format: PromptFormat, device: torch.device | str = "cpu") -> Scorer:
    """The gold RM of a run, for responses of a policy with this prompt format."""
    return load_input_scorer(run, Role.GOLD_RM, prompt_format, device)


def load_input_scorer(run: Run, role: str, prompt_format: PromptFormat, device: torch.device | str = "cpu") -> Scorer:
    """The scorer that is an input of a run, called as the run's options say where it is a function or a service."""
    return load_scorer(run.input(role), prompt_format, device, CallOptions.among(run.execution_options))


def load_scorer(
    artifacts: Path,
    prompt_format: PromptFormat,
    device: torch.device | str = "cpu",
    options: CallOptions = CallOptions(),  # noqa: B008 - frozen
) -> Scorer:
    """A scorer that `save_scorer` wrote, for responses of a policy with this prompt format.

    Raises:
        UserError: for a function whose code has changed since.
    """

    def load_part(folder: Path) -> Scorer:
        if (folder / Artifact.SCORER_FUNCTION).exists():
            return load_saved_reward(folder, prompt_format, options)
        return load_reward_model(folder, prompt_format, device)

    model = artifacts / Artifact.MODEL
    if is_recipe(model):
        return load_recipe(model, load_part)
    return load_part(artifacts if (artifacts / Artifact.SCORER_FUNCTION).exists() else model)


def save_scorer(scorer: Scorer, artifacts: Path, prompt_format: PromptFormat) -> None:
    """Write a scorer among a run's artifacts.

    Args:
        scorer: a function, a reward model that reads texts, one that reads the policy's token ids, or a reward that is
            made of these.
        artifacts: folder of the artifacts.
        prompt_format: prompt format of the policy.
    """
    if isinstance(scorer, FunctionScorer):
        save_reward(scorer, artifacts)
    elif isinstance(scorer, EnsembleScorer | ShapedScorer):
        save_recipe(scorer, artifacts / Artifact.MODEL, partial(_save_part, prompt_format=prompt_format))
    else:
        _save_part(scorer, artifacts / Artifact.MODEL, prompt_format)


def _save_part(scorer: Scorer, folder: Path, prompt_format: PromptFormat) -> None:
    if isinstance(scorer, FunctionScorer):
        folder.mkdir()
        save_reward(scorer, folder)
    elif isinstance(scorer, TextRewardModel):
        scorer.reward_model.save(folder, scorer.prompt_format)
    else:
        assert isinstance(scorer, RewardModel)
        scorer.save(folder, prompt_format)


def human_units(run: Run) -> tuple[float, float]:
    """Mean and standard deviation of the human judgement over responses of the initial policy."""
    units = json.loads((run.input(Role.GOLD_RM) / Artifact.UNITS).read_text())
    return units.get("human_mean", 0.0), units.get("human_std", 1.0)
