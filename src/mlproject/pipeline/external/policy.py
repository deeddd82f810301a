"""Kind `initial-policy`, imported: a causal language model from a checkpoint, and the prompts of the study.

Copies of model and prompts are artifacts of the run, so that a study does not depend on the user's files.
"""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.errors import UserError
from mlproject.models.checkpoints import load_policy_checkpoint, longest_sequence
from mlproject.models.decoding import decoding_of
from mlproject.models.init import parameter_count
from mlproject.models.inspection import inspect_policy
from mlproject.models.prompt_format import PromptFormat
from mlproject.names import Artifact, Kind, Metric, MetricPrefix, Split, Tag
from mlproject.pipeline.external.pool import curve_prompt_params, prompts_of_pool
from mlproject.pipeline.external.templates import readers_of_step, refused_by, refusing_models
from mlproject.pipeline.step import Run, Step
from mlproject.worlds.files.snapshot import path_and_digest, read_as, take_snapshot
from mlproject.worlds.files.spec import READ_OPTIONS, ReadOptions


def external_policy(config: Config) -> Step:
    """The step that imports policy and prompts.

    Raises:
        UserError: for a checkpoint that is no causal language model.
    """
    checkpoint = inspect_policy(config.policy_checkpoint, "policy")
    name = "prompts" if config.prompts else "preferences"
    options = ReadOptions.of(vars(config))
    files = {f"{name}_{key}": value for key, value in path_and_digest(getattr(config, name)).items()}
    return Step(
        name=f"initial policy {checkpoint.name}",
        kind=Kind.INITIAL_POLICY,
        version=checkpoint.step_version,
        params={
            **config.select("world", *READ_OPTIONS),
            **files,
            **({} if config.prompts else options.recognition()),
            **read_as(options, name, getattr(config, name)),
            **refusing_models(config, options, name),
            "policy_size": checkpoint.name,
            "policy": checkpoint.source,
            "policy_sha256": checkpoint.digest,
            **curve_prompt_params(config),
        },
        fn=import_policy,
    )


def import_policy(run: Run) -> None:
    """Artifacts: `model/`, `prompts/`, and `skipped_rows.txt` if rows were skipped."""
    p = run.params
    model, tokenizer = load_policy_checkpoint(inspect_policy(p["policy"], "policy"), "policy")
    decoding_of(model, f"policy={p['policy']}")
    prompt_format = PromptFormat(tokenizer, p["max_response_tokens"])
    snapshot = take_snapshot(
        ReadOptions.of(p), p.get("prompts_path", ""), p.get("preferences_path", ""), prompt_format.cut,
        refused_by(readers_of_step(p["policy"], p)), prompts_of_pool(p, prompt_format.cut),
    )  # fmt: skip
    prompts = {split: snapshot.world.all_prompts(split) for split in (Split.TRAIN, Split.CURVE, Split.AUDIT)}
    longest = max(int(prompt_format.encode_prompts(texts).lengths_P.max()) for texts in prompts.values())
    limit = longest_sequence(model)
    if limit is not None and longest + p["max_response_tokens"] > limit:
        raise UserError(
            f"max_response_tokens={p['max_response_tokens']}: must be at most {limit - longest}, since "
            f"{p['policy_size']} reads {limit} tokens and the longest prompt has {longest}. Lower it or "
            f"max_prompt_tokens={p['max_prompt_tokens']}."
        )
    run.log_params(
        {"policy_params": parameter_count(model), "vocabulary": len(tokenizer), "layout": prompt_format.layout}
    )
    run.log_metrics(
        {
            **{MetricPrefix.PROMPTS + split: len(texts) for split, texts in prompts.items()},
            Metric.PROMPTS_ROWS_SKIPPED: len(snapshot.skipped),
            Metric.PROMPTS_TOO_LONG: snapshot.long,
        }
    )
    run.set_tags({Tag.READ_AS: snapshot.reading.summary})
    if snapshot.skipped:
        (run.folder / Artifact.SKIPPED_ROWS).write_text("\n".join(snapshot.skipped) + "\n", encoding="utf-8")
    snapshot.world.save(run.folder / Artifact.PROMPTS)
    model.save_pretrained(run.folder / Artifact.MODEL)
    tokenizer.save_pretrained(run.folder / Artifact.MODEL)
