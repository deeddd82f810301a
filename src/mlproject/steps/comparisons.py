"""Kind `comparisons`: pairs of responses of the initial policy, labelled by the gold RM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlproject.steps.step import Run, Step

if TYPE_CHECKING:
    from mlproject.config import Config

HELD_OUT = 0.1
TABLE = "comparisons.parquet"
_CHUNK = 2048


def comparisons(config: Config, policy: Step, gold: Step) -> Step:
    """The step that collects gold-labelled comparisons."""
    noise = f", {config.label_noise:.0%} noise" if config.label_noise else ""
    return Step(
        name=f"comparisons {config.n_comparisons}{noise}",
        kind="comparisons",
        version=1,
        params=config.select("world", "world_seed", "n_comparisons", "label_noise"),
        inputs={"initial-policy": policy, "gold-rm": gold},
        work=__name__,
    )


def work(run: Run) -> None:
    """Artifacts: `comparisons.parquet`, one row per comparison.

    Pairs are drawn in chunks with seeds of their own, so that fewer comparisons are a prefix of more.
    """
    import pandas as pd

    from mlproject.models.generation import sample
    from mlproject.models.reward_model import RewardModel
    from mlproject.models.sequences import decode_responses, encode_prompts
    from mlproject.preferences.comparisons import label_comparisons
    from mlproject.steps.common import (
        MODEL_FOLDER,
        accelerator,
        load_policy,
        load_tokenizer,
        numpy_generator,
        torch_generator,
    )
    from mlproject.worlds import load_world

    p = run.params
    world = load_world(p["world"], p["world_seed"])
    device = accelerator().device
    tokenizer = load_tokenizer(run.input("initial-policy"))
    policy = load_policy(run.input("initial-policy"), device)
    gold = RewardModel.load(run.input("gold-rm") / MODEL_FOLDER, device)
    parts: list[pd.DataFrame] = []
    wanted, ties, chunk = p["n_comparisons"], 0, 0
    while (have := sum(map(len, parts))) < wanted:
        texts = world.prompts("train", (chunk + 1) * _CHUNK)[chunk * _CHUNK :]
        names = (p["world_seed"], chunk)
        samples = sample(
            policy,
            encode_prompts(tokenizer, texts).to(device),
            max_new_tokens=world.max_response_tokens,
            generator=torch_generator("comparison responses", *names, device=device),
            samples_per_prompt=2,
        )
        sequences = samples.sequences.to("cpu")
        responses, scores = decode_responses(tokenizer, sequences), gold.scores(sequences)
        rng = numpy_generator("comparison labels", *names)
        part = label_comparisons(
            texts, responses[::2], responses[1::2], scores[::2], scores[1::2],
            held_out=HELD_OUT, label_noise=p["label_noise"], rng=rng,
        )  # fmt: skip
        ties += len(texts) - len(part)
        parts.append(part)
        chunk += 1
        run.progress(min(1.0, have / wanted))
    table = pd.concat(parts, ignore_index=True).head(wanted)
    table.to_parquet(run.folder / TABLE)
    run.log_metrics(
        {
            "comparisons/ties_dropped": ties,
            "comparisons/held_out": int(table.held_out.sum()),
            "comparisons/count": len(table),
        }
    )
