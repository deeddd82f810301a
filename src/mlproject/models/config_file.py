"""Whether a checkpoint's config.json is one that transformers can be given: it would take hours over some of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = 16 * 2**20
"""Bytes of a config.json that are read."""

_MOST_BYTES = {".json": 256 * 2**20, ".txt": 256 * 2**20, ".model": 256 * 2**20, ".jinja": 2**20}
"""Of the other files beside the weights, which transformers reads as a whole, by the ends of their names."""

_MOST = {
    "num_hidden_layers": 2000, "n_layer": 2000, "n_layers": 2000, "num_layers": 2000, "encoder_layers": 2000,
    "decoder_layers": 2000, "num_labels": 100_000,
}  # fmt: skip
_AT_LEAST_ONE = {
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_attention_heads", "n_head", "n_heads", "hidden_size",
    "n_embd", "vocab_size",
}  # fmt: skip


def config_problem(folder: Path) -> str:
    """What is wrong with the config.json of a folder, or with the kinds and sizes of files beside it, in one clause.

    Args:
        folder: of the checkpoint.

    Returns:
        the clause; empty where nothing is wrong, or there is no such folder.
    """
    for beside in sorted(folder.glob("*")):
        most = _MOST_BYTES.get(beside.suffix)
        if most and beside.exists() and not (beside.is_file() or beside.is_dir()):
            return f"{beside.name} is no regular file"
        if most and beside.is_file() and beside.stat().st_size > most:
            return f"{beside.name} has more than {most // 2**20} MB"
    path = folder / "config.json"
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            return f"its config.json has more than {LARGEST // 2**20} MB"
        config = json.loads(content)
    except RecursionError:
        return "its config.json is nested too deeply"
    except (OSError, ValueError):
        return "its config.json is no JSON"
    if not isinstance(config, dict):
        return "its config.json holds no fields"
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else [] if architectures is None else [0]
    if not all(isinstance(name, str) for name in names):
        return "architectures in its config.json is no list of names"
    for name, value in _numbers(config):
        if value > _MOST.get(name, value):
            return f"{name} in its config.json is larger than {_MOST[name]:,}"
        if name in _AT_LEAST_ONE and value < 1:
            return f"{name} in its config.json is {value:g}"
    return ""


def _numbers(config: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, int | float):
            yield name, value
