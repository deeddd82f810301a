"""A folder of files that are one table in parts, as writers of Parquet and the hub leave them."""

from __future__ import annotations

import re
from pathlib import Path

from mlproject.errors import UserError

_OF_DATASETS = ("dataset_info.json", "state.json", "dataset_dict.json")
_NUMBERED = re.compile(r"(.*?)[-_.]?(?:part)?[-_.]?\d+(?:[-_]of[-_]\d+)?(?:[-_.][0-9a-f-]{8,})?")
_TRAIN = "train"


def shards(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files of a folder that are one table, in order; none where `datasets` saved it.

    Of several splits, told by the names before the numbers (`train-00000-of-00002.parquet`), those of `train`.

    Args:
        folder: looked through with its folders; hidden files are passed over.
        endings: of files that can be parts.

    Raises:
        UserError: for files of several kinds, or several splits without `train`.
    """
    if any((folder / name).exists() for name in _OF_DATASETS):
        return []
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix.lower() in endings
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )
    kinds = sorted({path.suffix.lower() for path in files})
    if len(kinds) > 1:
        raise UserError(f"{folder}: must hold files of one kind, not {', '.join(kinds)}. Name the file that you mean.")
    splits: dict[str, list[Path]] = {}
    for path in files:
        match = _NUMBERED.fullmatch(path.stem)
        splits.setdefault(match[1] if match else path.stem, []).append(path)
    if len(splits) > 1 and _TRAIN not in splits:
        raise UserError(
            f"{folder}: must hold the numbered parts of one table, or a split train, not "
            f"{', '.join(list(splits)[:6])}. Name the file that you mean."
        )
    return splits[_TRAIN] if len(splits) > 1 else files
