"""Kind `initial-policy`, of a user's own: a causal language model from a checkpoint, and the prompts of the study.

A study owns what it read: model and prompts lie among the run's artifacts, whatever becomes of the files.
"""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.errors import UserError
from mlproject.models.checkpoints import inspect_checkpoint, load_policy_checkpoint, longest_sequence
from mlproject.models.init import parameter_count
from mlproject.models.prompt_format import PromptFormat
from mlproject.names import Artifact, Kind, Metric, MetricPrefix
from mlproject.pipeline.step import Run, Step
from mlproject.worlds.files.snapshot import path_and_digest, take_snapshot
from mlproject.worlds.files.spec import READ_OPTIONS


def external_policy(config: Config) -> Step:
    """The step that takes over policy and prompts.

    Raises:
        UserError: for a checkpoint that cannot be a policy.
    """
    found = inspect_checkpoint(config.policy, "policy")
    if found.is_reward_model:
        raise UserError(f"policy={config.policy}: is a reward model; a policy is a causal language model")
    name = "prompts" if config.prompts else "preferences"
    files = {f"{name}_{key}": value for key, value in path_and_digest(getattr(config, name)).items()}
    return Step(
        name=f"initial policy {found.name}",
        kind=Kind.INITIAL_POLICY,
        version=1,
        params={
            **config.select("world", *READ_OPTIONS),
            **files,
            "policy_size": found.name,
            "policy": found.source,
            "policy_sha256": found.digest,
        },
        fn=import_policy,
    )


def import_policy(run: Run) -> None:
    """Artifacts: `model/`, `prompts/`, and `skipped_rows.txt` where rows were left out."""
    p = run.params
    model, tokenizer = load_policy_checkpoint(inspect_checkpoint(p["policy"], "policy"), "policy")
    prompt_format = PromptFormat(tokenizer, p["max_response_tokens"])
    frozen = take_snapshot(p, p.get("prompts_path", ""), p.get("preferences_path", ""), prompt_format.cut)
    counts = {split: len(frozen.world.all_prompts(split)) for split in ("train", "curve", "audit")}
    longest = max(
        int(prompt_format.encode_prompts(frozen.world.all_prompts(split)).lengths_P.max()) for split in counts
    )
    most = longest_sequence(model)
    if most is not None and longest + p["max_response_tokens"] > most:
        raise UserError(
            f"max_response_tokens={p['max_response_tokens']}: with a prompt of {longest} tokens more than the {most} "
            f"that {p['policy_size']} can read; lower it or max_prompt_tokens={p['max_prompt_tokens']}"
        )
    run.log_params(
        {"policy_params": parameter_count(model), "vocabulary": len(tokenizer), "layout": prompt_format.layout}
    )
    run.log_metrics(
        {
            **{MetricPrefix.PROMPTS + split: count for split, count in counts.items()},
            Metric.PROMPTS_ROWS_SKIPPED: len(frozen.skipped),
            Metric.PROMPTS_TOO_LONG: frozen.long,
        }
    )
    if frozen.skipped:
        (run.folder / Artifact.SKIPPED_ROWS).write_text("\n".join(frozen.skipped) + "\n", encoding="utf-8")
    frozen.world.save(run.folder / Artifact.PROMPTS)
    model.save_pretrained(run.folder / Artifact.MODEL)
    tokenizer.save_pretrained(run.folder / Artifact.MODEL)
