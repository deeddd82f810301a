"""Kind `proxy-rm`, a function or a service: calibrated to gold's scale as reward models are; there are no weights."""

from __future__ import annotations

import sys

import numpy as np

from mlproject.config.schema import Config
from mlproject.models.scorers import rated
from mlproject.names import Kind, Role, Tag
from mlproject.pipeline.calibrate import calibrated_by, calibration_pairs, responses_of_pairs
from mlproject.pipeline.external.gold import UNIT_PAIRS
from mlproject.pipeline.loading import load_prompt_format, open_world, save_scorer
from mlproject.pipeline.reward import import_reward, reward_params, reward_source, usage_metrics
from mlproject.pipeline.step import CALL_OPTIONS, Run, Step
from mlproject.preferences.comparisons import encode_comparisons
from mlproject.rewards.options import CallOptions
from mlproject.rewards.raw import check_raw


def external_reward(config: Config, name: str, policy: Step, gold: Step, comparisons: Step, seed: int) -> Step:
    """The step that calibrates a function or a service.

    Args:
        config: the study's configuration.
        name: function or address, as the user named it.
        policy: the initial policy, whose responses determine centre and scale.
        gold: the gold RM.
        comparisons: gold-labelled pairs; those held out determine the scale where gold was trained here.
        seed: seed of the policy runs against it; the scores do not depend on it.

    Raises:
        UserError: if there is no such function.
    """
    labelled = config.gold_source.is_trained
    return Step(
        name=f"proxy {reward_source(config, name).short_name} seed {seed}",
        kind=Kind.PROXY_RM,
        version=1,
        params={**config.select("world"), "rm_size": name, "seed": seed, **reward_params(config, name)},
        inputs={
            Role.INITIAL_POLICY: policy,
            Role.GOLD_RM: gold,
            **({Role.COMPARISONS: comparisons} if labelled else {}),
        },
        inherited_params={
            "rm_params": 0,
            "world_seed": config.world_seed,
            **({} if labelled else {"held_out": UNIT_PAIRS}),
            **{key: step.params[key] for step in (policy, gold) for key in ("policy_size", "gold_size")
               if key in step.params},
        },
        fn=calibrate_reward,
        execution_options=config.changed(*CALL_OPTIONS),
    )  # fmt: skip


def calibrate_reward(run: Run) -> None:
    """Artifacts: `scorer.json` with centre and scale, and the columns that the function takes."""
    p = run.params
    prompt_format = load_prompt_format(run, open_world(run))
    options = CallOptions.among(run.execution_options)
    raw = import_reward(p, p["rm_size"], prompt_format, run.folder, options)
    table = calibration_pairs(run)
    raw_a_B, raw_b_B = (
        rated(raw, responses_of_pairs(table, column, prompt_format), "proxy") for column in ("response_a", "response_b")
    )
    notice = check_raw(raw.name, np.concatenate([raw_a_B, raw_b_B]))
    if notice:
        run.set_tags({Tag.SCORES_NOTE: notice})
        print(notice, file=sys.stderr, flush=True)
    proxy, metrics = calibrated_by(raw, raw_a_B, raw_b_B, encode_comparisons(table, prompt_format))
    run.log_metrics({**metrics, **usage_metrics({"proxy": raw})})
    save_scorer(proxy, run.folder, prompt_format)
