"""Kind `gold-rm`: the reward model that plays the ground truth, trained on human judgement of a broad mix of responses.

The mix keeps it sensible where optimization will lead a policy: samples of the initial policy, samples at a high
temperature, and distortions (floods, loops, cuts, wrong topics, ...), paired at random within each prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.models.sizes import SIZES
from mlproject.steps.step import Run, Step

if TYPE_CHECKING:
    from mlproject.config import Config

HOT_TEMPERATURE = 1.6
UNIT_PROMPTS = 4096
"""Training prompts on which units (mean, standard deviation of the initial policy's scores) are measured."""


def gold_rm(config: Config, policy: Step) -> Step:
    """The step that trains and freezes the gold RM."""
    return Step(
        name=f"gold RM {config.gold_size}",
        kind="gold-rm",
        version=1,
        params=config.select(
            "world", "world_seed", "gold_size", "gold_comparisons", "gold_epochs", "gold_batch_size", "gold_lr",
            "mixed_precision",
        ),
        inputs={"initial-policy": policy},
        work=__name__,
        threads=2,
    )  # fmt: skip


def work(run: Run) -> None:
    """Artifacts: `model/`, `units.json` (human mean and standard deviation on the initial policy)."""
    import json

    import numpy as np

    from mlproject.models.build import new_reward_model, parameter_count
    from mlproject.models.generation import sample
    from mlproject.models.reward_model import RewardModel, content_hash
    from mlproject.models.sequences import decode_responses, encode, encode_prompts
    from mlproject.models.training import Schedule
    from mlproject.preferences.bradley_terry import train_reward_model
    from mlproject.preferences.comparisons import encode_comparisons, label_comparisons
    from mlproject.preferences.metrics import pairwise_metrics
    from mlproject.steps.common import (
        MODEL_FOLDER,
        SAMPLE_BATCH,
        accelerator,
        load_policy,
        load_tokenizer,
        numpy_generator,
        stream_seed,
        torch_generator,
    )
    from mlproject.worlds import load_world

    p = run.params
    seed = p["world_seed"]
    world = load_world(p["world"], seed)
    machine = accelerator(p["mixed_precision"])
    tokenizer = load_tokenizer(run.input("initial-policy"))
    policy = load_policy(run.input("initial-policy"), machine.device)
    generator = torch_generator("gold responses", seed, device=machine.device)
    rng = numpy_generator("gold comparisons", seed)

    def respond(texts: list[str], temperature: float) -> list[str]:
        responses: list[str] = []
        for start in range(0, len(texts), SAMPLE_BATCH):
            prompts = encode_prompts(tokenizer, texts[start : start + SAMPLE_BATCH]).to(machine.device)
            samples = sample(
                policy,
                prompts,
                max_new_tokens=world.max_response_tokens,
                generator=generator,
                temperature=temperature,
            )
            responses += decode_responses(tokenizer, samples.sequences)
        return responses

    def human(texts: list[str], responses: list[str]) -> np.ndarray:
        judged = world.judge(texts, responses)
        assert judged is not None, "the gold RM learns from a world's human judgement"
        return judged

    # One response of each source per prompt; a comparison takes two of them, the initial policy's own more often.
    count = p["gold_comparisons"]
    texts = world.prompts("train", count)
    plain, other = respond(texts, 1.0), respond(texts, 1.0)
    sources = np.array([plain, other, respond(texts, HOT_TEMPERATURE), world.distort(texts, plain, rng)], dtype=object)
    pairs = np.array([(0, 1), (0, 1), (0, 3), (1, 2), (0, 3), (2, 3)])[rng.integers(6, size=count)]
    a, b = (sources[pairs[:, side], np.arange(count)].tolist() for side in (0, 1))
    table = label_comparisons(
        texts, a, b, human(texts, a), human(texts, b), held_out=0.1, label_noise=0.0, rng=rng
    )
    run.progress(0.1)

    model = new_reward_model(p["gold_size"], tokenizer, stream_seed("gold RM", seed)).to(machine.device)
    loss = train_reward_model(
        model,
        encode_comparisons(table[~table.held_out], tokenizer, world.max_response_tokens),
        Schedule(p["gold_epochs"], p["gold_batch_size"], SIZES[p["gold_size"]].learning_rate(p["gold_lr"])),
        accelerator=machine,
        generator=torch_generator("gold order", seed),
        progress=lambda share: run.progress(0.1 + 0.85 * share),
    )

    # Units: gold and human in standard deviations of the initial policy's scores.
    unit_texts = texts[:UNIT_PROMPTS]
    own = encode(tokenizer, unit_texts, plain[:UNIT_PROMPTS], world.max_response_tokens)
    raw = RewardModel(model).raw_scores(own).double().numpy()
    gold = RewardModel(model).with_units(raw.mean(), 1 / raw.std())
    judged = human(unit_texts, plain[:UNIT_PROMPTS])

    held_out = table[table.held_out]
    agreement = {}
    for name, rows in {"broad": held_out, "initial_policy": _pairs_of(plain, other, unit_texts, human)}.items():
        encoded = encode_comparisons(rows, tokenizer, world.max_response_tokens)
        for metric, value in pairwise_metrics(gold.scores(encoded.a) - gold.scores(encoded.b), encoded.prefers_a_B).items():
            agreement[f"rm/{metric}_{name}"] = value
    run.log_params({"rm_params": parameter_count(model)})
    run.log_metrics({"rm/train_loss": loss, **agreement})
    run.set_tags({"mlproject.weights_sha256": content_hash(model)})
    gold.save(run.folder / MODEL_FOLDER, tokenizer)
    (run.folder / "units.json").write_text(
        json.dumps({"human_mean": float(judged.mean()), "human_std": float(judged.std())})
    )


def _pairs_of(a, b, texts, human):  # type: ignore[no-untyped-def]
    """Held-out pairs of the initial policy, labelled by the human judgement."""
    from mlproject.preferences.comparisons import label_comparisons
    from mlproject.steps.common import numpy_generator

    a, b = a[: len(texts)], b[: len(texts)]
    return label_comparisons(
        texts, a, b, human(texts, a), human(texts, b), held_out=0.0, label_noise=0.0, rng=numpy_generator("pairs")
    )
