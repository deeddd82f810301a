"""Kind `proxy-rm`, imported: a reward model that was trained elsewhere, calibrated to gold's scale."""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.errors import located
from mlproject.models.checkpoints import CheckpointInfo, load_reward_checkpoint, prompt_format_of
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.scorers import TextRewardModel
from mlproject.names import Kind, Role, Tag
from mlproject.pipeline.calibrate import calibrated, load_unit_pairs
from mlproject.pipeline.external.gold import UNIT_PAIRS
from mlproject.pipeline.loading import load_prompt_format, new_accelerator, open_world, save_scorer
from mlproject.pipeline.step import Run, Step


def external_proxy(
    config: Config, checkpoint: CheckpointInfo, rm_size: str, policy: Step, gold: Step, seed: int
) -> Step:
    """The step that imports a trained reward model.

    Args:
        config: the study's configuration.
        checkpoint: the reward model.
        rm_size: the checkpoint as the user named it.
        policy: the initial policy; its responses with gold scores determine the scale.
        gold: the gold RM.
        seed: seed of the policy runs against it; the model does not depend on it.
    """
    return Step(
        name=f"proxy RM {checkpoint.name} seed {seed}",
        kind=Kind.PROXY_RM,
        version=checkpoint.step_version,
        params={
            **config.select("world"),
            "rm_size": rm_size,
            "seed": seed,
            "rm_checkpoint": checkpoint.source,
            "rm_sha256": checkpoint.digest,
        },
        inputs={Role.INITIAL_POLICY: policy, Role.GOLD_RM: gold},
        inherited_params={
            "rm_params": checkpoint.parameters,
            "world_seed": config.world_seed,
            "held_out": UNIT_PAIRS,
            **{name: step.params[name] for step in (policy, gold) for name in ("policy_size", "gold_size")
               if name in step.params},
        },
        fn=import_proxy,
    )  # fmt: skip


def import_proxy(run: Run) -> None:
    """Artifacts: `model/`, whose config.json holds centre and scale."""
    p = run.params
    policy_format = load_prompt_format(run, open_world(run))
    model, tokenizer = load_reward_checkpoint(inspect_checkpoint(p["rm_checkpoint"], "rm_sizes"), "rm_sizes")
    rm_format = prompt_format_of(tokenizer, model)
    with located("on the pairs of responses that calibrate it", "proxy"):
        proxy, metrics = calibrated(RewardModel(model.to(new_accelerator().device)), load_unit_pairs(run, rm_format))
    run.log_metrics(metrics)
    run.set_tags({Tag.WEIGHTS_SHA256: content_hash(model)})
    save_scorer(TextRewardModel(proxy, rm_format), run.folder, policy_format)
