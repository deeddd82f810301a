"""Kind `proxy-rm`, a reward with cures: made of other proxy RMs, and calibrated to gold's scale as they are.

Whatever reads a proxy RM reads it: policy runs, audits, probes and the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

import numpy as np
import pandas as pd

from mlproject.config.schema import Config
from mlproject.cures import Cure, members_of, parse_reward, passes_of, written
from mlproject.cures.cure import Options, Start
from mlproject.cures.options import BY_BOOTSTRAP
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer
from mlproject.cures.weights import Material
from mlproject.errors import UserError
from mlproject.models.generation import sample_responses
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.scorers import Scorer, rated
from mlproject.models.sizes import is_checkpoint
from mlproject.names import Kind, Metric, Role, RolePrefix, Split
from mlproject.pipeline.calibrate import calibrated_by, calibration_pairs, responses_of_pairs
from mlproject.pipeline.loading import (
    SAMPLE_BATCH,
    load_input_scorer,
    load_policy,
    load_prompt_format,
    new_accelerator,
    open_world,
    save_scorer,
    torch_generator,
)
from mlproject.pipeline.members import SEED_STRIDE, WARM, variants
from mlproject.pipeline.proxy_rm import read_comparisons
from mlproject.pipeline.step import CALL_OPTIONS, Run, RunRef, Step
from mlproject.preferences.comparisons import encode_comparisons

LAPLACE = "laplace"
"""Whose reward had units of its logits, until version 2."""

REFERENCE_PROMPTS = 20_000
"""Training prompts with reference responses: as many as a method may sample responses for."""


def plan_members(
    config: Config,
    cures: tuple[Cure, ...],
    size: str,
    seed: int,
    one: Callable[..., Step],
    exists: Callable[[str], bool],
) -> dict[str, Step]:
    """The reward models that a reward is made of, by role.

    Args:
        config: how many there are, and in what they differ.
        cures: of the reward.
        size: of each.
        seed: of the reward; its first member has the same.
        one: plans a member by size, seed and, where it differs in more, `variant`.
        exists: whether a size names an existing reward, which has no further seeds.

    Raises:
        UserError: for several members of an existing reward, or a list of checkpoints that is none of reward models.
    """
    count = members_of(cures, config.ensemble_members)
    if count > 1 and config.ensemble_checkpoints:
        return _given_members(config, seed, one, exists)
    if count > 1 and exists(size):
        raise UserError(
            f"reward={config.reward}: must be made of several reward models, but {size} exists already and has no "
            "further seeds. Give ensemble_checkpoints, or an rm_size that is trained here."
        )
    if any(cure.name == WARM for cure in cures):
        _check_start(config, size)
    seeds = [seed + SEED_STRIDE * number for number in range(count)]
    members = [
        one(size, each, **variant) for each, variant in zip(seeds, variants(config, cures, seed, count), strict=True)
    ]
    return {f"{RolePrefix.MEMBER}{number}": member for number, member in enumerate(members)}


def _check_start(config: Config, size: str) -> None:
    policy_size = config.comparisons_policy_size
    starts = "a language model's checkpoint" if config.world_spec.imports_policy else f"policy_size ({policy_size})"
    if not (is_checkpoint(size) or (size == policy_size and not config.world_spec.imports_policy)):
        raise UserError(
            f"reward={config.reward}: must average reward models from one shared start, so rm_size must be {starts}, "
            f"but is {size}. Change it, or use reward=mean."
        )


def _given_members(
    config: Config, seed: int, one: Callable[..., Step], exists: Callable[[str], bool]
) -> dict[str, Step]:
    given = config.ensemble_checkpoints
    wrong = [name for name in given if not is_checkpoint(name) or not exists(name)]
    if wrong or len(given) < 2:
        what = f"{wrong[0]} is none" if wrong else "there is one"
        raise UserError(
            f"ensemble_checkpoints={','.join(given)}: must be at least two checkpoints of reward models, but {what}. "
            "Correct the list."
        )
    return {f"{RolePrefix.MEMBER}{number}": one(name, seed) for number, name in enumerate(given)}


def cured_rm(
    config: Config,
    members: Mapping[str, Step | RunRef],
    policy: Step | RunRef,
    optimized: Step | RunRef,
    gold: Step | RunRef,
    comparisons: Step | RunRef,
    size: str,
    seed: int,
    earlier: Sequence[Step] = (),
) -> Step:
    """Plan a reward with cures.

    Args:
        config: the cures and their options.
        members: what it is made of, by role.
        policy: the policy that wrote the comparisons; its responses determine the units.
        optimized: the initial policy of the runs against the reward, whose responses a shaping reads; mostly the same.
        gold: the gold RM.
        comparisons: gold-labelled pairs; those held out determine the scale where gold was trained here.
        size: of its members.
        seed: of its first member, and of the policy runs against it.
        earlier: comparisons of earlier rounds, where its members learn from them too.
    """
    cures = parse_reward(config.reward)
    is_shaped = any(cure.shape for cure in cures)
    first = next(iter(members.values()))
    inherited = {**(first.inherited_params if isinstance(first, Step) else {}), **first.params}
    own = {
        **config.select("world"),
        "rm_size": size,
        "seed": seed,
        "reward": written(cures),
        **({"ensemble_members": len(members)} if len(members) > 1 else {}),
        **({"ensemble_by": config.ensemble_by} if len(members) > 1 and config.ensemble_by == BY_BOOTSTRAP else {}),
        **config.select(*(name for cure in cures for name in cure.options)),
        **({"earlier": len(earlier)} if earlier else {}),
    }
    if "half" in inherited:
        own["half"] = inherited["half"]
    if any(cure.needs_references for cure in cures):
        own |= config.select("world_seed", "curve_prompts", "audit_prompts")
    are_of_optimized = config.gold_source.is_trained and comparisons.params.get("round", 1) > 1
    if is_shaped and optimized != policy and not are_of_optimized:
        own |= config.select("rm_policy_size")
    return Step(
        name=f"proxy RM {size} {written(cures)} seed {seed}",
        kind=Kind.PROXY_RM,
        version=2 if any(cure.name == LAPLACE for cure in cures) else 1,
        params=own,
        inputs={
            Role.INITIAL_POLICY: optimized if is_shaped else policy,
            Role.GOLD_RM: gold,
            Role.COMPARISONS: comparisons,
            **{f"{RolePrefix.EARLIER}{i}": step for i, step in enumerate(earlier)},
            **members,
        },
        inherited_params={name: value for name, value in inherited.items() if name not in own},
        fn=make_reward,
        execution_options=config.changed(*CALL_OPTIONS),
    )


def make_reward(run: Run) -> None:
    """Apply the cures one after the other, each on gold's scale. Artifacts: `model/`, the reward with its members."""
    p = run.params
    device, prompt_format = new_accelerator().device, load_prompt_format(run, open_world(run))
    count = p.get("ensemble_members", 1)
    scorers = [load_input_scorer(run, f"{RolePrefix.MEMBER}{i}", prompt_format, device) for i in range(count)]
    cures, table = parse_reward(p["reward"]), calibration_pairs(run)
    start = _start_responses(run, table, prompt_format) if any(cure.shape for cure in cures) else []
    metrics: dict[str, float] = {}
    for number, cure in enumerate(cures, 1):
        options = {name: p[name] for name in cure.options}
        made = _applied(run, cure, scorers, options, table, start, prompt_format)
        scorers = []
        for scorer in made:
            scorer, metrics = _calibrated(scorer, table, prompt_format)
            scorers.append(scorer)
        run.progress(number / len(cures))
    (reward,) = scorers
    run.log_params({"held_out": len(table)})
    run.log_metrics({**metrics, Metric.RM_FORWARD_PASSES: float(passes_of(cures, count))})
    save_scorer(reward, run.folder, prompt_format)


def _applied(
    run: Run,
    cure: Cure,
    scorers: Sequence[Scorer],
    options: Options,
    table: pd.DataFrame,
    start: Sequence[Responses],
    prompt_format: PromptFormat,
) -> list[Scorer]:
    if cure.of_weights:
        changed: list[Scorer] = import_module(cure.of_weights).apply(
            scorers, options, _material(run, table, prompt_format)
        )
        return changed
    if cure.combine is not None:
        return [EnsembleScorer(cure.name, tuple(scorers), options)]
    (scorer,) = scorers
    scores_B = np.concatenate([rated(scorer, responses, "proxy") for responses in start])
    references = _references(run, scorer, options, table, prompt_format) if cure.needs_references else {}
    return [ShapedScorer(cure.name, scorer, Start.of(scores_B), references, options)]


def _start_responses(run: Run, table: pd.DataFrame, prompt_format: PromptFormat) -> list[Responses]:
    """Responses of the optimized initial policy: those of the pairs, or where another policy wrote these, two anew to
    each of their prompts."""
    if "rm_policy_size" not in run.params:
        return [responses_of_pairs(table, column, prompt_format) for column in ("response_a", "response_b")]
    policy = load_policy(run.input(Role.INITIAL_POLICY), new_accelerator().device)
    generator = torch_generator("responses that a shaping starts from", run.params["seed"], device=policy.device)
    prompts = table.prompt.tolist()
    return [
        sample_responses(
            policy, prompt_format, prompts, generator=generator, samples_per_prompt=2, batch_size=SAMPLE_BATCH
        )
    ]


def _material(run: Run, table: pd.DataFrame, prompt_format: PromptFormat) -> Material:
    learned = read_comparisons(run)
    learned = learned[~learned.held_out]
    sides = [(part, column) for part in (learned, table) for column in ("response_a", "response_b")]
    return Material(*(responses_of_pairs(part, column, prompt_format) for part, column in sides))


def _scores(scorer: Scorer, table: pd.DataFrame, prompt_format: PromptFormat) -> list[np.ndarray]:
    """Scores of both sides of pairs. Shapes: (B,)."""
    sides = (responses_of_pairs(table, column, prompt_format) for column in ("response_a", "response_b"))
    return [rated(scorer, side, "proxy") for side in sides]


def _calibrated(scorer: Scorer, table: pd.DataFrame, prompt_format: PromptFormat) -> tuple[Scorer, dict[str, float]]:
    scorer = scorer.with_units(0.0, 1.0)  # a member that was changed has units already, which are replaced
    raw_a_B, raw_b_B = _scores(scorer, table, prompt_format)
    if np.ptp(raw_a_B) == 0:
        raise UserError(
            "reward: must give different responses different scores, but a cure has made all of them equal. Use a "
            "wider clip or a higher ceiling."
        )
    return calibrated_by(scorer, raw_a_B, raw_b_B, encode_comparisons(table, prompt_format))


def _references(
    run: Run, scorer: Scorer, options: Options, table: pd.DataFrame, prompt_format: PromptFormat
) -> dict[str, tuple[float, ...]]:
    """Scores of responses of the initial policy to every prompt that the reward will meet in a study."""
    p, world, samples = run.params, open_world(run), options["reference_samples"]
    policy = load_policy(run.input(Role.INITIAL_POLICY), new_accelerator().device)
    counts = {Split.TRAIN: REFERENCE_PROMPTS, **{name: p[f"{name}_prompts"] for name in (Split.CURVE, Split.AUDIT)}}
    prompts = [prompt for split, count in counts.items() for prompt in world.prompts(split, count)]
    prompts = list(dict.fromkeys([*prompts, *table.prompt]))
    generator = torch_generator("reference responses", p["world_seed"], device=policy.device)
    responses = sample_responses(
        policy, prompt_format, prompts, generator=generator, samples_per_prompt=samples, batch_size=SAMPLE_BATCH
    )
    scores_PM = rated(scorer, responses, "proxy").reshape(len(prompts), samples)
    return {prompt: tuple(row) for prompt, row in zip(prompts, scores_PM.tolist(), strict=True)}
