"""Experiments as data: a YAML file defines a grid over options, and the figure and table of its results.

    finding: Larger reward models peak higher            what the experiment is about, in one line
    paper: section 3.2, figures 1, 3, 12                 what to compare with; optional
    options: {n_comparisons: 8000}                       options on top of the preset; optional
    grids:                                               each the product of lists of values by option, and `method`
      - {method: [best-of-n, ppo], rm_size: [1k, 25k], seed: [0, 1, 2]}
    quick: {grids: [{method: [ppo], rm_size: [1k, 13k]}]}    a small version for preset smoke; optional
    figure: {x: sqrt_kl, y: [gold, proxy], colour: rm_size, panels: method}
    table: {rows: rm_size, columns: method, values: [peak/gold, peak/kl]}

A figure over `sqrt_kl`, `kl` or `proxy` shows curves; over any other option or metric, one dot per run.
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
from mlproject.options.paths import is_there
from mlproject.pipeline.study import plan_curve

if TYPE_CHECKING:
    from mlproject.config.schema import Config
    from mlproject.pipeline.step import Step

FOLDER = "experiments"
"""Name of the folders that hold experiments, in the current folder and inside the package."""

CURVE_AXES = ("sqrt_kl", "kl", "proxy")
"""x axes of figures that show curves."""

_TOP = ("finding", "paper", "options", "grids", "quick", "figure", "table")
_PARTS = {
    "quick": (("grids",), ("options",)),
    "figure": (("x", "y"), ("colour", "panels")),
    "table": (("rows", "values"), ("columns",)),
}
"""Required and optional keys of each part."""

Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Experiment:
    """An experiment, as its YAML file defines it.

    Attributes:
        name: name of the file without its suffix.
        finding: what the experiment is about.
        paper: what to compare with; may be empty.
        options: options on top of the preset.
        grids: lists of values by option, and by `method`.
        figure, table: specifications, see the module docstring.
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
        name: name of a file in `experiments/` of the current folder or of the package, or the path of a YAML file.
        quick: use the quick grids.

    Raises:
        UserError: if the file is missing or invalid; one line that says what must hold.
    """
    path = _find(name)
    content = read_yaml(path, "name", "See experiments/README.md for the form.")
    _keys(path, "the file", content, ("finding", "grids", "figure", "table"), _TOP)
    for part, (required, optional) in _PARTS.items():
        if part in content:
            _keys(path, part, content[part], required, (*required, *optional))
    for part in ("figure", "table"):
        for key, value in content[part].items():
            _check_names(path, f"{part}: {key}", value, single=key == "x")
    if quick and "quick" not in content:
        raise UserError(f"quick=true: {path} has no part `quick`. Add one, or run it without quick=true.")
    source = content["quick"] if quick else content
    grids = source["grids"]
    if not isinstance(grids, list) or not grids:
        raise UserError(f"{path}: grids={grids!r}: must be a list of at least one grid.")
    options = source.get("options") or {}
    _keys(path, "options", options, ())
    return Experiment(
        name=path.stem,
        finding=str(content["finding"]),
        paper=str(content.get("paper") or ""),
        options={key: _value(path, key, value) for key, value in options.items()},
        grids=[_grid(path, grid) for grid in grids],
        figure=content["figure"],
        table=content["table"],
    )


def experiment_names() -> list[str]:
    """Names of the experiments in `experiments/` of the current folder and of those that come with the package."""
    return sorted({path.stem for folder in folders(FOLDER) for path in folder.glob("*.yaml")})


def plan_cells(experiment: Experiment, config: Config, user_options: Collection[str] = ()) -> list[Step]:
    """The policy runs of an experiment, without duplicates.

    Args:
        experiment: the experiment.
        config: all options that the grids do not set.
        user_options: names of the options that the user set.

    Raises:
        UserError: if a combination of options is invalid, the user set an option that the grids vary, or a grid varies
            one that none of its methods reads.
    """
    cells: dict[str, Step] = {}
    for grid in experiment.grids:
        if varied := sorted(set(grid) & set(user_options)):
            raise UserError(
                f"{', '.join(varied)}: must not be set, because the grid of {experiment.name} varies it. Remove it."
            )
        made: dict[tuple[Any, ...], str] = {}
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            options = {name: value for name, value in settings.items() if name != "method"}
            try:
                step = plan_curve(config.replace(**options), settings["method"])
            except UserError as error:
                raise UserError(f"experiment {experiment.name}: {error}") from None
            cells.setdefault(step.fingerprint, step)
            made[values] = step.fingerprint
        if idle := _without_effect(grid, made):
            raise UserError(
                f"experiment {experiment.name}: {idle}={grid[idle]}: makes no difference to "
                f"{', '.join(grid['method'])}. Remove it from the grid."
            )
    return list(cells.values())


def _without_effect(grid: Grid, made: Mapping[tuple[Any, ...], str]) -> str:
    """The first option of a grid whose values all make the same policy runs; empty if there is none.

    Args:
        grid: the grid.
        made: fingerprint by combination of values.
    """
    for place, name in enumerate(grid):
        others: dict[tuple[Any, ...], set[str]] = {}
        for values, fingerprint in made.items():
            others.setdefault(values[:place] + values[place + 1 :], set()).add(fingerprint)
        if len(set(map(str, grid[name]))) > 1 and all(len(fingerprints) == 1 for fingerprints in others.values()):
            return name
    return ""


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if not is_there(name):
            raise UserError(f"name={name}: there is no such file. Give the path of a YAML file, or a name.")
        return Path(name)
    try:
        return packaged_or_local(FOLDER, f"{name}.yaml")
    except FileNotFoundError:
        names = ", ".join(experiment_names())
        raise UserError(f"name={name}: must be one of {names}, or the path of a YAML file.") from None


def _keys(path: Path, what: str, content: Any, required: Sequence[str], known: Sequence[str] | None = None) -> None:
    if not isinstance(content, dict):
        raise UserError(f"{path}: {what} is a {type(content).__name__}; it must have lines of the form `key: value`.")
    if known is not None and (unknown := [str(key) for key in content if key not in known]):
        raise UserError(f"{path}: {what} has unknown keys {', '.join(unknown)}; they must be among {', '.join(known)}.")
    if missing := [key for key in required if key not in content]:
        raise UserError(f"{path}: {what} must have {', '.join(missing)}. Add it.")


def _check_names(path: Path, what: str, value: Any, single: bool) -> None:
    several = not single and isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
    if not isinstance(value, str) and not several:
        valid = "the name of an option or metric" if single else "the name of an option or metric, or a list of names"
        raise UserError(f"{path}: {what}={value!r}: must be {valid}.")


def _grid(path: Path, grid: Any) -> Grid:
    _keys(path, "a grid", grid, ("method",))
    checked: dict[str, Sequence[Any]] = {}
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: {name}={values!r}: must be a list in a grid, such as {name}: [{values}].")
        name = str(name)
        if name == "method":
            if unknown := [str(value) for value in values if not isinstance(value, str) or value not in METHODS]:
                raise UserError(f"{path}: method={', '.join(unknown)}: must be one of {', '.join(METHODS)}.")
            checked[name] = values
        else:
            checked[name] = [_value(path, name, value) for value in values]
    return checked


def _value(path: Path, name: str, value: Any) -> Any:
    try:
        return parse(name, value)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
