"""Kind `proxy-rm`, of a user's own: a reward model that somebody trained elsewhere, put on gold's scale."""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.models.checkpoints import CheckpointInfo, inspect_checkpoint, load_reward_checkpoint, prompt_format_of
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.scorers import TextRewardModel
from mlproject.names import Kind, Role, Tag
from mlproject.pipeline.calibrate import calibrated, load_unit_pairs
from mlproject.pipeline.external.gold import UNIT_PAIRS
from mlproject.pipeline.loading import load_prompt_format, new_accelerator, open_world, save_scorer
from mlproject.pipeline.step import Run, Step


def external_proxy(config: Config, found: CheckpointInfo, given: str, policy: Step, gold: Step, seed: int) -> Step:
    """The step that takes over a finished reward model.

    Args:
        config: of everything.
        found, given: the checkpoint, and the name that the user gave it.
        policy, gold: give the pairs on which its scale is fitted.
        seed: of the policy runs against it; the model is the same for all.
    """
    return Step(
        name=f"proxy RM {found.name} seed {seed}",
        kind=Kind.PROXY_RM,
        version=1,
        params={
            **config.select("world"),
            "rm_size": given,
            "seed": seed,
            "rm_checkpoint": found.source,
            "rm_sha256": found.digest,
        },
        inputs={Role.INITIAL_POLICY: policy, Role.GOLD_RM: gold},
        inherited_params={
            "rm_params": found.parameters,
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
    prompt_format = load_prompt_format(run, open_world(run))
    model, tokenizer = load_reward_checkpoint(inspect_checkpoint(p["rm_checkpoint"], "rm_sizes"), "rm_sizes")
    own = prompt_format_of(tokenizer, model)
    proxy, metrics = calibrated(RewardModel(model.to(new_accelerator().device)), load_unit_pairs(run, own))
    run.log_metrics(metrics)
    run.set_tags({Tag.WEIGHTS_SHA256: content_hash(model)})
    save_scorer(TextRewardModel(proxy, own), run.folder, prompt_format)
