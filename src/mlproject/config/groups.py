"""The options that belong to no method, in groups. Each method declares its own (`mlproject.optimization`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.models.memory import MemoryOptions
from mlproject.models.sizes import POLICY_SIZES, SIZES, is_checkpoint
from mlproject.optimization import METHODS
from mlproject.options.declaration import Form, Options, option
from mlproject.preferences import LABELS, POLICY, RANDOM
from mlproject.preferences.loss_options import RewardLoss
from mlproject.rewards.options import CallOptions
from mlproject.rewards.source import FORMS, is_reward
from mlproject.worlds import WORLDS
from mlproject.worlds.files.schemas import AUTO, FIELDS, FORMAT_NAMES

CHECKPOINT = Form("a checkpoint (./FOLDER or OWNER/NAME)", is_checkpoint)
LARGEST_SEED = 2**32 - 1
"""What every generator of random numbers takes."""
REWARD = Form(f"{CHECKPOINT.name}, {FORMS}", lambda name: is_checkpoint(name) or is_reward(name))


@dataclass(frozen=True, kw_only=True)
class WorldOptions(Options):
    """Prompts, and who judges the responses."""

    HEADING: ClassVar[str] = "World and data"

    world: str = option("; ".join(f"{world.name}: {world.help}" for world in WORLDS.values()), choices=tuple(WORLDS))
    world_seed: int = option("seed of corpus, initial policy, gold RM and comparisons", minimum=0, maximum=LARGEST_SEED)
    prompts: str = option("world=files: your prompts (JSONL, CSV, Parquet, text, a datasets folder)", default="")
    prompt_field: str = option("field that holds a prompt: a text, or a list of messages", default="prompt")
    preferences: str = option(
        "world=files: your comparisons, instead of gold-labelled ones; their prompts are used if prompts is empty",
        default="",
    )
    preference_fields: tuple[str, ...] = option("fields of a comparison: prompt, chosen, rejected", default=FIELDS)
    preference_format: str = option(
        "kind of the file of comparisons: auto recognises it by its columns, columns reads preference_fields alone",
        choices=FORMAT_NAMES,
        default=AUTO,
    )
    preferred: str = option(
        "column that says which of two responses won, if preference_fields names the two or the file's own is another",
        default="",
    )
    bad_lines: str = option(
        "what to do with an invalid row: stop with an error, or skip and list it",
        choices=("stop", "skip"),
        default="stop",
    )
    max_prompt_tokens: int = option(
        "world=files: longest prompt, in tokens", minimum=1, maximum=10_000_000, default=256
    )
    max_response_tokens: int = option(
        "world=files: longest response, in tokens, end-of-sequence included", minimum=1, maximum=10_000_000, default=64
    )
    long_prompts: str = option(
        "what to do with a longer prompt: cut its beginning, skip it, or stop with an error",
        choices=("cut", "skip", "stop"),
        default="cut",
    )


@dataclass(frozen=True, kw_only=True)
class PolicyOptions(Options):
    """The initial policy and its supervised training."""

    HEADING: ClassVar[str] = "Initial policy"

    policy: str = option(
        "world=files: checkpoint of the initial policy, a causal LM (folder or hub name), or http://HOST/v1 of a "
        "server that samples the pools",
        default="",
    )
    policy_weights: str = option("checkpoint of the policy that the server at policy=http://... serves", default="")
    policy_size: str = option("size of the policy", choices=POLICY_SIZES)
    rm_policy_size: str = option(
        "size of the policy that writes the responses from which gold RM and proxy RMs learn; same: policy_size",
        choices=("same", *POLICY_SIZES),
    )
    sft_examples: int = option("responses in the corpus of the initial policy", minimum=64, maximum=10_000_000)
    sft_epochs: float = option("passes of the initial policy over its corpus", minimum=0.01, maximum=1000)
    sft_batch_size: int = option("examples per gradient step of the initial policy", minimum=1, maximum=1_000_000)
    sft_lr: float = option(
        "learning rate of the initial policy at width 64 (inversely proportional to the width)",
        minimum=1e-8,
        maximum=1,
    )

    @property
    def comparisons_policy_size(self) -> str:
        """Size of the policy whose responses reward models learn from, and from whose trunk they may start."""
        return self.policy_size if self.rm_policy_size == "same" else self.rm_policy_size


@dataclass(frozen=True, kw_only=True)
class GoldOptions(Options):
    """The reward model that plays the ground truth."""

    HEADING: ClassVar[str] = "Gold RM"

    gold: str = option(
        "what plays the ground truth: trained (on the embedded human), a reward model's checkpoint, "
        f"{FORMS}, or none (a test RM, trained on comparisons that the proxies never see)",
        default="trained",
    )
    gold_size: str = option(
        "size of the gold RM, at least the largest proxy's; if gold=none, of the test RM",
        choices=tuple(SIZES),
        form=CHECKPOINT,
    )
    gold_comparisons: int = option(
        "human-labelled comparisons that the gold RM learns from", minimum=64, maximum=1_000_000
    )
    gold_epochs: float = option("passes of the gold RM over its comparisons", minimum=0.01, maximum=1000)
    gold_batch_size: int = option("comparisons per gradient step of the gold RM", minimum=1, maximum=1_000_000)
    gold_lr: float = option("learning rate of the gold RM at width 64", minimum=1e-8, maximum=1)


@dataclass(frozen=True, kw_only=True)
class ProxyOptions(RewardLoss):
    """Comparisons, and the proxy RMs that learn from them."""

    HEADING: ClassVar[str] = "Comparisons and proxy RMs"

    n_comparisons: int = option("gold-labelled comparisons; a tenth is held out", minimum=64, maximum=1_000_000)
    labels: str = option(
        "hard: the higher gold score wins; sampled: a coin with probability sigmoid(gold difference)", choices=LABELS
    )
    label_noise: float = option("share of the training labels that are flipped", minimum=0, maximum=0.5)
    ranked_responses: int = option(
        "responses to a prompt that gold ranks: every pair of them is one of n_comparisons", default=2, minimum=2,
        maximum=64,
    )  # fmt: skip
    rm_sizes: tuple[str, ...] = option("proxy RMs of the study", choices=tuple(SIZES), form=REWARD)
    rm_size: str = option("the one proxy RM that the entry point proxy trains", choices=tuple(SIZES), form=REWARD)
    rm_start: str = option(
        "where a proxy RM starts: random weights, or (policy) the trunk of the initial policy of the same size, "
        "with a new head",
        choices=(RANDOM, POLICY),
        default=RANDOM,
    )
    rm_epochs: float = option("passes of a proxy RM over its comparisons", minimum=0.01, maximum=1000)
    rm_batch_size: int = option("comparisons per gradient step of a proxy RM", minimum=1, maximum=1_000_000)
    rm_lr: float = option("learning rate of a proxy RM at width 64", minimum=1e-8, maximum=1)
    rm_checkpoint_lr: float = option(
        "learning rate of a proxy RM that starts from a checkpoint", minimum=1e-9, maximum=1, default=1e-5
    )
    seeds: tuple[int, ...] = option(
        "seeds of the study, each for proxy training and policy optimization", minimum=0, maximum=LARGEST_SEED
    )
    seed: int = option(
        "the one seed of the entry points proxy, best_of_n, ppo and search", minimum=0, maximum=LARGEST_SEED
    )


@dataclass(frozen=True, kw_only=True)
class FunctionOptions(Options):
    """Rewards that are no models: gold or proxies that are functions or services."""

    HEADING: ClassVar[str] = "Reward functions and services"

    scorer_version: str = option(
        "version of the reward functions and services in use; another one makes their scores anew", default=""
    )
    scorer_columns: str = option(
        "FILE with prompt and the further columns that a function in TRL's form takes; empty: those of prompts",
        default="",
    )


@dataclass(frozen=True, kw_only=True)
class AuxiliaryOptions(Options):
    """Reward models that score the policy's responses without being optimized."""

    HEADING: ClassVar[str] = "Auxiliary RMs"

    test_rms: tuple[str, ...] = option(
        "sizes of test RMs; each learns from one half of the comparisons, and the proxy from the other",
        choices=("same", *SIZES),
        allow_empty=True,
        form=REWARD,
    )
    ensemble: int = option("ensemble members: further proxies with the next seeds", minimum=0, maximum=32)


@dataclass(frozen=True, kw_only=True)
class CurveOptions(Options):
    """Which curves a study has, and on which prompts they are measured."""

    HEADING: ClassVar[str] = "Curves"

    methods: tuple[str, ...] = option("methods by which the study optimizes the policy", choices=tuple(METHODS))
    curve_prompts: int = option("held-out prompts on which every curve point is measured", minimum=4, maximum=4000)
    audit_prompts: int = option("held-out prompts reserved for promotion", minimum=4, maximum=4000)
    pool_samples: int = option(
        "samples per curve prompt in the pool of the initial policy (N)", minimum=4, maximum=1_000_000
    )
    pool: str = option(
        "FILE of responses of the initial policy to the curve prompts, in place of samples drawn here",
        default="",
    )
    pool_columns: str = option(
        "columns of pool by meaning, where their names do not say it: prompt=...,response=...,logprob=...", default=""
    )
    pool_check: float = option(
        "share of the responses from elsewhere whose log-probabilities are computed here too",
        default=0.05,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, kw_only=True)
class RoundOptions(Options):
    """Iterated optimization: new comparisons from the policy, a new proxy, optimization again."""

    HEADING: ClassVar[str] = "Rounds"

    rounds: int = option("rounds of comparisons from the policy, a new proxy, optimization", minimum=1, maximum=20)
    rounds_from: str = option("where the policy of each round starts", choices=("current", "initial"))
    rounds_data: str = option("comparisons from which the proxy of a round learns", choices=("last", "all"))


@dataclass(frozen=True, kw_only=True)
class LawOptions(Options):
    """Fits of the laws."""

    HEADING: ClassVar[str] = "Laws"

    bootstrap: int = option(
        "resamples of the prompts for the confidence intervals of the laws", minimum=10, maximum=1_000_000
    )


@dataclass(frozen=True, kw_only=True)
class TrackingOptions(Options):
    """Where results go."""

    HEADING: ClassVar[str] = "Tracking"

    experiment: str = option(
        "name of the MLflow experiment for policy runs; models go to <name>/models, studies to <name>/studies"
    )
    registered_model: str = option("name under which reward models are registered")
    storage: str = option(
        "Optuna storage URL; empty: environment variable OPTUNA_STORAGE, or optuna.db beside the SQLite tracking store"
    )


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions(MemoryOptions, CallOptions):
    """How steps are executed."""

    HEADING: ClassVar[str] = "Execution"

    workers: int = option("steps that run side by side; 0: one per core", minimum=0, maximum=256)
    checkpoint_seconds: float = option(
        "seconds between two saved states of a running step, from which it goes on after a kill; 0: none is saved",
        minimum=0,
        maximum=86400,
        default=60.0,
    )
    lease_seconds: float = option(
        "seconds after which a run whose machine no longer answers may be taken up by another",
        minimum=5,
        maximum=86400,
        default=90.0,
    )
    stall_seconds: float = option(
        "seconds without progress after which a running step is named, with what it is doing; 0: never",
        minimum=0,
        maximum=86400,
        default=600.0,
    )
    engine: str = option(
        "what executes steps: processes of this machine, a Ray cluster, or jobs by submitit (Slurm)",
        choices=("local", "ray", "submitit"),
        default="local",
    )
    engine_address: str = option(
        "the Ray cluster (HOST:PORT, auto), or submitit's batch system (slurm, local); empty: one of this machine",
        default="",
    )
    engine_resources: str = option(
        "YAML file: cores, GPUs and memory that an engine is asked for, by kind of step (docs/cluster.md)",
        default="",
    )
    mixed_precision: str = option("precision of supervised and RM training", choices=("no", "bf16", "fp16"))
