"""Experiments as data: a YAML file names a grid over the options there are, and the figure and table that it makes.

    finding: Larger reward models peak higher            what the experiment is about, one line
    paper: section 3.2, figures 1, 3, 12                 where to compare; may be left out
    options: {n_comparisons: 8000}                       beside the preset; may be left out
    grids:                                               each a product: lists of values by option, and `method`
      - {method: [best-of-n, ppo], rm_size: [1k, 25k], seed: [0, 1, 2]}
    quick: {grids: [{method: [ppo], rm_size: [1k, 13k]}]}    the same in preset smoke, for a first look
    figure: {x: sqrt_kl, y: [gold, proxy], colour: rm_size, panels: method}
    table: {rows: rm_size, columns: method, values: [peak/gold, peak/kl]}

A figure over `sqrt_kl`, `kl` or `proxy` shows curves; over anything else (an option or a metric) one dot for each run.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.config.packaged import folders, packaged_or_local
from mlproject.config.schema import parse
from mlproject.config.yaml_file import read_yaml
from mlproject.errors import UserError
from mlproject.optimization import METHODS
from mlproject.pipeline.study import plan_curve

if TYPE_CHECKING:
    from mlproject.config.schema import Config
    from mlproject.pipeline.step import Step

FOLDER = "experiments"
"""Name of the folders that hold experiments, in the current folder and inside the package."""

CURVE_AXES = ("sqrt_kl", "kl", "proxy")
"""What curves may be drawn over."""

_TOP = ("finding", "paper", "options", "grids", "quick", "figure", "table")
_PARTS = {
    "quick": (("grids",), ("options",)),
    "figure": (("x", "y"), ("colour", "panels")),
    "table": (("rows", "values"), ("columns",)),
}
"""Keys of each part: those that must be there, and those that may."""

Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Experiment:
    """A finding's experiment.

    Attributes:
        name: of its file.
        finding: what it is about.
        paper: where to compare; may be empty.
        options: beside the preset.
        grids: lists of values by option, and by `method`.
        figure, table: what is drawn and tabulated, see the module's head.
    """

    name: str
    finding: str
    paper: str
    options: Mapping[str, Any]
    grids: Sequence[Grid]
    figure: Mapping[str, Any]
    table: Mapping[str, Any]


def load_experiment(name: str, quick: bool = False) -> Experiment:
    """Read an experiment.

    Args:
        name: of a file in `experiments/` here or in the project, or a path to a YAML file.
        quick: take the quick grids.

    Raises:
        UserError: for a file that is missing or says something unknown; one line says what is allowed.
    """
    path = _find(name)
    content = read_yaml(path, "name", "See experiments/README.md for the form.")
    _keys(path, "the file", content, ("finding", "grids", "figure", "table"), _TOP)
    for part, (needed, possible) in _PARTS.items():
        if part in content:
            _keys(path, part, content[part], needed, (*needed, *possible))
    for part in ("figure", "table"):
        for key, value in content[part].items():
            _check_names(path, f"{part}: {key}", value, single=key == "x")
    if quick and "quick" not in content:
        raise UserError(f"{path}: has no part `quick`; add one, or run it without quick=true")
    chosen = content["quick"] if quick else content
    grids = chosen["grids"]
    if not isinstance(grids, list) or not grids:
        raise UserError(f"{path}: grids={grids!r}: allowed is a list with at least one grid")
    fixed = chosen.get("options") or {}
    _keys(path, "options", fixed, ())
    options = {key: _value(path, key, value) for key, value in fixed.items()}
    return Experiment(
        name=path.stem,
        finding=str(content["finding"]),
        paper=str(content.get("paper") or ""),
        options=options,
        grids=[_grid(path, grid) for grid in grids],
        figure=content["figure"],
        table=content["table"],
    )


def experiment_names() -> list[str]:
    """Names of the experiments in `experiments/` of the current folder and of those that come with the package."""
    return sorted({path.stem for folder in folders(FOLDER) for path in folder.glob("*.yaml")})


def plan_cells(experiment: Experiment, config: Config, given: Collection[str] = ()) -> list[Step]:
    """The policy runs of an experiment, each once.

    Args:
        experiment: whose grids are laid out.
        config: everything that the grids leave open.
        given: options that the user fixed.

    Raises:
        UserError: for a combination that the configuration refuses, or a grid over an option that the user fixed.
    """
    cells: dict[str, Step] = {}
    for grid in experiment.grids:
        if fixed := sorted(set(grid) & set(given)):
            raise UserError(f"{', '.join(fixed)}: stands in the grid of {experiment.name}; do not give it as an option")
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            step = plan_curve(
                config.replace(**{k: v for k, v in settings.items() if k != "method"}), settings["method"]
            )
            cells.setdefault(step.fingerprint, step)
    return list(cells.values())


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"name={name}: there is no such file. Give the path of a YAML file, or a name.")
        return Path(name)
    try:
        return packaged_or_local(FOLDER, f"{name}.yaml")
    except FileNotFoundError:
        names = ", ".join(experiment_names())
        raise UserError(f"name={name}: must be one of {names}, or the path of a YAML file.") from None


def _keys(path: Path, what: str, content: Any, needed: Sequence[str], possible: Sequence[str] | None = None) -> None:
    if not isinstance(content, dict):
        raise UserError(f"{path}: {what} holds a {type(content).__name__}; give lines of the form `key: value`")
    if possible is not None and (unknown := [str(key) for key in content if key not in possible]):
        raise UserError(f"{path}: {what} has no {', '.join(unknown)}; allowed are {', '.join(possible)}")
    if missing := [key for key in needed if key not in content]:
        raise UserError(f"{path}: {what} lacks {', '.join(missing)}")


def _check_names(path: Path, what: str, value: Any, single: bool) -> None:
    several = not single and isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
    if not isinstance(value, str) and not several:
        allowed = "a name" if single else "a name, or a list of names"
        raise UserError(f"{path}: {what}={value!r}: allowed is {allowed}, of options or metrics")


def _grid(path: Path, grid: Any) -> Grid:
    _keys(path, "a grid", grid, ("method",))
    checked: dict[str, Sequence[Any]] = {}
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: {name}={values!r}: a grid has lists of values, such as {name}: [{values}]")
        name = str(name)
        if name == "method":
            if unknown := [str(value) for value in values if value not in METHODS]:
                raise UserError(f"{path}: method={', '.join(unknown)}: allowed are {', '.join(METHODS)}")
            checked[name] = values
        else:
            checked[name] = [_value(path, name, value) for value in values]
    return checked


def _value(path: Path, name: str, value: Any) -> Any:
    try:
        return parse(name, value)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
