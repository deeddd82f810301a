"""Kind `comparisons`: pairs of responses of the initial policy, labelled by the gold RM.

Axis letters: P prompts, N responses to a prompt in a batch, B responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from mlproject.config.schema import Config
from mlproject.curve import Array
from mlproject.errors import UserError
from mlproject.models.generation import sample_responses
from mlproject.models.responses_state import responses_of, responses_state
from mlproject.models.scorers import rated
from mlproject.names import Artifact, Kind, Metric, Role
from mlproject.pipeline.loading import (
    load_gold,
    load_policy,
    load_prompt_format,
    new_accelerator,
    numpy_generator,
    open_world,
    torch_generator,
)
from mlproject.pipeline.reward import usage_metrics
from mlproject.pipeline.run_params import RunParams
from mlproject.pipeline.step import CALL_OPTIONS, Run, Step
from mlproject.preferences.comparisons import label_comparisons
from mlproject.preferences.rankings import joined, label_rankings, pairs_of
from mlproject.resume.state import State, merge

HELD_OUT = 0.1
"""Share of the comparisons that validate reward models."""

_CHUNK = 2048
"""Prompts whose responses are compared at a time."""


def comparisons(config: Config, policy: Step, gold: Step, optimized: Step | None = None, round: int = 1) -> Step:
    """Plan gold-labelled comparisons.

    Args:
        config: how many comparisons, and how they are labelled.
        policy: the initial policy, whose responses are compared in the first round.
        gold: the gold RM that labels them.
        optimized: the policy run whose policy responds in a later round.
        round: counts from 1.
    """
    details = [f"{config.label_noise:.0%} noise"] * bool(config.label_noise)
    details += [f"{config.ranked_responses} ranked"] * (config.ranked_responses > 2)
    details += ["sampled labels"] * (config.labels == "sampled") + [f"round {round}"] * (round > 1)
    return Step(
        name=", ".join([f"comparisons {config.n_comparisons}", *details]),
        kind=Kind.COMPARISONS,
        version=2,
        params={
            **config.select("world", "world_seed", "n_comparisons", "labels", "label_noise"),
            **config.changed("ranked_responses"),
            **RunParams(round=round).to_params(),
        },
        inputs={Role.INITIAL_POLICY: policy, Role.GOLD_RM: gold, **({Role.OPTIMIZED: optimized} if optimized else {})},
        fn=collect_comparisons,
        execution_options=config.changed(*CALL_OPTIONS),
    )


def collect_comparisons(run: Run) -> None:
    """Draw pairs of responses and label them. Artifacts: `comparisons.parquet`, one row per comparison.

    Pairs are drawn in chunks, each with its own seed, so that fewer comparisons are a prefix of more.
    """
    p = run.params
    world = open_world(run)
    device = new_accelerator().device
    prompt_format = load_prompt_format(run, world)
    round = RunParams.from_params(p).round
    policy = load_policy(run.input(Role.OPTIMIZED if round > 1 else Role.INITIAL_POLICY), device)
    gold = load_gold(run, prompt_format, device)
    parts: list[pd.DataFrame] = []
    count, ties, chunk = p.get("ranked_responses", 2), 0, 0
    n_comparisons = max(1, p["n_comparisons"] // pairs_of(count)) * pairs_of(count)
    row = run.resumption.row("chunks")

    def draw(texts: Sequence[str], generator: torch.Generator) -> State:
        responses = sample_responses(policy, prompt_format, texts, generator=generator, samples_per_prompt=count)
        scores_B = torch.from_numpy(rated(gold, responses, "gold"))
        return merge({"responses": responses_state(responses), "gold": State({"scores": scores_B})})

    while (drawn_so_far := sum(map(len, parts))) < n_comparisons:
        texts = world.prompts("train", (chunk + 1) * _CHUNK)[chunk * _CHUNK :]
        stream = (p["world_seed"], chunk) if round == 1 else (p["world_seed"], chunk, round)
        drawn = row.next(partial(draw, texts, torch_generator("comparison responses", *stream, device=device)))
        responses = responses_of(drawn.within("responses"), texts, prompt_format)
        scores = drawn.within("gold").tensors["scores"].numpy()
        rng = numpy_generator("comparison labels", *stream)
        part = _labelled(texts, responses.texts, scores.reshape(-1, count), p, rng)
        if part.empty:
            raise UserError(
                f"gold={p.get('gold', 'trained')}: must tell responses apart, and gives both responses to each of "
                f"{len(texts)} prompts the same score. Use another gold, or a policy whose responses differ."
            )
        ties += len(texts) * pairs_of(count) - len(part)
        parts.append(part)
        chunk += 1
        run.progress(min(1.0, drawn_so_far / n_comparisons))
    table = joined(parts).head(n_comparisons)
    table.to_parquet(run.folder / Artifact.COMPARISONS)
    run.log_metrics(
        {
            Metric.COMPARISONS_TIES_DROPPED: ties,
            Metric.COMPARISONS_HELD_OUT: int(table.held_out.sum()),
            Metric.COMPARISONS_COUNT: len(table),
            **usage_metrics({"gold": gold}),
        }
    )


def _labelled(
    prompts: Sequence[str], written: Sequence[str], scores_PN: Array, p: Mapping[str, Any], rng: np.random.Generator
) -> pd.DataFrame:
    """Comparisons of the responses to each prompt, which lie side by side."""
    noise, labels, count = p["label_noise"], p["labels"], scores_PN.shape[1]
    if count == 2:
        return label_comparisons(
            prompts, written[::2], written[1::2], scores_PN[:, 0], scores_PN[:, 1],
            held_out=HELD_OUT, label_noise=noise, rng=rng, labels=labels,
        )  # fmt: skip
    of_prompt = [written[start : start + count] for start in range(0, len(written), count)]
    return label_rankings(prompts, of_prompt, scores_PN, held_out=HELD_OUT, label_noise=noise, rng=rng, labels=labels)
