"""Kind `initial-policy`: the policy fine-tuned on the world's corpus, with the tokenizer that all models share."""

from __future__ import annotations

from mlproject.config.schema import Config
from mlproject.models.init import new_policy, parameter_count
from mlproject.models.memory import MemoryOptions
from mlproject.models.sequences import encode
from mlproject.models.sft import train_sft
from mlproject.models.sizes import SIZES
from mlproject.models.training import Schedule
from mlproject.names import Artifact, Kind, Metric
from mlproject.pipeline.loading import (
    TRAINING_THREADS,
    new_accelerator,
    numpy_generator,
    stream_seed,
    torch_generator,
)
from mlproject.pipeline.step import EXECUTION_OPTIONS, Run, Step, batch_limit
from mlproject.worlds import load_world


def initial_policy(config: Config) -> Step:
    """Plan the initial policy."""
    return Step(
        name=f"initial policy {config.policy_size}",
        kind=Kind.INITIAL_POLICY,
        version=1,
        params=config.select(
            "world", "world_seed", "policy_size", "sft_examples", "sft_epochs", "sft_batch_size", "sft_lr",
            "mixed_precision",
        ),
        fn=train_initial_policy,
        execution_options=config.changed(*EXECUTION_OPTIONS),
        max_processes=batch_limit(config, "sft_batch_size"),
    )  # fmt: skip


def train_initial_policy(run: Run) -> None:
    """Train the initial policy. Artifacts: `model/`."""
    p = run.params
    world = load_world(p["world"], p["world_seed"])
    tokenizer = world.tokenizer()
    prompts, responses = world.corpus(p["sft_examples"], numpy_generator("corpus", p["world_seed"]))
    corpus = encode(tokenizer, prompts, responses, world.max_response_tokens)
    accelerator = new_accelerator(p["mixed_precision"])
    policy = new_policy(p["policy_size"], tokenizer, stream_seed("initial policy", p["world_seed"]))
    loss = train_sft(
        policy.to(accelerator.device),
        corpus,
        Schedule(
            p["sft_epochs"],
            p["sft_batch_size"],
            SIZES[p["policy_size"]].learning_rate(p["sft_lr"]),
            MemoryOptions.among(run.execution_options),
            TRAINING_THREADS,
        ),
        accelerator=accelerator,
        generator=torch_generator("initial policy order", p["world_seed"]),
        progress=run.progress,
        resumption=run.resumption,
    )
    if not accelerator.is_main_process:
        return
    run.log_params({"policy_params": parameter_count(policy), "vocabulary": len(tokenizer)})
    run.log_metrics({Metric.SFT_LOSS: loss})
    policy.save_pretrained(run.folder / Artifact.MODEL)
    tokenizer.save_pretrained(run.folder / Artifact.MODEL)
