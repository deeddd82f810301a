"""Kind `gold-rm`: the reward model that plays the ground truth, trained on human judgement of a broad mix of responses.

The mix keeps it reliable where optimization will lead a policy: each prompt has two responses, out of samples of the
initial policy, samples at a high temperature, and distortions of the other response (floods, loops, cuts, wrong topics,
...). A gold RM of the policy's size starts from the policy's weights, as reward models usually do; any other one starts
from random weights.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from mlproject.config.schema import Config
from mlproject.models.generation import sample_responses
from mlproject.models.init import new_reward_model, parameter_count
from mlproject.models.memory import MemoryOptions
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.sizes import SIZES
from mlproject.models.training import Schedule
from mlproject.names import Artifact, GoldKind, Kind, Metric, MetricPrefix, Role, Tag
from mlproject.pipeline.calibrate import pairwise_metrics
from mlproject.pipeline.loading import (
    SAMPLE_BATCH,
    TRAINING_THREADS,
    load_policy,
    load_prompt_format,
    new_accelerator,
    numpy_generator,
    stream_seed,
    torch_generator,
)
from mlproject.pipeline.step import EXECUTION_OPTIONS, Run, Step, batch_limit
from mlproject.preferences.bradley_terry import train_reward_model
from mlproject.preferences.comparisons import encode_comparisons, label_comparisons
from mlproject.resume.row import Row
from mlproject.resume.state import State, generator_state, load_generator, load_numpy, merge, numpy_state
from mlproject.strict_json import strict_json
from mlproject.worlds import load_world

MIX = {("sample", "sample"): 0.4, ("sample", "distorted"): 0.35, ("sample", "hot"): 0.1, ("hot", "distorted"): 0.15}
"""Share of each kind of pair; a distorted response is a distortion of the other one of its pair."""

HOT_TEMPERATURE = 1.6
HELD_OUT = 0.1
"""Share of the comparisons that validate the gold RM."""

UNIT_PROMPTS = 4096
"""Training prompts on which units (mean, standard deviation of the initial policy's scores) are measured."""

_MIX_SHARE, _TRAINING_SHARE = 0.25, 0.6
"""Of the step's time; the rest measures units."""


def gold_rm(config: Config, policy: Step) -> Step:
    """Plan the gold RM."""
    return Step(
        name=f"gold RM {config.gold_size}",
        kind=Kind.GOLD_RM,
        version=1,
        params=config.select(
            "world", "world_seed", "policy_size", "gold_size", "gold_comparisons", "gold_epochs", "gold_batch_size",
            "gold_lr", "mixed_precision",
        ),
        inputs={Role.INITIAL_POLICY: policy},
        tags={Tag.GOLD: GoldKind.TRAINED},
        fn=train_gold_rm,
        execution_options=config.changed(*EXECUTION_OPTIONS),
        max_processes=batch_limit(config, "gold_batch_size"),
    )  # fmt: skip


def train_gold_rm(run: Run) -> None:
    """Train the gold RM and measure its units.

    Artifacts: `model/`, `units.json` (mean and standard deviation of the human scores of the initial policy).
    """
    p = run.params
    seed = p["world_seed"]
    world = load_world(p["world"], seed)
    accelerator = new_accelerator(p["mixed_precision"])
    prompt_format = load_prompt_format(run, world)
    policy = load_policy(run.input(Role.INITIAL_POLICY), accelerator.device)
    generator = torch_generator("gold responses", seed, device=accelerator.device)
    rng = numpy_generator("gold comparisons", seed)

    def respond(row: Row, texts: list[str], temperature: float, shares: tuple[float, float]) -> list[str]:
        """Sampled responses, each batch of them saved; reports the step's progress from one share to the other."""
        responses: list[str] = []
        for start in range(0, len(texts), SAMPLE_BATCH):
            batch = texts[start : start + SAMPLE_BATCH]
            share = float(np.interp(start + len(batch), (0, len(texts)), shares))
            drawn = row.next(partial(draw, batch, temperature, share))
            load_generator(generator, drawn.within("torch"))
            responses += drawn.within("responses").values["texts"]
        return responses

    def draw(texts: list[str], temperature: float, share: float) -> State:
        drawn = sample_responses(
            policy, prompt_format, texts, generator=generator, temperature=temperature, batch_size=SAMPLE_BATCH
        )
        run.progress(share)
        return merge({"responses": State(values={"texts": drawn.texts}), "torch": generator_state(generator)})

    def human(texts: list[str], responses: list[str]) -> np.ndarray:
        scores_B = world.judge(texts, responses)
        assert scores_B is not None, "the gold RM learns from a world's human judgement"
        return scores_B

    count = p["gold_comparisons"]
    texts = world.prompts("train", count)

    def broad_mix() -> State:
        row, share = run.resumption.row("responses"), 0.0
        kinds = np.array(list(MIX))[rng.choice(len(MIX), size=count, p=list(MIX.values()))]
        pair = np.empty((count, 2), dtype=object)
        for side in (0, 1):
            for source, temperature in (("sample", 1.0), ("hot", HOT_TEMPERATURE)):
                rows = np.flatnonzero(kinds[:, side] == source)
                shares = share, share + _MIX_SHARE * len(rows) / (2 * count)
                pair[rows, side] = respond(row, [texts[i] for i in rows], temperature, shares)
                share = shares[1]
        rows = np.flatnonzero(kinds[:, 1] == "distorted")
        pair[rows, 1] = world.distort([texts[i] for i in rows], pair[rows, 0].tolist(), rng)
        a, b = pair[:, 0].tolist(), pair[:, 1].tolist()
        labelled = label_comparisons(
            texts, a, b, human(texts, a), human(texts, b), held_out=HELD_OUT, label_noise=0.0, rng=rng
        )
        columns = State(values={str(name): column.tolist() for name, column in labelled.items()})
        return merge({"torch": generator_state(generator), "numpy": numpy_state(rng), "comparisons": columns})

    mix = run.resumption.once("broad-mix", broad_mix, accelerator)
    load_generator(generator, mix.within("torch"))
    load_numpy(rng, mix.within("numpy"))
    table = pd.DataFrame(mix.values["comparisons"])

    model = new_reward_model(p["gold_size"], prompt_format.tokenizer, stream_seed("gold RM", seed))
    model.to(accelerator.device)
    if p["gold_size"] == p["policy_size"]:
        model.base_model.load_state_dict(policy.base_model.state_dict())
    loss = train_reward_model(
        model,
        encode_comparisons(table[~table.held_out], prompt_format),
        Schedule(
            p["gold_epochs"],
            p["gold_batch_size"],
            SIZES[p["gold_size"]].learning_rate(p["gold_lr"]),
            MemoryOptions.among(run.execution_options),
            TRAINING_THREADS,
        ),
        accelerator=accelerator,
        generator=torch_generator("gold order", seed),
        progress=lambda share: run.progress(_MIX_SHARE + _TRAINING_SHARE * share),
        resumption=run.resumption,
    )

    if not accelerator.is_main_process:
        return

    # Units: gold and human in standard deviations of the initial policy's scores, on responses it was not trained on.
    unit_texts = texts[:UNIT_PROMPTS]
    row = run.resumption.row("unit-responses")
    begin, middle, end = np.linspace(_MIX_SHARE + _TRAINING_SHARE, 0.95, 3)
    responses_a = respond(row, unit_texts, 1.0, (begin, middle))
    responses_b = respond(row, unit_texts, 1.0, (middle, end))
    raw_B = RewardModel(model).raw_scores(prompt_format.encode(unit_texts, responses_a)).double().numpy()
    gold = RewardModel(model).with_units(raw_B.mean(), 1 / raw_B.std())
    human_B = human(unit_texts, responses_a)
    policy_pairs = label_comparisons(
        unit_texts, responses_a, responses_b, human_B, human(unit_texts, responses_b),
        held_out=0.0, label_noise=0.0, rng=rng,
    )  # fmt: skip

    agreement = {}
    for name, pairs in {"broad": table[table.held_out], "initial_policy": policy_pairs}.items():
        encoded = encode_comparisons(pairs, prompt_format)
        margin_B = gold.scores(encoded.a) - gold.scores(encoded.b)
        for metric, value in pairwise_metrics(margin_B, encoded.prefers_a_B).items():
            agreement[f"{MetricPrefix.RM}{metric}_{name}"] = value
    run.log_params({"rm_params": parameter_count(model)})
    run.log_metrics({Metric.RM_TRAIN_LOSS: loss, **agreement})
    run.set_tags({Tag.WEIGHTS_SHA256: content_hash(model)})
    gold.save(run.folder / Artifact.MODEL, prompt_format)
    (run.folder / Artifact.UNITS).write_text(
        strict_json({"human_mean": float(human_B.mean()), "human_std": float(human_B.std())})
    )
