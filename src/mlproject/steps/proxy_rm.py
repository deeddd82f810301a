"""Kind `proxy-rm`: a reward model trained on comparisons alone, recentred and calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlproject.models.sizes import SIZES
from mlproject.steps.step import Run, Step

if TYPE_CHECKING:
    import pandas as pd

    from mlproject.config import Config


TRAIN, TEST = "train", "test"
"""Halves of the comparisons, where they are split: the first is for proxies, the second for RMs that watch."""


def proxy_rm(
    config: Config, comparisons: Step, size: str, seed: int, earlier: Sequence[Step] = (), half: str = TRAIN
) -> Step:
    """The step that trains one proxy RM.

    Args:
        config: how it is trained.
        comparisons: what it learns from.
        size, seed: of the proxy.
        earlier: comparisons of earlier rounds, where it learns from them too.
        half: of the comparisons that it learns from, where `test_rms` has them split; otherwise it learns from all.
    """
    split = {"half": half} if config.test_rms else {}
    trained = config.select("world", "rm_epochs", "rm_batch_size", "rm_lr", "mixed_precision")
    return Step(
        name=f"{'proxy' if half == TRAIN else 'test'} RM {size} seed {seed}",
        kind="proxy-rm",
        version=1,
        params={
            **trained,
            "rm_size": size,
            "seed": seed,
            **({"earlier": len(earlier)} if earlier else {}),
            **split,
        },
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
    from mlproject.steps.common import (
        MODEL_FOLDER,
        accelerator,
        load_reader,
        open_world,
        stream_seed,
        torch_generator,
    )
    from mlproject.steps.comparisons import TABLE

    p = run.params
    reader = load_reader(run, open_world(run))
    roles = [*(f"earlier-{i}" for i in range(p.get("earlier", 0))), "comparisons"]
    half = p.get("half", "")
    table = pd.concat([half_of(pd.read_parquet(run.input(role) / TABLE), half) for role in roles], ignore_index=True)
    machine = accelerator(p["mixed_precision"])
    streams = (p["seed"], half) if half == TEST else (p["seed"],)  # a test RM must not start like its proxy
    model = new_reward_model(p["rm_size"], reader.tokenizer, stream_seed("proxy RM", *streams)).to(machine.device)
    loss = train_reward_model(
        model,
        encode_comparisons(table[~table.held_out], reader),
        Schedule(p["rm_epochs"], p["rm_batch_size"], SIZES[p["rm_size"]].learning_rate(p["rm_lr"])),
        accelerator=machine,
        generator=torch_generator("proxy order", *streams),
        progress=run.progress,
    )
    held_out = encode_comparisons(table[table.held_out], reader)
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
    proxy.save(run.folder / MODEL_FOLDER, reader)


def half_of(table: pd.DataFrame, half: str) -> pd.DataFrame:
    """The first half of a table of comparisons (`TRAIN`), the second (`TEST`), or all of it (empty)."""
    middle = len(table) // 2
    return table.iloc[:middle] if half == TRAIN else table.iloc[middle:] if half == TEST else table
