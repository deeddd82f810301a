"""Kind `proxy-rm`: a reward model trained on comparisons alone, recentred and calibrated.

Kind `test-rm`: the same on the half of the comparisons that the proxies never see; it watches, or plays gold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlproject.config.schema import Config
from mlproject.models.checkpoints import inspect_checkpoint, load_with_reward_head, prompt_format_of
from mlproject.models.gold_source import GoldSource
from mlproject.models.init import new_reward_model
from mlproject.models.memory import MemoryOptions
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.scorers import TextRewardModel
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.models.training import Schedule
from mlproject.names import Artifact, Kind, Metric, Role, RolePrefix, Tag
from mlproject.pipeline.calibrate import calibrated, label_agreement, load_unit_pairs, score_margins
from mlproject.pipeline.loading import (
    load_prompt_format,
    new_accelerator,
    open_world,
    save_scorer,
    stream_seed,
    torch_generator,
)
from mlproject.pipeline.step import EXECUTION_OPTIONS, Run, RunRef, Step, batch_limit
from mlproject.preferences import HALF, HALVES
from mlproject.preferences.bradley_terry import train_reward_model
from mlproject.preferences.comparisons import encode_comparisons

TRAIN, TEST = HALVES
"""Halves of the comparisons, where they are split: the first is for proxies, the second for test RMs."""


def proxy_rm(
    config: Config,
    comparisons: Step,
    size: str,
    seed: int,
    earlier: Sequence[Step] = (),
    half: str = TRAIN,
    gold: Step | None = None,
) -> Step:
    """The step that trains one proxy RM, or one test RM.

    Args:
        config: how it is trained.
        comparisons: what it learns from.
        size: of the ladder (random weights), or a language model's checkpoint to start from.
        seed: of the proxy.
        earlier: comparisons of earlier rounds, where it learns from them too.
        half: of the comparisons that it learns from, where test RMs have them split; otherwise it learns from all.
        gold: whose scale it is put on, where that did not label the comparisons; a test RM that plays gold itself has
            none.
    """
    base = inspect_checkpoint(size, "rm_sizes") if is_checkpoint(size) else None
    trained = config.select("world", "rm_epochs", "rm_batch_size", "rm_lr", "mixed_precision")
    if base:
        trained |= {"rm_lr": config.rm_checkpoint_lr, "rm_checkpoint": base.source, "rm_sha256": base.digest}
    policy, scale_of = comparisons.inputs[Role.INITIAL_POLICY], gold or comparisons.inputs.get(Role.GOLD_RM)
    no_gold = config.gold_source.is_test_rm
    plays_gold = no_gold and half == TEST and gold is None
    return Step(
        name=f"{'proxy' if half == TRAIN else 'test'} RM {base.name if base else size} seed {seed}",
        kind=Kind.PROXY_RM if half == TRAIN else Kind.TEST_RM,
        version=1,
        params={
            **trained,
            "rm_size": size,
            "seed": seed,
            **({"earlier": len(earlier)} if earlier else {}),
            **({"half": half} if config.test_rms or no_gold else {}),
            **({"gold": config.gold, "plays_gold": plays_gold} if no_gold else {}),
        },
        inputs={
            Role.COMPARISONS: comparisons,
            **{f"{RolePrefix.EARLIER}{i}": step for i, step in enumerate(earlier)},
            Role.INITIAL_POLICY: policy,
            **({Role.GOLD_RM: scale_of} if scale_of and not plays_gold else {}),
        },
        inherited_params={
            "rm_params": base.parameters if base else SIZES[size].reward_model_parameters,
            **_known(config, comparisons, policy, scale_of),
        },
        fn=train_proxy_rm,
        execution_options=config.changed(*EXECUTION_OPTIONS),
        max_processes=batch_limit(config, "rm_batch_size"),
    )


def _known(config: Config, comparisons: Step, policy: Step | RunRef, gold: Step | RunRef | None) -> dict[str, Any]:
    known = config.select("world_seed", "policy_size", "gold_size", "n_comparisons", "label_noise")
    known["labels"] = comparisons.params["labels"]
    if config.world_spec.imports_policy:
        known["policy_size"] = policy.params["policy_size"]
        known |= {"gold_size": gold.params["gold_size"]} if gold else {}
    return known


def train_proxy_rm(run: Run) -> None:
    """Artifacts: `model/`, whose config.json holds centre and scale."""

    p = run.params
    policy_format = load_prompt_format(run, open_world(run))
    roles, half = [*(f"{RolePrefix.EARLIER}{i}" for i in range(p.get("earlier", 0))), "comparisons"], p.get("half", "")
    table = pd.concat(
        [half_of(pd.read_parquet(run.input(role) / Artifact.COMPARISONS), half) for role in roles], ignore_index=True
    )
    streams = (p["seed"], half) if half == TEST else (p["seed"],)  # a test RM must not start like its proxy
    machine, seed = new_accelerator(p["mixed_precision"]), stream_seed("proxy RM", *streams)
    if "rm_checkpoint" in p:
        model, tokenizer = load_with_reward_head(inspect_checkpoint(p["rm_checkpoint"], "rm_sizes"), "rm_sizes", seed)
        prompt_format, rate = prompt_format_of(tokenizer, model), p["rm_lr"]
    else:
        model, prompt_format = new_reward_model(p["rm_size"], policy_format.tokenizer, seed), policy_format
        rate = SIZES[p["rm_size"]].learning_rate(p["rm_lr"])
    loss = train_reward_model(
        model.to(machine.device),
        encode_comparisons(table[~table.held_out], prompt_format),
        Schedule(p["rm_epochs"], p["rm_batch_size"], rate, MemoryOptions(**run.execution_options)),
        accelerator=machine,
        generator=torch_generator("proxy order", *streams),
        progress=run.progress,
    )
    if not machine.is_main_process:
        return
    held_out, proxy = encode_comparisons(table[table.held_out], prompt_format), RewardModel(model)
    metrics = {Metric.RM_TRAIN_LOSS: loss}
    if not GoldSource.of_params(p).is_test_rm and not np.isnan(held_out.margin_B).any():
        proxy, agrees = calibrated(proxy, held_out)
        metrics |= agrees
    elif p.get("plays_gold"):  # it has no scale but its own, until its units are measured
        metrics |= label_agreement(score_margins(proxy, held_out), held_out)
    else:  # gold gives the scale; the labels, as they were given, the validation
        given = label_agreement(score_margins(proxy, held_out), held_out)
        proxy, agrees = calibrated(proxy, load_unit_pairs(run, prompt_format))
        metrics |= {**agrees, Metric.RM_GOLD_ACCURACY: agrees[Metric.RM_VAL_ACCURACY], **given}
    run.log_params({"held_out": len(held_out)})
    run.log_metrics(metrics)
    run.set_tags({Tag.WEIGHTS_SHA256: content_hash(model)})
    save_scorer(TextRewardModel(proxy, prompt_format) if "rm_checkpoint" in p else proxy, run.folder, policy_format)


def half_of(table: pd.DataFrame, half: str) -> pd.DataFrame:
    """One half of a table of comparisons (`TRAIN`, `TEST`), or all of it (empty).

    Where several comparisons may have a prompt in common the table says itself which half each belongs to.
    """
    if half and HALF in table:
        return table[table[HALF] == half]
    middle = len(table) // 2
    return table.iloc[:middle] if half == TRAIN else table.iloc[middle:] if half == TEST else table
