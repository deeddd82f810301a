"""Reads a user's prompts and comparisons, splits the prompts, and counts what was skipped or cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mlproject.digest import digest_of_files
from mlproject.errors import UserError
from mlproject.names import Split
from mlproject.worlds.files.preferences import Preference, read_preferences
from mlproject.worlds.files.prompts import fit_prompts, read_prompts, split_prompts, too_long
from mlproject.worlds.files.rows import InvalidRows
from mlproject.worlds.files.spec import ReadOptions
from mlproject.worlds.files.world import Files

Cut = Callable[[str, int], str | None]
"""(prompt, largest number of tokens) -> the shortened prompt, or None if it is short enough."""


@dataclass(frozen=True)
class PromptSnapshot:
    """The prompts of a user's files, as a study keeps them.

    Attributes:
        world: prompts by split.
        skipped: one line for each skipped row.
        long: number of prompts that were too long (cut or skipped).
    """

    world: Files
    skipped: list[str]
    long: int


def path_and_digest(path: str) -> dict[str, str]:
    """Absolute path of a file or folder and digest of its content; a study depends on both."""
    root = Path(path).expanduser().resolve()
    files = sorted(file for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file())
    states = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return {"path": str(root), "sha256": _digest(root.parent, states)}


@lru_cache(maxsize=16)
def _digest(root: Path, states: tuple[tuple[Path, int, int], ...]) -> str:
    """Digest of files, cached while their times and sizes do not change: every curve of a study needs it."""
    return digest_of_files(root, (file for file, *_ in states))


def take_snapshot(options: ReadOptions, prompts: str, preferences: str, cut: Cut) -> PromptSnapshot:
    """Read the prompts and split them.

    Args:
        options: how the files are read.
        prompts: path of the prompts; empty: the prompts of the comparisons.
        preferences: path of the comparisons; may be empty if there are prompts.
        cut: shortens a prompt to a number of the policy's tokens.

    Raises:
        UserError: for an invalid row, or too few prompts.
    """
    invalid = InvalidRows(options.skips_invalid_rows)
    if prompts:
        texts = read_prompts(Path(prompts), options.prompt_field, invalid)
    else:
        rows = read_preferences(Path(preferences), options.preference_fields, invalid)
        texts = list(dict.fromkeys(preference.prompt for preference in rows))
    texts, long = fit_prompts(texts, options.max_prompt_tokens, options.long_prompts, cut)
    held_out = {Split.CURVE: options.curve_prompts, Split.AUDIT: options.audit_prompts}
    splits = split_prompts(texts, options.world_seed, held_out)
    return PromptSnapshot(Files(splits, options.max_response_tokens), invalid.skipped, long)


def train_preferences(
    options: ReadOptions, preferences: str, world: Files, cut: Cut
) -> tuple[list[Preference], list[str]]:
    """The comparisons whose prompts are not held out for curves or audit, and one line for each skipped row.

    Args:
        options: how the files are read.
        preferences: path of the comparisons.
        world: the study's prompts.
        cut: shortens a prompt to a number of the policy's tokens.

    Raises:
        UserError: for an invalid row, for a long prompt if `long_prompts=stop`, or if no comparison is left.
    """
    invalid = InvalidRows(options.skips_invalid_rows)
    held_out = {*world.all_prompts(Split.CURVE), *world.all_prompts(Split.AUDIT)}
    usable = []
    for preference in read_preferences(Path(preferences), options.preference_fields, invalid):
        prompt = preference.prompt
        shortened = cut(prompt, options.max_prompt_tokens)
        if shortened is not None:
            if options.long_prompts == "stop":
                raise too_long("preferences", prompt, options.max_prompt_tokens)
            prompt = shortened if options.long_prompts == "cut" else ""
        if prompt.strip() and prompt not in held_out:
            usable.append(Preference(prompt, preference.chosen, preference.rejected))
    if not usable:
        raise UserError(
            f"preferences={preferences}: must contain a prompt that is neither too long nor held out for curves or "
            "audit. Add comparisons or raise max_prompt_tokens."
        )
    return usable, invalid.skipped
