"""Kind `proxy-rm`: a reward model trained on comparisons alone, recentred and calibrated.

Kind `test-rm`: the same on the half of the comparisons that the proxies never see; it scores beside gold, or plays it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from mlproject.config.schema import Config
from mlproject.models.checkpoints import load_policy_checkpoint, load_with_reward_head, prompt_format_of
from mlproject.models.conversation_format import ConversationFormat
from mlproject.models.gold_source import GoldSource
from mlproject.models.init import new_reward_model
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.memory import MemoryOptions
from mlproject.models.prompt_format import UNBOUNDED, PromptFormat
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.scorers import TextRewardModel
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.models.text_head import text_head
from mlproject.models.training import Schedule
from mlproject.names import Kind, Metric, Role, RolePrefix, Tag
from mlproject.pipeline.calibrate import calibrated, label_agreement, load_unit_pairs, score_margins, tables_of_rounds
from mlproject.pipeline.loading import (
    load_policy,
    load_prompt_format,
    new_accelerator,
    open_world,
    save_scorer,
    stream_seed,
    torch_generator,
)
from mlproject.pipeline.members import shared_start, trained_on
from mlproject.pipeline.step import EXECUTION_OPTIONS, Run, RunRef, Step, batch_limit
from mlproject.preferences import HALF, HALVES
from mlproject.preferences.bradley_terry import train_reward_model
from mlproject.preferences.comparisons import encode_comparisons
from mlproject.preferences.loss_options import BRADLEY_TERRY, RewardLoss
from mlproject.preferences.rankings import encode_rankings, joined, middle

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RM_LOSS = tuple(each.name for each in fields(RewardLoss))
"""Options of the loss; those at their default are no parameters, so that no fingerprint holds them."""

TRAIN, TEST = HALVES
"""Halves of the comparisons where they are split: the first trains proxies, the second test RMs."""


def proxy_rm(
    config: Config,
    comparisons: Step,
    size: str,
    seed: int,
    earlier: Sequence[Step] = (),
    half: str = TRAIN,
    gold: Step | None = None,
    variant: Mapping[str, Any] | None = None,
) -> Step:
    """Plan one proxy RM or one test RM.

    Args:
        config: options of the training.
        comparisons: labelled pairs to learn from.
        size: a size of the ladder (random weights), or the checkpoint of a language model to start from.
        seed: seed of the proxy.
        earlier: comparisons of earlier rounds, where it learns from them too.
        half: the half of the comparisons to learn from, where they are split for test RMs; otherwise all are used.
        gold: the gold RM whose scale it gets, where that did not label the comparisons; None for a test RM that plays
            gold itself.
        variant: further parameters of one that learns or starts differently; see `mlproject.pipeline.members`.
    """
    base = inspect_checkpoint(size, "rm_sizes") if is_checkpoint(size) else None
    training = config.select("world", "rm_epochs", "rm_batch_size", "rm_lr", "mixed_precision")
    if base:
        training |= {"rm_lr": config.rm_checkpoint_lr, "rm_checkpoint": base.source, "rm_sha256": base.digest}
    policy, scale_source = comparisons.inputs[Role.INITIAL_POLICY], gold or comparisons.inputs.get(Role.GOLD_RM)
    no_gold = config.gold_source.is_test_rm
    plays_gold = no_gold and half == TEST and gold is None
    return Step(
        name=f"{'proxy' if half == TRAIN else 'test'} RM {base.name if base else size} seed {seed}",
        kind=Kind.PROXY_RM if half == TRAIN else Kind.TEST_RM,
        version=base.step_version if base else 1,
        params={
            **training,
            "rm_size": size,
            "seed": seed,
            **({"earlier": len(earlier)} if earlier else {}),
            **({"half": half} if config.test_rms or no_gold else {}),
            **({"gold": config.gold, "plays_gold": plays_gold} if no_gold else {}),
            **(variant or {}),
            **config.changed(*RM_LOSS),
        },
        inputs={
            Role.COMPARISONS: comparisons,
            **{f"{RolePrefix.EARLIER}{i}": step for i, step in enumerate(earlier)},
            Role.INITIAL_POLICY: policy,
            **({Role.GOLD_RM: scale_source} if scale_source and not plays_gold else {}),
        },
        inherited_params={
            "rm_params": base.parameters if base else SIZES[size].reward_model_parameters,
            **_inherited_params(config, comparisons, policy, scale_source),
            **(config.changed("rm_start") if variant and "start_seed" in variant else {}),
        },
        fn=train_proxy_rm,
        execution_options=config.changed(*EXECUTION_OPTIONS),
        max_processes=batch_limit(config, "rm_batch_size"),
    )


def _inherited_params(
    config: Config, comparisons: Step, policy: Step | RunRef, gold: Step | RunRef | None
) -> dict[str, Any]:
    params = config.select("world_seed", "policy_size", "gold_size", "n_comparisons", "label_noise")
    params |= config.changed("ranked_responses")
    params["labels"] = comparisons.params["labels"]
    if config.world_spec.imports_policy:
        params["policy_size"] = policy.params["policy_size"]
        params |= {"gold_size": gold.params["gold_size"]} if gold else {}
    return params


def train_proxy_rm(run: Run) -> None:
    """Train a proxy RM or a test RM. Artifacts: `model/`, whose config.json holds centre and scale."""
    p = run.params
    policy_format = load_prompt_format(run, open_world(run))
    table, half = read_comparisons(run), p.get("half", "")
    stream = (p["seed"], half) if half == TEST else (p["seed"],)  # a test RM must not start like its proxy
    accelerator = new_accelerator(p["mixed_precision"])
    seed = stream_seed("proxy RM", *([p["start_seed"], "start", *stream[1:]] if "start_seed" in p else stream))
    learned: PromptFormat  # as it reads comparisons
    if "rm_checkpoint" in p:
        model, tokenizer = load_with_reward_head(inspect_checkpoint(p["rm_checkpoint"], "rm_sizes"), "rm_sizes", seed)
        learned, learning_rate = prompt_format_of(tokenizer, model), p["rm_lr"]
    else:
        model, learned = new_reward_model(p["rm_size"], policy_format.tokenizer, seed), policy_format
        if policy_format.layout == "chat" or policy_format.further_ends:  # what is written does not end as what is read
            learned = ConversationFormat(policy_format.tokenizer, policy_format.max_response_tokens)
        learning_rate = SIZES[p["rm_size"]].learning_rate(p["rm_lr"])
    trained, how = trained_on(table[~table.held_out], p), RewardLoss.among(p)
    starts_at_policy = "start_seed" in p and "rm_checkpoint" not in p
    trunk = load_policy(run.input(Role.INITIAL_POLICY)) if starts_at_policy else None
    if "start_seed" in p:
        shared_start(model, p, trunk)
        learning_rate *= p["lr_factor"]
    head = _text_head(model, p, seed, trunk).to(accelerator.device) if how.rm_text_weight else None
    encode = encode_comparisons if how.rm_loss == BRADLEY_TERRY else encode_rankings
    loss = train_reward_model(
        model.to(accelerator.device),
        encode(trained, learned),
        Schedule(p["rm_epochs"], p["rm_batch_size"], learning_rate, MemoryOptions.among(run.execution_options)),
        accelerator=accelerator,
        generator=torch_generator("proxy order", *stream),
        progress=run.progress,
        resumption=run.resumption,
        loss=how,
        head=head,
    )
    if not accelerator.is_main_process:
        return
    held_out, proxy = encode_comparisons(table[table.held_out], learned), RewardModel(model)
    reads_texts = isinstance(learned, ConversationFormat)
    prompt_format = replace(learned, max_response_tokens=UNBOUNDED) if reads_texts else learned
    metrics = {Metric.RM_TRAIN_LOSS: loss}
    if not GoldSource.of_params(p).is_test_rm and not np.isnan(held_out.margin_B).any():
        proxy, gold_agreement = calibrated(proxy, held_out)
        metrics |= gold_agreement
    elif p.get("plays_gold"):  # its units are measured by the step that imports it as gold
        metrics |= label_agreement(score_margins(proxy, held_out), held_out)
    else:  # validated on the labels that the user gave, calibrated on pairs that gold has scored
        validation = label_agreement(score_margins(proxy, held_out), held_out)
        proxy, gold_agreement = calibrated(proxy, load_unit_pairs(run, prompt_format))
        metrics |= {**gold_agreement, Metric.RM_GOLD_ACCURACY: gold_agreement[Metric.RM_VAL_ACCURACY], **validation}
    run.log_params({"held_out": len(held_out)})
    run.log_metrics(metrics)
    run.set_tags({Tag.WEIGHTS_SHA256: content_hash(model)})
    scorer = TextRewardModel(proxy, prompt_format) if isinstance(prompt_format, ConversationFormat) else proxy
    save_scorer(scorer, run.folder, policy_format)


def _text_head(
    model: PreTrainedModel, params: Mapping[str, Any], seed: int, policy: PreTrainedModel | None
) -> nn.Linear:
    """The output layer of what the reward model starts from: the policy, or the checkpoint where that has one."""
    if "rm_checkpoint" in params:
        base = inspect_checkpoint(params["rm_checkpoint"], "rm_sizes")
        policy = None if base.is_reward_model else load_policy_checkpoint(base, "rm_sizes")[0]
    return text_head(model, seed, policy)


def read_comparisons(run: Run) -> pd.DataFrame:
    """The comparisons that a run learns from: of its own and of earlier rounds, or one half of them."""
    return joined([half_of(table, run.params.get("half", "")) for table in tables_of_rounds(run)])


def half_of(table: pd.DataFrame, half: str) -> pd.DataFrame:
    """One half of a table of comparisons.

    Args:
        table: the comparisons. Where several may share a prompt, its column `half` says which half each belongs to.
        half: `TRAIN` or `TEST`; empty for the whole table.
    """
    if half and HALF in table:
        return table[table[HALF] == half]
    row = middle(table)
    return table.iloc[:row] if half == TRAIN else table.iloc[row:] if half == TEST else table
