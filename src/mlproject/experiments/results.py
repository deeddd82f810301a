"""Stored results: the curves that findings are based on, as small files with digests, readable without any run.

A folder contains one index per experiment, `<name>.json`, and one file per curve, `curves/<16 digits of digest>.npz`.

Axis letters: S curve points, P prompts.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import STATISTIC_KEY, Curve
from mlproject.errors import UserError
from mlproject.strict_json import strict_json

RESOLUTION = 0.01
"""Resolution of stored scores, standard deviations: a hundredth of the spread among prompts."""

_CURVES = "curves"


@dataclass(frozen=True)
class Cell:
    """One policy run of an experiment.

    Attributes:
        settings: options of the run and of its proxy by name (method, rm_size, rm_params, seed, n_comparisons, ...).
        metrics: last value of every metric of the run, of its proxy (`rm/*`) and of its pool (`pool/*`).
        curve: gold, proxy and human per prompt, rounded to `RESOLUTION`; statistics in single precision.
    """

    settings: Mapping[str, Any]
    metrics: Mapping[str, float]
    curve: Curve


@dataclass(frozen=True)
class Result:
    """The policy runs of one experiment.

    Attributes:
        name: name of the experiment.
        about: how it was run (preset, quick, ...).
        cells: its policy runs.
    """

    name: str
    about: Mapping[str, Any]
    cells: Sequence[Cell]

    def with_settings(self, more: Callable[[Cell], Mapping[str, Any]]) -> Result:
        """The same with further settings of each cell."""
        cells = [replace(cell, settings={**cell.settings, **more(cell)}) for cell in self.cells]
        return replace(self, cells=cells)


def save_result(result: Result, folder: Path) -> None:
    """Write a result; curves that are already stored are not written again."""
    (folder / _CURVES).mkdir(parents=True, exist_ok=True)
    rows = []
    for cell in result.cells:
        content = _pack(cell.curve)
        digest = hashlib.sha256(content).hexdigest()
        file = folder / _CURVES / f"{digest[:16]}.npz"
        if not file.exists():
            file.write_bytes(content)
        metrics = {name: float(f"{value:.6g}") for name, value in sorted(cell.metrics.items())}
        rows.append({"settings": dict(cell.settings), "metrics": metrics, "sha256": digest})
    lines = ",\n".join(strict_json(row) for row in rows)
    about = strict_json({"experiment": result.name, **result.about})[1:-1]
    (folder / f"{result.name}.json").write_text(f'{{{about},\n"cells": [\n{lines}\n]}}\n')


def load_result(name: str, folder: Path) -> Result:
    """Read a result that `save_result` wrote.

    Raises:
        UserError: if the index or a curve is missing, or a curve does not match its digest.
    """
    index = folder / f"{name}.json"
    if not index.exists():
        raise UserError(
            f"results={folder}: contains no {name}.json. Run `experiment --name {name} --results {folder}` first."
        )
    content = json.loads(index.read_text())
    cells = [Cell(row["settings"], row["metrics"], _load_curve(folder, row["sha256"])) for row in content.pop("cells")]
    return Result(content.pop("experiment"), content, cells)


def _load_curve(folder: Path, digest: str) -> Curve:
    file = folder / _CURVES / f"{digest[:16]}.npz"
    content = file.read_bytes() if file.exists() else b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(
            f"{file}: must exist with SHA-256 {digest[:16]}..., but is missing or changed. Run its experiment again."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        scores = {name: arrays[name] * RESOLUTION for name in arrays.files if name.endswith("_SP")}
        statistics_S = {
            name.removeprefix(STATISTIC_KEY): arrays[name].astype(np.float64)
            for name in arrays.files
            if name.startswith(STATISTIC_KEY)
        }
        steps_S = arrays["steps_S"].astype(np.int64)
        return Curve(steps_S=steps_S, kl_S=arrays["kl_S"], statistics_S=statistics_S, **scores)


def _pack(curve: Curve) -> bytes:
    """The curve as an .npz file (plain arrays, no pickle); equal curves give equal bytes."""
    scores = {"proxy_SP": curve.proxy_SP, "gold_SP": curve.gold_SP, "human_SP": curve.human_SP}
    scores |= {"win_SP": curve.win_SP}
    arrays: dict[str, NDArray[Any]] = {
        "steps_S": curve.steps_S.astype(np.int32),
        "kl_S": curve.kl_S,
        **{name: _rounded(values_SP) for name, values_SP in scores.items() if values_SP is not None},
        **{STATISTIC_KEY + name: values_S.astype(np.float32) for name, values_S in curve.statistics_S.items()},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _rounded(values_SP: NDArray[np.float64]) -> NDArray[np.int16]:
    limit = np.iinfo(np.int16).max
    return np.clip(np.rint(values_SP / RESOLUTION), -limit, limit).astype(np.int16)
