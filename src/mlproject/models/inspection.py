"""Checks a user's checkpoint before it is used. Free of torch until the checkpoint is known to exist."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mlproject.errors import UserError, first_line
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.options.paths import exists, expanded, is_folder
from mlproject.rewards.source import is_reward

if TYPE_CHECKING:
    from mlproject.models.checkpoints import CheckpointInfo


def inspect_checkpoint(checkpoint: str, option: str) -> CheckpointInfo:
    """Read the configuration and tokenizer of a reward model, or of a model that shall become one.

    Args:
        checkpoint: folder or hub name.
        option: name of the option that gives it, for error messages.

    Raises:
        UserError: if there is none, or it can be neither.
    """
    return _inspect(checkpoint, option, is_policy=False)


def _inspect(checkpoint: str, option: str, is_policy: bool) -> CheckpointInfo:
    folder = expanded(checkpoint)
    found = is_folder(folder)
    if not found and (checkpoint.startswith((".", "/", "~")) or exists(folder)):
        raise UserError(
            f"{option}={checkpoint}: must be a folder or OWNER/NAME on the Hugging Face hub. Check the path."
        )
    source = str(folder.resolve()) if found else checkpoint
    changed = max((f.stat().st_mtime_ns for f in folder.iterdir() if f.is_file()), default=0) if found else 0
    checkpoints = import_module("mlproject.models.checkpoints")
    try:
        info: CheckpointInfo = checkpoints.read_info(source, checkpoint, option, changed, is_policy)
    except UserError:
        raise
    except Exception as error:  # whatever transformers raises for values that it does not expect
        reason = f"{type(error).__name__}: {first_line(error)}"[:200]
        raise UserError(
            f"{option}={checkpoint}: must be a model that transformers can read ({reason}). Save it again."
        ) from error
    return info


def inspect_policy(checkpoint: str, option: str) -> CheckpointInfo:
    """Read the configuration of a checkpoint that must be a causal language model.

    Raises:
        UserError: if there is none, or it is no causal language model.
    """
    return _inspect(checkpoint, option, is_policy=True)


def inspect_reward_model(checkpoint: str, option: str) -> CheckpointInfo:
    """Read the configuration of a checkpoint that must be a trained reward model.

    Raises:
        UserError: as `inspect_checkpoint`, and for a language model.
    """
    info = inspect_checkpoint(checkpoint, option)
    if not info.is_reward_model:
        raise UserError(
            f"{option}={checkpoint}: must be a reward model (a sequence classifier with one label), not a language "
            "model. Use another one."
        )
    return info


def rm_parameters(name: str) -> int:
    """Parameters without embeddings of a reward model: a size of the ladder, or a checkpoint; 0 of what is no model."""
    if is_reward(name):
        return 0
    if is_checkpoint(name):
        return inspect_checkpoint(name, "rm_sizes").parameters
    return SIZES[name].reward_model_parameters
