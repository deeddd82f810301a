"""The findings page: a section per experiment whose result is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlproject.errors import UserError
from mlproject.experiments.findings.claims import FINDINGS, Claim, Finding, finding_function
from mlproject.experiments.findings.evidence import seeds_of
from mlproject.experiments.findings.figure import draw
from mlproject.experiments.findings.table import escape, tabulate, to_markdown
from mlproject.experiments.results import load_result
from mlproject.experiments.spec import Experiment, load_experiment
from mlproject.plotting.png import png

FIGURES = Path("figures", "findings")
"""Where figures lie beside the page."""


@dataclass(frozen=True)
class Section:
    """One experiment on the page.

    Attributes:
        name: of the experiment.
        experiment: its YAML file.
        cells, seeds, preset, quick: how it was made.
        figure: link.
        table: Markdown.
        claims, notes, tables: of its reader; the tables as Markdown, by title.
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
        results: folder with kept results.
        page: file to write; figures go into `figures/findings` beside it.

    Returns:
        what was written; the same results give the same bytes.

    Raises:
        UserError: where nothing is kept, or a kept curve is not the one that was measured.
    """
    kept = {path.stem for path in results.glob("*.json")}
    if not kept:
        raise UserError(
            f"results={results}: nothing is kept there; run `experiment --name rm_size --results {results}` first"
        )
    ordered = [name for name in FINDINGS if name in kept] + sorted(kept - set(FINDINGS))
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
    result, read = load_result(name, results), finding_function(name)
    quick = bool(result.about.get("quick"))
    experiment, found = load_experiment(name, quick), Finding(claims=[])
    if quick:
        found = Finding(claims=[], notes=["Made in the quick size: too small to judge any claim."])
    elif read:
        try:
            found = read(result)
        except ValueError as error:  # a fit or a trend with too few points
            found = Finding(claims=[], notes=[f"Not judged: {error}."])
    figure = folder / FIGURES / f"{name}.png"
    drawn[figure] = png(draw(result, experiment.figure))
    return Section(
        name=name,
        experiment=experiment,
        cells=len(result.cells),
        seeds=", ".join(map(str, seeds_of(result.cells))),
        preset=str(result.about.get("preset", "?")),
        quick=quick,
        figure=(FIGURES / f"{name}.png").as_posix(),
        table=to_markdown(tabulate(result, experiment.table)),
        claims=found.claims,
        notes=found.notes,
        tables={title: to_markdown(table) for title, table in found.tables.items()},
    )
