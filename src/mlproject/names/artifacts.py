"""Files and folders among the artifacts of runs."""

from __future__ import annotations

from typing import Final


class Artifact:
    """Files and folders among the artifacts of runs."""

    STEPS: Final = "steps.json"
    REPORT: Final = "report.html"
    MODEL: Final = "model"
    PROMPTS: Final = "prompts"
    SKIPPED_ROWS: Final = "skipped_rows.txt"
    SCORER_FUNCTION: Final = "scorer.json"
    UNITS: Final = "units.json"
    PAIRS: Final = "pairs.parquet"
    COMPARISONS: Final = "comparisons.parquet"
    POOL: Final = "pool.safetensors"
    CURVE: Final = "curve.npz"
    SAMPLES: Final = "samples.json"
    ROUND_DISTANCE: Final = "travelled.json"
    AUDIT: Final = "audit.npz"
    LAWS: Final = "laws.json"
    PRIORS: Final = "priors.json"
    TRIALS: Final = "trials.csv"
    SEARCH_PAGE: Final = "search.html"
    CELLS: Final = "cells.csv"
    RESULTS: Final = "results"
    FIGURE: Final = "figure.png"
    TABLE: Final = "table.csv"
    GATE_RESULTS: Final = "verdicts.json"
    CANDIDATES: Final = "candidates.json"
    GATES: Final = "gates.yaml"
    EVIDENCE: Final = "evidence.png"
    MODEL_CARD: Final = "model_card.md"
    SCORER: Final = "scorer"
    POINTS: Final = "points.csv"
    FIT: Final = "fit.json"
    FIT_FIGURE: Final = "fit.png"
    TRAINER_TABLE: Final = "overoptimization.csv"
    TRAINER_CURVE: Final = "overoptimization/curve.npz"
