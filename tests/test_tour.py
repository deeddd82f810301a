"""The tour in a notebook runs as it stands, and shows what it shows in the documentation."""

import json
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[1] / "examples" / "tour.ipynb"


def shown(cell) -> list[str]:
    """Kinds of a cell's outputs, warnings apart."""
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return [kind for output in outputs for kind in sorted(output.get("data", {"stdout": ""}))]


def test_every_cell_runs_and_shows_what_is_kept(tmp_path):
    kept = nbformat.read(TOUR, as_version=4)
    executed = nbformat.from_dict(json.loads(json.dumps(kept)))
    NotebookClient(executed, timeout=600, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    cells = [(new, old) for new, old in zip(executed.cells, kept.cells, strict=True) if old.cell_type == "code"]
    assert [shown(new) for new, _ in cells] == [shown(old) for _, old in cells]
    assert (
        sum("image/png" in shown(old) for _, old in cells) == 2
        and sum("text/html" in shown(old) for _, old in cells) == 4
    )
    answers = [cell.outputs[-1].text.splitlines()[0] for cell in (executed.cells[-2], kept.cells[-2])]
    assert answers[0] == answers[1] and answers[0].startswith("Use the rm-100k reward model with best-of-n")
    assert not [path for path in TOUR.parent.iterdir() if path.name in ("mlflow.db", "mlruns")]
