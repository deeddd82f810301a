"""Kind `pool`: N samples of the initial policy for every prompt of a split, with gold and human scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.steps.step import Made, Run, Step

if TYPE_CHECKING:
    from mlproject.config import Config

FILE = "pool.safetensors"
CURVE, AUDIT = "curve", "audit"
"""Splits of held-out prompts: every curve point is measured on the first; the second serves promotion only."""


def pool(config: Config, policy: Step | Made, gold: Step | Made, split: str = CURVE) -> Step:
    """The step that samples and scores the pool of the `curve` prompts, or of those of another split."""
    prompts = f"{split}_prompts"
    return Step(
        name=f"{'' if split == CURVE else split + ' '}pool {getattr(config, prompts)} x {config.pool_samples}",
        kind="pool",
        version=1,
        params={
            **config.select("world", "world_seed", prompts, "pool_samples"),
            **({} if split == CURVE else {"split": split}),
        },
        inputs={"initial-policy": policy, "gold-rm": gold},
        work=__name__,
    )


def work(run: Run) -> None:
    """Artifacts: `pool.safetensors` (see `mlproject.optimization.pool.Pool`)."""
    import json

    import numpy as np
    import torch

    from mlproject.models.generation import sample
    from mlproject.models.reward_model import RewardModel
    from mlproject.models.sequences import concatenate, decode_responses, encode_prompts, unique
    from mlproject.optimization.pool import Pool
    from mlproject.steps.common import (
        MODEL_FOLDER,
        SAMPLE_BATCH,
        accelerator,
        load_policy,
        load_tokenizer,
        torch_generator,
    )
    from mlproject.worlds import load_world

    p = run.params
    split, samples = p.get("split", CURVE), p["pool_samples"]
    count = p[f"{split}_prompts"]
    world = load_world(p["world"], p["world_seed"])
    device = accelerator().device
    tokenizer = load_tokenizer(run.input("initial-policy"))
    policy = load_policy(run.input("initial-policy"), device)
    gold = RewardModel.load(run.input("gold-rm") / MODEL_FOLDER, device)
    texts = world.prompts(split, count)
    prompts = encode_prompts(tokenizer, texts).to(device)
    generator = torch_generator("pool" if split == CURVE else f"{split} pool", p["world_seed"], device=device)
    parts, log_probs = [], []
    block = max(1, SAMPLE_BATCH // samples)
    for start in range(0, count, block):
        drawn = sample(
            policy,
            prompts.select(torch.arange(start, min(start + block, count), device=device)),
            max_new_tokens=world.max_response_tokens,
            generator=generator,
            samples_per_prompt=samples,
        )
        parts.append(drawn.sequences.to("cpu"))
        log_probs.append(drawn.log_probs_BR.sum(1).double().cpu().numpy())
        run.progress(0.6 * start / count)
    sequences = concatenate(parts, tokenizer.pad_token_id)
    gold_PN = gold.scores(sequences).reshape(count, samples)
    run.progress(0.8)

    distinct, twin = unique(sequences)  # a text is judged once, however often it was sampled
    _, first = np.unique(twin.numpy(), return_index=True)
    responses = decode_responses(tokenizer, distinct)
    human_D = world.judge([texts[row // samples] for row in first], responses)
    units = json.loads((run.input("gold-rm") / "units.json").read_text())

    def spread(values_D: np.ndarray) -> np.ndarray:
        return values_D[twin.numpy()].reshape(count, samples)

    made = Pool(
        sequences=sequences,
        log_prob_PN=np.concatenate(log_probs).reshape(count, samples),
        gold_PN=gold_PN,
        human_PN=None if human_D is None else spread((human_D - units["human_mean"]) / units["human_std"]),
        signs_PN={name: spread(values_D) for name, values_D in world.signs(responses).items()},
    )
    made.save(run.folder / FILE)
    metrics = {
        "pool/gold_mean": float(gold_PN.mean()),
        "pool/gold_std": float(gold_PN.std()),
        "pool/distinct": len(distinct) / len(sequences),
        "pool/mean_length": float(sequences.response_lengths_B.double().mean()),
    }
    if made.human_PN is not None:
        metrics["pool/gold_human_correlation"] = float(np.corrcoef(gold_PN.ravel(), made.human_PN.ravel())[0, 1])
    run.log_metrics(metrics)
