"""A series of checkpoints of one training, as a user names it: a folder of them, or a list with steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mlproject.errors import UserError
from mlproject.options.columns import listed
from mlproject.options.paths import exists, expanded, is_folder

_LISTED = re.compile(r"(.+?)@(\d{1,15})\s*(?:,\s*|$)")
_NUMBER = re.compile(r"(?:.*\D)?(\d{1,15})")
_CONFIG = "config.json"
_FORM = "Give a folder of checkpoints whose names end in their step (checkpoint-100), or PATH@STEP,PATH@STEP."


@dataclass(frozen=True)
class SeriesItem:
    """A checkpoint of a training.

    Attributes:
        step: of the training, at least 0.
        path: folder, or OWNER/NAME on the hub.
    """

    step: int
    path: str


@dataclass(frozen=True)
class Series:
    """The checkpoints of a training, by step.

    Attributes:
        items: at least one.
        left_out: names of folders with a model whose names end in no step.
    """

    items: tuple[SeriesItem, ...]
    left_out: tuple[str, ...] = ()


def parse_series(text: str) -> Series:
    """Parse `checkpoints=FOLDER` or `checkpoints=PATH@STEP,PATH@STEP`.

    Args:
        text: value of the option.

    Raises:
        UserError: for another form, a step that is there twice, or a folder without checkpoints.
    """
    left_out: list[str] = []
    if is_folder(expanded(text)):
        items, left_out = _in_folder(text)
    elif "@" in text:
        items = _in_list(text)
    else:
        raise UserError(f"checkpoints={text}: must be an existing folder. {_FORM}")
    items.sort(key=lambda item: item.step)
    for earlier, later in pairwise(items):
        if earlier.step == later.step:
            raise UserError(
                f"checkpoints={text}: must have one checkpoint for each step, but {Path(earlier.path).name} and "
                f"{Path(later.path).name} are both step {later.step}. Give a list, PATH@STEP,PATH@STEP."
            )
    return Series(tuple(items), tuple(left_out))


def _in_list(text: str) -> list[SeriesItem]:
    items, end = [], 0
    while end < len(text):
        match = _LISTED.match(text, end)
        if match is None:
            raise UserError(f"checkpoints={text}: {text[end:]!r} must have the form PATH@STEP. {_FORM}")
        path, end = match[1].strip(), match.end()
        if path.startswith((".", "/", "~")) and not exists(expanded(path)):
            raise UserError(f"checkpoints={text}: {path} must be an existing folder. Correct the path.")
        items.append(SeriesItem(int(match[2]), str(expanded(path).resolve()) if exists(expanded(path)) else path))
    return items


def _in_folder(text: str) -> tuple[list[SeriesItem], list[str]]:
    root = expanded(text).resolve()
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    models = {folder: _models_in(folder) for folder in folders}
    items: list[SeriesItem] = []
    left_out: list[str] = [f"{root.name} itself"] if (root / _CONFIG).exists() else []
    for folder, found in models.items():
        match = _NUMBER.fullmatch(folder.name)
        if match and len(found) > 1:
            names = listed([str(path.relative_to(root)) for path in found])
            raise UserError(f"checkpoints={text}: {folder.name} must hold one model, not {names}. Give PATH@STEP,...")
        if match and found:
            items.append(SeriesItem(int(match[1]), str(found[0])))
        elif found:
            left_out.append(folder.name)
    if not items:
        names = "a model itself" if left_out else listed([folder.name for folder in folders])
        raise UserError(
            f"checkpoints={text}: must hold folders with a {_CONFIG} whose names end in a step, but holds {names}. "
            f"{_FORM}"
        )
    return items, left_out


def _models_in(folder: Path) -> list[Path]:
    """The folder itself, or those within it that hold a model, as some trainers save it."""
    if (folder / _CONFIG).exists():
        return [folder]
    return sorted(path.parent for path in folder.rglob(_CONFIG) if any(path.parent.glob("*.safetensors")))
