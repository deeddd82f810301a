"""Reads a user's prompts and comparisons, splits the prompts, and counts what was skipped or cut."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mlproject.digest import digest_of_files
from mlproject.errors import UserError
from mlproject.names import Split
from mlproject.options.paths import expanded, is_there
from mlproject.worlds.files.preferences import Preference, read_with_counts
from mlproject.worlds.files.prompts import fit_prompts, read_prompts_with_counts, split_prompts, too_long
from mlproject.worlds.files.reading import Reading
from mlproject.worlds.files.rows import InvalidRows, Refuses, takes_all
from mlproject.worlds.files.spec import ReadOptions
from mlproject.worlds.files.world import Files

_States = tuple[tuple[Path, int, int], ...]
Cut = Callable[[str, int], str | None]
"""(prompt, largest number of tokens) -> the shortened prompt, or None if it is short enough."""


@dataclass(frozen=True)
class PromptSnapshot:
    """The prompts of a user's files, as a study keeps them.

    Attributes:
        world: prompts by split.
        reading: how the file was read.
        skipped: one line for each skipped row.
        long: number of prompts that were too long (cut or skipped).
    """

    world: Files
    reading: Reading
    skipped: list[str]
    long: int


def path_and_digest(path: str) -> dict[str, str]:
    """Absolute path of a file or folder and digest of its content; a study depends on both."""
    root, states = _states(path)
    return {"path": str(root), "sha256": _digest(root.parent, states)}


def _states(path: str) -> tuple[Path, _States]:
    """A file or folder, and its files with their times and sizes."""
    if not is_there(path):
        raise UserError(f"{path}: must be an existing file or folder. Correct the path.")
    root = expanded(path).resolve()
    files = sorted(file for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file())
    return root, tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@lru_cache(maxsize=16)
def _digest(root: Path, states: _States) -> str:
    """Digest of files, cached while their times and sizes do not change: every curve of a study needs it."""
    return digest_of_files(root, (file for file, *_ in states))


def take_snapshot(
    options: ReadOptions,
    prompts: str,
    preferences: str,
    cut: Cut,
    refuses: Refuses = takes_all,
    sampled: Collection[str] | None = None,
) -> PromptSnapshot:
    """Read the prompts and split them.

    Args:
        options: how the files are read.
        prompts: path of the prompts; empty: the prompts of the comparisons.
        preferences: path of the comparisons; may be empty if there are prompts.
        cut: shortens a prompt to a number of the policy's tokens.
        refuses: which prompts the models cannot read.
        sampled: prompts to which a user has responses; those of the curves are drawn from them.

    Raises:
        UserError: for an invalid row, or too few prompts.
    """
    invalid = InvalidRows(options.skips_invalid_rows, refuses=refuses)
    if prompts:
        texts, reading = read_prompts_with_counts(Path(prompts), options.prompt_field, invalid)
    else:
        rows, reading = _read_preferences(options, preferences, invalid)
        texts = list(dict.fromkeys(preference.prompt for preference in rows))
    texts, long = fit_prompts(texts, options.max_prompt_tokens, options.long_prompts, cut)
    held_out = {Split.CURVE: options.curve_prompts, Split.AUDIT: options.audit_prompts}
    splits = split_prompts(texts, options.world_seed, held_out, sampled)
    return PromptSnapshot(Files(splits, options.max_response_tokens), reading, invalid.skipped, long)


def read_as(options: ReadOptions, option: str, path: str) -> dict[str, str]:
    """The parameter `read_as` of a step that reads a file: its kind, unless version 0.1 read the same from it.

    So runs that were right stay valid, and those that rest on another reading do not.

    Args:
        options: how the files are read.
        option: `prompts` or `preferences`.
        path: path of the file.

    Raises:
        UserError: for an invalid row.
    """
    kind = _new_kind(options, option, *_states(path))
    return {"read_as": kind} if kind else {}


@lru_cache(maxsize=16)
def _new_kind(options: ReadOptions, option: str, root: Path, states: _States) -> str:
    """Kind of a file, empty if it is read as before; cached while the file does not change."""
    reading = read_file(options, option, str(root))
    return "" if reading.is_as_before else reading.kind


def read_file(options: ReadOptions, option: str, path: str, refuses: Refuses = takes_all) -> Reading:
    """How a file is read.

    Args:
        options: how it is to be read.
        option: `prompts` or `preferences`.
        path: path of the file.
        refuses: which prompts the models cannot read.

    Raises:
        UserError: for an invalid row.
    """
    invalid = InvalidRows(options.skips_invalid_rows, refuses=refuses)
    if option == "prompts":
        return read_prompts_with_counts(Path(path), options.prompt_field, invalid)[1]
    return _read_preferences(options, path, invalid)[1]


def _read_preferences(options: ReadOptions, path: str, invalid: InvalidRows) -> tuple[list[Preference], Reading]:
    return read_with_counts(
        Path(path), options.preference_fields, invalid, options.preference_format, options.preferred
    )


def train_preferences(
    options: ReadOptions, preferences: str, world: Files, cut: Cut, refuses: Refuses = takes_all
) -> tuple[list[Preference], Reading, list[str]]:
    """The comparisons whose prompts are not held out for curves or audit, how the file was read, and skipped rows.

    Args:
        options: how the files are read.
        preferences: path of the comparisons.
        world: the study's prompts.
        cut: shortens a prompt to a number of the policy's tokens.
        refuses: which prompts the models cannot read.

    Raises:
        UserError: for an invalid row, for a long prompt if `long_prompts=stop`, or if no comparison is left.
    """
    invalid = InvalidRows(options.skips_invalid_rows, refuses=refuses)
    held_out = {*world.all_prompts(Split.CURVE), *world.all_prompts(Split.AUDIT)}
    usable = []
    rows, reading = _read_preferences(options, preferences, invalid)
    for preference in rows:
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
    return usable, reading, invalid.skipped
