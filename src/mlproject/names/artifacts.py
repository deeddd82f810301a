"""Files and folders among the artifacts of runs."""

from __future__ import annotations

from typing import Final

from mlproject.names.table import NameTable

ARTIFACTS: Final = NameTable()


def _figure(name: str, meaning: str, placeholder: str = "", studies: str = "`main`, `compare`") -> str:
    ARTIFACTS.add(f"{name}{placeholder}.png", meaning, f"studies of {studies}")
    return name


class Artifact:
    """Files and folders among the artifacts of runs."""

    STEPS: Final = ARTIFACTS.add(
        "steps.json", "the runs that answered: step, kind, run id, reused or not, seconds", "studies"
    )
    TIMELINE: Final = ARTIFACTS.add(
        "timeline.json",
        "when each step ran, in which process, what it waited for, its CPU seconds and peak memory; utilisation of the "
        "cores; the longest chain",
        "studies",
        since="0.2.0",
    )
    TIMELINE_FIGURE: Final = ARTIFACTS.add(
        "timeline.png", "the same as a Gantt chart", "studies that executed a step", since="0.2.0"
    )
    REPORT: Final = ARTIFACTS.add(
        "report.html", "the report, one file without scripts from elsewhere", "studies of `main`, `compare`"
    )
    RECOMMENDATION: Final = ARTIFACTS.add(
        "recommendation.json",
        "which reward model, by which method, how far, with intervals; what cannot be told from it; the sentences",
        "studies of `main`, `compare`, searches",
        since="0.2.0",
    )
    MODEL: Final = ARTIFACTS.add(
        "model",
        "a Hugging Face folder; a reward model's config.json holds centre and scale",
        "initial policies, gold RMs, proxy RMs, test RMs, PPO runs (the last policy)",
    )
    PROMPTS: Final = ARTIFACTS.add("prompts", "the prompts of the study, by split", "imported initial policies")
    SKIPPED_ROWS: Final = ARTIFACTS.add(
        "skipped_rows.txt", "rows of a user's file that were left out, and why", "imports"
    )
    SCORER_FUNCTION: Final = ARTIFACTS.add(
        "scorer.json",
        "name, identity and units of a reward that is a function or a service",
        "imported gold RMs, imported proxy RMs",
    )
    PROBES: Final = ARTIFACTS.add(
        "probes.json",
        "each probe with its gain, gold's, and the difference, with 95 % intervals",
        "probes",
        since="0.2.0",
    )
    SCORER_COLUMNS: Final = ARTIFACTS.add(
        "scorer_columns.jsonl",
        "prompts with the further columns that a function in TRL's form takes",
        "imported gold RMs, imported proxy RMs",
        since="0.2.0",
    )
    UNITS: Final = ARTIFACTS.add(
        "units.json", "mean and standard deviation of the human judgement of the initial policy", "gold RMs"
    )
    PAIRS: Final = ARTIFACTS.add(
        "pairs.parquet", "pairs with gold scores, for the scale of proxies", "imported gold RMs"
    )
    SCORED_SAMPLES: Final = ARTIFACTS.add(
        "scored_samples.npz", "gold and scores of every response of a user's table", "scored samples", since="0.2.0"
    )
    SCORED_SAMPLES_INFO: Final = ARTIFACTS.add(
        "scored_samples.json",
        "how the table was read, what was left out, and the responses that sample tables show",
        "scored samples",
        since="0.2.0",
    )
    COMPARISONS: Final = ARTIFACTS.add("comparisons.parquet", "one row per comparison", "comparisons")
    STATES: Final = ARTIFACTS.add(
        "states",
        "states of the step while it runs, where artifacts lie elsewhere; removed at its end",
        "runs that were interrupted",
        since="0.2.0",
    )
    POOL_CHECK: Final = ARTIFACTS.add(
        "pool_check.json",
        "how log-probabilities by whoever sampled differ from those by the policy's weights",
        "pools from elsewhere that came with log-probabilities",
        since="0.2.0",
    )
    POOL_SAMPLES: Final = ARTIFACTS.add(
        "samples",
        "safetensors files of some prompts each: samples, log-probabilities, human judgement, text statistics",
        "samples of pools",
        since="0.2.0",
    )
    POOL: Final = ARTIFACTS.add("pool.safetensors", "gold and human scores of the samples", "pools")
    CURVE: Final = ARTIFACTS.add(
        "curve.npz",
        "every prompt's own proxy and gold score at every point (`mlproject.Curve.load`)",
        "policy runs, fits, promotions",
    )
    POINT: Final = ARTIFACTS.add(
        "point.safetensors",
        "scores of every prompt, and responses, of one checkpoint",
        "measured checkpoints",
        since="0.2.0",
    )
    CURVE_FIGURE: Final = ARTIFACTS.add(
        "curve.png",
        "gold and proxy over sqrt(KL) with the peak, as the run's description shows it",
        "policy runs",
        since="0.2.0",
    )
    SAMPLES: Final = ARTIFACTS.add(
        "samples.json",
        "a table of responses at peak, end and start, with their scores; the same columns everywhere",
        "policy runs",
    )
    ROUND_DISTANCE: Final = ARTIFACTS.add(
        "travelled.json", "sum of the distances of all rounds so far, square-root nats", "policy runs"
    )
    AUDIT: Final = ARTIFACTS.add("audit.npz", "a curve of one point: the peak, on the `audit` prompts", "audits")
    LAWS: Final = ARTIFACTS.add(
        "laws.json", "laws, peaks and trends with 95 % intervals (see `pipeline/law.py`)", "laws"
    )
    PRIORS: Final = ARTIFACTS.add("priors.json", "what the curves say of the peak at every RM size, by method", "laws")
    TRIALS: Final = ARTIFACTS.add("trials.csv", "one row per finished trial", "searches")
    SEARCH_PAGE: Final = ARTIFACTS.add(
        "search.html",
        "what was found, curves and peaks of all trials, what was ended early",
        "searches",
    )
    CELLS: Final = ARTIFACTS.add("cells.csv", "the policy runs of the grid: name, run id, reused or not", "experiments")
    RESULTS: Final = ARTIFACTS.add(
        "results", "their settings, metrics and curves, as the findings read them", "experiments"
    )
    FIGURE: Final = ARTIFACTS.add("figure.png", "the figure that the experiment's file describes", "experiments")
    TABLE: Final = ARTIFACTS.add("table.csv", "the table that the experiment's file describes", "experiments")
    GATE_RESULTS: Final = ARTIFACTS.add(
        "verdicts.json", "a table: what each gate wants, its estimate, whether it holds", "promotions"
    )
    CANDIDATES: Final = ARTIFACTS.add(
        "candidates.json",
        "all candidates in the order in which they are proposed, and the gates that they failed",
        "promotions",
    )
    GATES: Final = ARTIFACTS.add("gates.yaml", "the gates as they were", "promotions")
    EVIDENCE: Final = ARTIFACTS.add("evidence.png", "the candidate's curve beside the champion's", "promotions")
    MODEL_CARD: Final = ARTIFACTS.add(
        "model_card.md", "the model card of the registered version", "registered proxy RMs"
    )
    SCORER: Final = ARTIFACTS.add(
        "scorer", "an MLflow pyfunc model that needs no part of this project", "registered proxy RMs"
    )
    POINTS: Final = ARTIFACTS.add("points.csv", "the curve as it was read", "fits")
    FIT: Final = ARTIFACTS.add("fit.json", "law, intervals, error of every form, forecast", "fits")
    FIT_FIGURE: Final = ARTIFACTS.add("fit.png", "the curve with its law and the forecast's stop", "fits")
    TRAINER_TABLE: Final = ARTIFACTS.add(
        "overoptimization.csv", "the points, as `fit --curve` reads them", "trainer runs"
    )


class ReportFigure:
    """Figures of a report, as artifacts `<name>.png`."""

    HEADLINE: Final = _figure(
        "headline", "gold and proxy over sqrt(KL) for the first two methods: the paper's figure 1"
    )
    CURVES_PREFIX: Final = _figure("curves-", "the same for one method", "<method>")
    HUMAN_PREFIX: Final = _figure("human-", "gold beside human judgement, smallest and largest RM", "<method>")
    COEFFICIENTS: Final = _figure("coefficients", "the laws' coefficients over RM size")
    PEAKS: Final = _figure("peaks", "measured and fitted peak gold over RM size")
    COMPARISON: Final = _figure(
        "comparison", "peak gold of each reward model of a table, and how far apart they are", studies="`compare`"
    )
    SEARCH: Final = _figure("search", "peak gold of all trials over the KL coefficient")
    TIMELINE: Final = Artifact.TIMELINE_FIGURE.removesuffix(".png")
