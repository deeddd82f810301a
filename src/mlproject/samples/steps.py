"""The steps of a table of scored samples: the samples, and a policy run of method best-of-n for each reward model.

Axis letters: P prompts, B responses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.config.schema import Config
from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.estimators import n_grid
from mlproject.names import GoldKind, Kind, Metric, MlflowTag, Role, Tag
from mlproject.optimization import METHODS
from mlproject.optimization.evaluator import Snapshot
from mlproject.options.columns import named_columns
from mlproject.pipeline.calibrate import pairwise_metrics
from mlproject.pipeline.law import law
from mlproject.pipeline.policy_curve import draw_curve, save_curve
from mlproject.pipeline.snapshots import SnapshotRecorder
from mlproject.pipeline.step import Run, Step
from mlproject.plotting.colours import rm_colours
from mlproject.samples.copies import DROP, KEEP
from mlproject.samples.curves import GoldUnits, Pairs, best_of_k_accuracy, best_of_n_points, pairs_of
from mlproject.samples.pool import Choice, ScoredPool
from mlproject.samples.read import read_samples
from mlproject.samples.roles import MEANINGS
from mlproject.samples.stored import StoredPool, load_pool, save_pool
from mlproject.worlds.files.rows import InvalidRows
from mlproject.worlds.files.snapshot import path_and_digest

METHOD = METHODS["best-of-n"]


@dataclass(frozen=True)
class SamplesRequest:
    """A table of scored samples, as the user names it.

    Attributes:
        path: file or folder.
        columns: `name=column` pairs (see `MEANINGS`).
        choice: reward models, and what is left out.
        n_max: the largest n; 0: the smallest number of responses of a prompt.
        skip_bad_lines: whether rows that cannot be read are skipped.
    """

    path: str
    columns: str = ""
    choice: Choice = field(default_factory=Choice)
    n_max: int = 0
    skip_bad_lines: bool = False

    @cached_property
    def pool(self) -> ScoredPool:
        """What the table holds.

        Raises:
            UserError: in one line, for what cannot be read.
        """
        if self.choice.duplicates not in (KEEP, DROP):
            raise UserError(f"duplicates={self.choice.duplicates}: must be {KEEP} or {DROP}.")
        path = Path(self.path).expanduser()
        pool = read_samples(path, named_columns(self.columns, MEANINGS), self.choice, InvalidRows(self.skip_bad_lines))
        if self.n_max > pool.n_max or self.n_max == 1:
            raise UserError(
                f"n_max={self.n_max}: must be 2 to {pool.n_max}, the smallest number of responses of a prompt. Lower "
                "it, or leave prompts with few responses out (min_samples)."
            )
        return pool

    def step(self) -> Step:
        """The step that keeps what was read; its caller fills the run."""
        file = path_and_digest(self.path)
        return Step(
            name=f"samples of {Path(self.path).name}",
            kind=Kind.SCORED_SAMPLES,
            version=1,
            params={
                "samples_sha256": file["sha256"],
                "columns": self.columns,
                "rms": self.choice.rms,
                "min_samples": self.choice.min_samples,
                "duplicates": self.choice.duplicates,
                "bad_lines": "skip" if self.skip_bad_lines else "stop",
            },
            inherited_params={"samples_path": file["path"]},
            tags={Tag.READ_AS: self.pool.read_as, Tag.GOLD: GoldKind.COLUMN},
        )


def keep_samples(run: Run, pool: ScoredPool) -> None:
    """Artifacts: `scored_samples.npz`, `scored_samples.json`."""
    save_pool(pool, run.folder)
    run.log_metrics({Metric.SAMPLES_PROMPTS: len(pool.counts_P), Metric.SAMPLES_RESPONSES: len(pool.gold_B)})


@dataclass(frozen=True)
class ComparisonPlan:
    """The steps of a comparison of reward models.

    Attributes:
        samples: keeps what was read; its caller fills the run.
        policy_runs: one for each reward model.
        law: fitted to all of them.
    """

    samples: Step
    policy_runs: list[Step]
    law: Step


def plan_comparison(config: Config, request: SamplesRequest) -> ComparisonPlan:
    """Plan the comparison of a table's reward models.

    Args:
        config: numbers of points and of bootstrap resamples.
        request: the table.
    """
    samples, rms = request.step(), list(request.pool.scores)
    colours = rm_colours(rms)
    runs = [_curve_of(config, request, samples, rm, colours[rm]) for rm in rms]
    laws = replace(law(config, runs), tags={Tag.GOLD: GoldKind.COLUMN})
    return ComparisonPlan(samples, runs, laws)


def _curve_of(config: Config, request: SamplesRequest, samples: Step, rm: str, colour: str) -> Step:
    params: dict[str, Any] = {
        "method": METHOD.name,
        "rm_size": rm,
        "bon_n_max": request.n_max or request.pool.n_max,
        **config.select("bon_points"),
        "seed": 0,
    }
    return Step(
        name=f"{rm}, {METHOD.name}",
        kind=Kind.POLICY_RUN,
        version=2,
        params=params,
        inputs={Role.SCORED_SAMPLES: samples},
        inherited_params={"rm_params": 0},  # not known
        tags={Tag.METHOD: METHOD.name, Tag.GOLD: GoldKind.COLUMN, MlflowTag.RUN_COLOR: colour},
        fn=measure_curve,
    )


def measure_curve(run: Run) -> None:
    """Measure the curve of one reward model. Artifacts: `curve.npz`, `samples.json`."""
    p = run.params
    stored = load_pool(run.input(Role.SCORED_SAMPLES), p["rm_size"])
    pool, units = stored.pool, GoldUnits.of(stored.pool.gold_B)
    pairs = pairs_of(pool, pool.scores[p["rm_size"]], units)
    run.log_metrics(agreement(pairs))
    if stored.facts["gold_is_right_or_wrong"]:
        run.log_metrics({Metric.BEST_OF_K_ACCURACY: best_of_k_accuracy(pool, p["rm_size"])})
    stream = best_of_n_points(
        pool, p["rm_size"], n_grid(p["bon_n_max"], p["bon_points"]), units, pairs.scale, stored.statistics
    )
    recorder = SnapshotRecorder(pool.prompts)
    points = draw_curve(
        run, METHOD, stream, callbacks=[lambda point: recorder.add(snapshot(stored, p["rm_size"], point, pairs.scale))]
    )
    save_curve(run, METHOD, points, recorder)


def agreement(pairs: Pairs) -> dict[str, float]:
    """How well a reward model orders pairs of responses as gold does, by the metrics of a proxy RM."""
    differs_B, scale = pairs.gold_B != 0, pairs.scale
    metrics: dict[str, float] = {Metric.RM_SCALE: scale, Metric.RM_PAIRS: float(differs_B.sum())}
    if differs_B.any():
        hard = pairwise_metrics(pairs.proxy_B[differs_B], pairs.gold_B[differs_B] > 0)
        metrics |= {Metric.RM_VAL_ACCURACY: hard["accuracy"], Metric.RM_VAL_LOSS: hard["loss"]}
    soft = pairwise_metrics(scale * pairs.proxy_B, 1 / (1 + np.exp(-pairs.gold_B)))
    return metrics | {Metric.RM_VAL_LOSS_CALIBRATED: soft["loss"], Metric.RM_ECE: soft["ece"]}


def snapshot(stored: StoredPool, rm: str, point: CurvePoint, scale: float) -> Snapshot:
    """The best of the first n responses to each of the first prompts."""
    pool, n = stored.pool, point.step
    scores_B, units = pool.scores[rm], GoldUnits.of(pool.gold_B)
    starts_P = (np.cumsum(pool.counts_P) - pool.counts_P)[: len(pool.prompts)]
    best_P = [int(scores_B[start : start + n].argmax()) for start in starts_P]
    chosen_P = starts_P + best_P
    texts = [shown[position] for shown, position in zip(stored.shown, best_P, strict=True)] if stored.shown else []
    return Snapshot(
        point,
        texts or ["(not in the table)"] * len(best_P),
        (scores_B[chosen_P] - scores_B.mean()) * scale,
        (pool.gold_B[chosen_P] - units.mean) / units.sd,
        None,
        None,
    )
