"""Reads a user's prompts and comparisons, deals prompts out into splits, and says what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlproject.digest import digest_of_files
from mlproject.errors import UserError
from mlproject.worlds.files.preferences import Preference, read_preferences
from mlproject.worlds.files.prompts import fit_prompts, read_prompts, split_prompts, too_long
from mlproject.worlds.files.rows import BadLines
from mlproject.worlds.files.world import Files

Cut = Callable[[str, int], str | None]
"""(prompt, most tokens) -> the shortened prompt, or None where it is short enough."""


@dataclass(frozen=True)
class PromptSnapshot:
    """What a study keeps of a user's files.

    Attributes:
        world: prompts by split.
        skipped: a line for every row left out.
        long: how many prompts were longer than allowed (cut, or left out).
    """

    world: Files
    skipped: list[str]
    long: int


def path_and_digest(path: str) -> dict[str, str]:
    """Absolute path of a file or folder, and the digest of what it holds: either makes another study."""
    root = Path(path).expanduser().resolve()
    files = sorted(file for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file())
    states = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return {"path": str(root), "sha256": _digest(root.parent, states)}


@lru_cache(maxsize=16)
def _digest(root: Path, states: tuple[tuple[Path, int, int], ...]) -> str:
    """Digest of files, read once while their times and sizes stay as they are: every curve of a study asks for it."""
    return digest_of_files(root, (file for file, *_ in states))


def take_snapshot(options: Mapping[str, Any], prompts: str, preferences: str, cut: Cut) -> PromptSnapshot:
    """Read the prompts (those of the comparisons where there is no file of prompts) and deal them out.

    Args:
        options: `worlds.files.spec.READ_OPTIONS`, by name.
        prompts, preferences: paths; one may be empty.
        cut: counts tokens as the policy does.

    Raises:
        UserError: for a row that is wrong, or too few prompts.
    """
    bad = BadLines(options["bad_lines"] == "skip")
    if prompts:
        texts = read_prompts(Path(prompts), options["prompt_field"], bad)
    else:
        read = read_preferences(Path(preferences), options["preference_fields"], bad)
        texts = list(dict.fromkeys(preference.prompt for preference in read))
    texts, long = fit_prompts(texts, options["max_prompt_tokens"], options["long_prompts"], cut)
    held_out = {"curve": options["curve_prompts"], "audit": options["audit_prompts"]}
    splits = split_prompts(texts, options["world_seed"], held_out)
    return PromptSnapshot(Files(splits, options["max_response_tokens"]), bad.found, long)


def train_preferences(
    options: Mapping[str, Any], preferences: str, world: Files, cut: Cut
) -> tuple[list[Preference], list[str]]:
    """The comparisons whose prompts are not held out for curves and audit, and a line for every row left out.

    Raises:
        UserError: for a row that is wrong, a long prompt where these are to stop, or where none is left.
    """
    bad = BadLines(options["bad_lines"] == "skip")
    held_out = {text for split in ("curve", "audit") for text in world.prompts(split, options[f"{split}_prompts"])}
    kept = []
    for preference in read_preferences(Path(preferences), options["preference_fields"], bad):
        shorter = cut(preference.prompt, options["max_prompt_tokens"])
        if shorter is not None and options["long_prompts"] == "stop":
            raise too_long("preferences", preference.prompt, options["max_prompt_tokens"])
        prompt = preference.prompt if shorter is None else shorter if options["long_prompts"] == "cut" else ""
        if prompt.strip() and prompt not in held_out:
            kept.append(Preference(prompt, preference.chosen, preference.rejected))
    if not kept:
        raise UserError(f"preferences={preferences}: none is left: all prompts are too long, or held out for curves")
    return kept, bad.found
