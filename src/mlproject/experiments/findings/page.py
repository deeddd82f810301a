"""The findings page: one section per stored result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlproject.errors import UserError
from mlproject.experiments.findings.claims import FINDINGS, Claim, Finding, finding_function, labelled
from mlproject.experiments.findings.evidence import seeds_of
from mlproject.experiments.findings.figure import draw
from mlproject.experiments.findings.table import escape, tabulate, to_markdown
from mlproject.experiments.results import load_result
from mlproject.experiments.spec import Experiment, load_experiment
from mlproject.plotting.png import png

FIGURES = Path("figures", "findings")
"""Folder of the figures, relative to the page."""


@dataclass(frozen=True)
class Section:
    """One experiment on the page.

    Attributes:
        name: name of the experiment.
        experiment: content of its YAML file.
        cells, seeds, preset, quick: how it was run.
        figure: link to its figure.
        table: its table, as Markdown.
        claims, notes, tables: its finding; the tables as Markdown, by title.
    """

    name: str
    experiment: Experiment
    cells: int
    seeds: str
    preset: str
    quick: bool
    figure: str
    table: str
    claims: Sequence[Claim]
    notes: Sequence[str]
    tables: Mapping[str, str]


def write_page(results: Path, page: Path) -> list[Path]:
    """Write the page and its figures.

    Args:
        results: folder with stored results.
        page: file to write; figures are written to `figures/findings` beside it.

    Returns:
        the files written; equal results give equal bytes.

    Raises:
        UserError: if there are no stored results, or a stored curve was changed.
    """
    stored = {path.stem for path in results.glob("*.json")}
    if not stored:
        raise UserError(
            f"results={results}: contains no results. Run `experiment --name rm_size --results {results}` first."
        )
    ordered = [name for name in FINDINGS if name in stored] + sorted(stored - set(FINDINGS))
    drawn: dict[Path, bytes] = {}
    sections = [_section(name, results, page.parent, drawn) for name in ordered]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["cell"] = escape
    text = environment.get_template("page.md.jinja").render(sections=sections, results=results.as_posix())
    files = {**drawn, page: text.encode()}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(path.name + ".part")
        scratch.write_bytes(content)
        scratch.replace(path)
    return list(files)


def _section(name: str, results: Path, folder: Path, drawn: dict[Path, bytes]) -> Section:
    result, analyse = load_result(name, results), finding_function(name)
    quick = bool(result.about.get("quick"))
    experiment, finding = load_experiment(name, quick), Finding(claims=[])
    if quick:
        finding = Finding(claims=[], notes=["Run with quick=true: too small to evaluate any claim."])
    elif analyse:
        try:
            finding = analyse(result)
        except ValueError as error:  # a fit or a trend with too few points
            finding = Finding(claims=[], notes=[f"Claims not evaluated: {error}."])
    figure = folder / FIGURES / f"{name}.png"
    shown = labelled(result)
    drawn[figure] = png(draw(shown, experiment.figure))
    return Section(
        name=name,
        experiment=experiment,
        cells=len(result.cells),
        seeds=", ".join(map(str, seeds_of(result.cells))),
        preset=str(result.about.get("preset", "?")),
        quick=quick,
        figure=(FIGURES / f"{name}.png").as_posix(),
        table=to_markdown(tabulate(shown, experiment.table)),
        claims=finding.claims,
        notes=finding.notes,
        tables={title: to_markdown(table) for title, table in finding.tables.items()},
    )
