"""Kind `comparisons`, imported: a user's preferences, which the gold RM did not label."""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.names import Artifact, Kind, Metric, Role, Tag
from mlproject.pipeline.comparisons import HELD_OUT
from mlproject.pipeline.external.templates import readers_of_step, refused_by, refusing_models
from mlproject.pipeline.loading import load_prompt_format, numpy_generator
from mlproject.pipeline.step import Run, Step
from mlproject.preferences.comparisons import comparisons_from_preferences
from mlproject.worlds.files.reading import TIES
from mlproject.worlds.files.snapshot import path_and_digest, read_as, train_preferences
from mlproject.worlds.files.spec import READ_OPTIONS, ReadOptions
from mlproject.worlds.files.world import Files


def external_comparisons(config: Config, policy: Step) -> Step:
    """The step that imports comparisons, without those whose prompts are held out for curves or audit."""
    source = path_and_digest(config.preferences)
    options = ReadOptions.of(vars(config))
    return Step(
        name="comparisons from preferences",
        kind=Kind.COMPARISONS,
        version=1,
        params={
            **config.select("world", *READ_OPTIONS, "n_comparisons", "label_noise"),
            **options.recognition(),
            **read_as(options, "preferences", config.preferences),
            **refusing_models(config, options, "preferences"),
            "preferences_path": source["path"],
            "preferences_sha256": source["sha256"],
            "labels": "given",
        },
        inputs={Role.INITIAL_POLICY: policy},
        fn=import_preferences,
    )


def import_preferences(run: Run) -> None:
    """Artifacts: `comparisons.parquet`, one row per comparison, with unknown scores (nan).

    A tenth of the prompts is held out; the order of the two responses is random.
    """
    p = run.params
    world = Files.load(run.input(Role.INITIAL_POLICY) / Artifact.PROMPTS)
    cut = load_prompt_format(run, world).cut
    refuses = refused_by(readers_of_step(str(run.input(Role.INITIAL_POLICY) / Artifact.MODEL), p))
    usable, reading, skipped = train_preferences(ReadOptions.of(p), p["preferences_path"], world, cut, refuses)
    rng = numpy_generator("own comparisons", p["world_seed"])
    drawn = [usable[i] for i in rng.permutation(len(usable))[: p["n_comparisons"]]]
    table = comparisons_from_preferences(
        [preference.prompt for preference in drawn],
        [preference.chosen for preference in drawn],
        [preference.rejected for preference in drawn],
        held_out=HELD_OUT,
        label_noise=p["label_noise"],
        rng=rng,
    )
    table.to_parquet(run.folder / Artifact.COMPARISONS)
    if skipped:
        (run.folder / Artifact.SKIPPED_ROWS).write_text("\n".join(skipped) + "\n", encoding="utf-8")
    run.set_tags({Tag.READ_AS: reading.summary})
    run.log_metrics(
        {
            Metric.COMPARISONS_TIES_DROPPED: reading.dropped[TIES],
            Metric.COMPARISONS_DROPPED: reading.dropped.total(),
            Metric.COMPARISONS_ROWS_SKIPPED: len(skipped),
            Metric.COMPARISONS_HELD_OUT: int(table.held_out.sum()),
            Metric.COMPARISONS_COUNT: len(table),
        }
    )
