"""Does each world show the shapes of the paper? Reads a store of finished studies and prints one line per claim.

    python benchmarks/shapes.py [--experiment overoptimization]     (in the folder of mlflow.db)

Only runs without a KL penalty are used, which excludes the other trials of a search.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from mlproject.curve import Curve
from mlproject.laws import FORMS, rmse_by_form, spearman
from mlproject.tracking.store import all_runs, tracking_uri


@dataclass(frozen=True)
class Row:
    """One curve with its settings."""

    rm_size: str
    rm_params: int
    seed: int
    curve: Curve
    r2: float


def read(client: MlflowClient, experiment: str) -> dict[tuple[int, str], list[Row]]:
    """Curves by (world seed, method), from the smallest RM to the largest."""
    entity = client.get_experiment_by_name(experiment)
    rows: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for run in all_runs(client, [entity.experiment_id], "attributes.status = 'FINISHED'") if entity else []:
        p = run.data.params
        if float(p.get("kl_coef", 0)) == 0:
            path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, tracking_uri=client.tracking_uri)
            r2 = run.data.metrics.get("law/r2", float("nan"))
            row = Row(p["rm_size"], int(p["rm_params"]), int(p["seed"]), Curve.load(Path(path) / "curve.npz"), r2)
            rows[int(p["world_seed"]), p["method"]].append(row)
    return {key: sorted(group, key=lambda row: (row.rm_params, row.seed)) for key, group in sorted(rows.items())}


def claims(method: str, rows: list[Row]) -> Iterator[str]:
    """One line per claim."""
    for seed in sorted({row.seed for row in rows}):
        sized = [row for row in rows if row.seed == seed]
        peaks = [row.curve.peak() for row in sized]
        rho = (
            spearman([row.rm_params for row in sized], [peak.gold for peak in peaks])
            if len(sized) > 2
            else float("nan")
        )
        shown = "  ".join(
            f"{r.rm_size} {p.gold:.2f}±{p.gold_se:.2f}@{p.kl:.1f}" for r, p in zip(sized, peaks, strict=True)
        )
        drop, se = sized[0].curve.drop_after_peak()
        yield f"seed {seed}: rank correlation {rho:+.1f}; smallest falls {drop:.2f} ({drop / se:.0f} se); peaks {shown}"
    yield "R2 of the law: " + "  ".join(f"{row.rm_size}/{row.seed} {row.r2:.3f}" for row in rows)
    own, rival = ("best-of-n", "rl") if method == "best-of-n" else ("rl", "best-of-n")
    errors = [rmse_by_form([FORMS[own], FORMS[rival]], row.curve.sqrt_kl_S, row.curve.gold_S) for row in rows]
    yield f"form {own} fits better than {rival} on {sum(e[own] < e[rival] for e in errors)} of {len(errors)} curves"


def main() -> None:
    """Print the claims of every world in the store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="overoptimization")
    for (world_seed, method), rows in read(MlflowClient(tracking_uri()), parser.parse_args().experiment).items():
        print(f"world seed {world_seed}, {method}")
        for line in claims(method, rows):
            print("  " + line)


if __name__ == "__main__":
    main()
