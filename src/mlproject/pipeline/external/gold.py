"""Kind `gold-rm`, imported: a user's reward model or function, or a test RM if there is neither.

A test RM is trained on comparisons that the proxies never see (Bai et al. 2022, section 4.2). It is no ground truth: it
shares some of the proxies' errors. The tag `mlproject.gold` says on every run what plays gold.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from mlproject.config.schema import Config
from mlproject.errors import UserError
from mlproject.models.checkpoints import load_reward_checkpoint, prompt_format_of
from mlproject.models.generation import sample_responses
from mlproject.models.gold_source import GoldSource
from mlproject.models.inspection import inspect_checkpoint, inspect_reward_model
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import Scorer, TextRewardModel, rated
from mlproject.names import Artifact, Kind, Metric, Role, Tag
from mlproject.pipeline.loading import (
    SAMPLE_BATCH,
    load_policy,
    load_prompt_format,
    load_scorer,
    new_accelerator,
    open_world,
    save_scorer,
    torch_generator,
)
from mlproject.pipeline.reward import import_reward, reward_params, usage_metrics
from mlproject.pipeline.step import CALL_OPTIONS, Run, Step
from mlproject.rewards.options import CallOptions
from mlproject.strict_json import strict_json

UNIT_PAIRS = 1024
"""Training prompts whose responses, two each, determine centre and scale."""


def external_gold(config: Config, policy: Step, test_rm: Step | None = None) -> Step:
    """The step that imports a scorer and measures its units: centre and scale of its scores.

    Args:
        config: the study's configuration; its option `gold` names the scorer.
        policy: the initial policy, whose responses determine the units.
        test_rm: the reward model that plays gold when gold=none.

    Raises:
        UserError: for a checkpoint that is no reward model.
    """
    params: dict[str, object] = {"gold": config.gold}
    rm_params: object = 0
    version = 1
    source = config.gold_source
    if source.is_test_rm:
        assert test_rm is not None
        size, rm_params = test_rm.params["rm_size"], test_rm.inherited_params["rm_params"]
        name = f"test RM {size}"
    elif source.is_function:
        name = size = config.gold
        params |= reward_params(config, config.gold)
    else:
        checkpoint = inspect_reward_model(config.gold, "gold")
        name, size, rm_params = f"gold RM {checkpoint.name}", checkpoint.name, checkpoint.parameters
        version = checkpoint.step_version
        params |= {"gold": checkpoint.source, "gold_sha256": checkpoint.digest}
    return Step(
        name=name,
        kind=Kind.GOLD_RM,
        version=version,
        params={**config.select("world", "world_seed"), **params, "gold_size": size},
        inputs={Role.INITIAL_POLICY: policy, **({Role.TEST_RM: test_rm} if test_rm else {})},
        inherited_params={"rm_params": rm_params},
        tags={Tag.GOLD: source.kind},
        fn=import_gold,
        execution_options=config.changed(*CALL_OPTIONS) if source.is_function else {},
    )


def import_gold(run: Run) -> None:
    """Artifacts: the scorer (`model/` or `scorer.json`), `units.json` and `pairs.parquet`."""
    p = run.params
    world, device = open_world(run), new_accelerator().device
    prompt_format, policy = load_prompt_format(run, world), load_policy(run.input(Role.INITIAL_POLICY), device)
    scorer = _scorer(run, prompt_format, device).with_units(0.0, 1.0)
    generator = torch_generator("gold responses", p["world_seed"], device=device)
    prompts = world.prompts("train", UNIT_PAIRS)
    responses = sample_responses(
        policy, prompt_format, prompts, generator=generator, samples_per_prompt=2, batch_size=SAMPLE_BATCH,
        progress=run.progress,
    )  # fmt: skip
    raw_B = rated(scorer, responses, "gold")
    pairs = pd.DataFrame(
        {
            "prompt": prompts,
            "response_a": responses.texts[::2],
            "response_b": responses.texts[1::2],
            "score_a": raw_B[::2],
            "score_b": raw_B[1::2],
        }
    )
    raw = pairs[["score_a", "score_b"]].to_numpy()
    centre, sd = float(raw.mean()), float(raw.std())
    if sd == 0:
        raise UserError(
            f"gold={p['gold']}: must give different responses different scores, but gives each {centre:g}. "
            "Use another gold."
        )
    pairs[["score_a", "score_b"]] = (raw - centre) / sd
    pairs.to_parquet(run.folder / Artifact.PAIRS)
    save_scorer(scorer.with_units(centre, 1 / sd), run.folder, prompt_format)
    judged = world.judge(pairs.prompt.tolist(), pairs.response_a.tolist())
    human = {} if judged is None else {"human_mean": float(judged.mean()), "human_std": float(judged.std())}
    (run.folder / Artifact.UNITS).write_text(strict_json(human))
    run.log_metrics(
        {
            Metric.GOLD_CENTRE: centre,
            Metric.GOLD_SD: sd,
            Metric.GOLD_TIES: float(np.mean(raw[:, 0] == raw[:, 1])),
            **usage_metrics({"gold": scorer}),
        }
    )


def _scorer(run: Run, prompt_format: PromptFormat, device: torch.device) -> Scorer:
    source = GoldSource.of_params(run.params)
    if source.is_test_rm:
        return load_scorer(run.input(Role.TEST_RM), prompt_format, device)
    if source.is_function:
        options = CallOptions.among(run.execution_options)
        return import_reward(run.params, source.option, prompt_format, run.folder, options)
    model, tokenizer = load_reward_checkpoint(inspect_checkpoint(source.option, "gold"), "gold")
    return TextRewardModel(RewardModel(model.to(device)), prompt_format_of(tokenizer, model))
