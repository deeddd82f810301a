"""Kind `proxy-rm`: a reward model trained on comparisons alone, recentred and calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlproject.models.sizes import SIZES
from mlproject.steps.step import HOW, Run, Step, shared_batches

if TYPE_CHECKING:
    from mlproject.config import Config


def proxy_rm(config: Config, comparisons: Step, size: str, seed: int, earlier: Sequence[Step] = ()) -> Step:
    """The step that trains one proxy RM.

    Args:
        config: how it is trained.
        comparisons: what it learns from.
        size, seed: of the proxy.
        earlier: comparisons of earlier rounds, where it learns from them too.
    """
    trained = config.select("world", "rm_epochs", "rm_batch_size", "rm_lr", "mixed_precision")
    return Step(
        name=f"proxy RM {size} seed {seed}",
        kind="proxy-rm",
        version=1,
        params={**trained, "rm_size": size, "seed": seed, **({"earlier": len(earlier)} if earlier else {})},
        inputs={
            "comparisons": comparisons,
            **{f"earlier-{i}": step for i, step in enumerate(earlier)},
            **{role: comparisons.inputs[role] for role in ("initial-policy", "gold-rm")},
        },
        shown={
            "rm_params": SIZES[size].reward_model_parameters,
            **config.select("world_seed", "policy_size", "gold_size", "n_comparisons", "labels", "label_noise"),
        },
        work=__name__,
        how=config.changed(*HOW),
        shared=shared_batches(config, "rm_batch_size"),
    )


def work(run: Run) -> None:
    """Artifacts: `model/`, whose config.json holds centre and scale."""
    import numpy as np
    import pandas as pd

    from mlproject.models.build import new_reward_model
    from mlproject.models.reward_model import RewardModel, content_hash
    from mlproject.models.training import Schedule
    from mlproject.preferences.bradley_terry import train_reward_model
    from mlproject.preferences.calibration import calibration_scale
    from mlproject.preferences.comparisons import encode_comparisons
    from mlproject.preferences.metrics import pairwise_metrics
    from mlproject.steps.common import MODEL_FOLDER, accelerator, load_tokenizer, memory, stream_seed, torch_generator
    from mlproject.steps.comparisons import TABLE
    from mlproject.worlds import load_world

    p = run.params
    tokenizer = load_tokenizer(run.input("initial-policy"))
    roles = [*(f"earlier-{i}" for i in range(p.get("earlier", 0))), "comparisons"]
    table = pd.concat([pd.read_parquet(run.input(role) / TABLE) for role in roles], ignore_index=True)
    world = load_world(p["world"], seed=0)
    machine = accelerator(p["mixed_precision"])
    model = new_reward_model(p["rm_size"], tokenizer, stream_seed("proxy RM", p["seed"])).to(machine.device)
    loss = train_reward_model(
        model,
        encode_comparisons(table[~table.held_out], tokenizer, world.max_response_tokens),
        Schedule(p["rm_epochs"], p["rm_batch_size"], SIZES[p["rm_size"]].learning_rate(p["rm_lr"]), **memory(run.how)),
        accelerator=machine,
        generator=torch_generator("proxy order", p["seed"]),
        progress=run.progress,
    )
    if not machine.is_main_process:
        return
    held_out = encode_comparisons(table[table.held_out], tokenizer, world.max_response_tokens)
    raw = RewardModel(model)
    raw_a_B, raw_b_B = raw.scores(held_out.a), raw.scores(held_out.b)
    margin_B = raw_a_B - raw_b_B
    scale = calibration_scale(margin_B, held_out.margin_B)
    proxy = raw.with_units((raw_a_B.mean() + raw_b_B.mean()) / 2, scale)
    against_hard = pairwise_metrics(margin_B, held_out.prefers_a_B)
    against_soft = pairwise_metrics(scale * margin_B, 1 / (1 + np.exp(-held_out.margin_B)))
    run.log_metrics(
        {
            "rm/train_loss": loss,
            "rm/val_accuracy": against_hard["accuracy"],
            "rm/val_loss": against_hard["loss"],
            "rm/val_loss_calibrated": against_soft["loss"],
            "rm/ece": against_soft["ece"],
            "rm/scale": scale,
        }
    )
    run.set_tags({"mlproject.weights_sha256": content_hash(model)})
    proxy.save(run.folder / MODEL_FOLDER, tokenizer, world.max_response_tokens)
