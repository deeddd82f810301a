"""Draws docs/figures/headline.png again, the figure of README.md, from the newest study of a store.

python benchmarks/headline.py FOLDER          (of the mlflow.db; from the root of this repository)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mlflow import MlflowClient

from mlproject.names import Artifact, Tag
from mlproject.plotting.png import png
from mlproject.report.collect import collect
from mlproject.report.curves import headline_figure
from mlproject.tracking.artifact_files import fetch
from mlproject.tracking.store import all_experiments, all_runs

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "headline.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds the mlflow.db of a finished study")
    database = parser.parse_args().folder.resolve() / "mlflow.db"
    if not database.exists():
        parser.error(f"{database}: there is no such file")
    client = MlflowClient(f"sqlite:///{database}")
    studies = all_runs(client, all_experiments(client), f"tags.`{Tag.STUDY_FINGERPRINT}` != ''")
    if not studies:
        parser.error(f"{database}: has no finished study")
    run_id = studies[0].info.run_id
    members = json.loads(fetch(client, run_id, Artifact.STEPS).read_text(encoding="utf-8"))
    report = collect(client, members, "", "", run_id)
    FIGURE.write_bytes(png(headline_figure(report)))
    print(f"{FIGURE}: study {run_id}, {', '.join(report.facts.values())}")


if __name__ == "__main__":
    main()
