"""The configuration: flat, frozen, typed and validated. Free of heavy imports, so a mistake is told at once.

An option given on the command line beats the user's own file, which beats the preset.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlproject.config.options import check, convert, option, read_options, requirement, to_text
from mlproject.config.rules import check_rules
from mlproject.errors import UserError
from mlproject.models.sizes import POLICY_SIZES, SIZES
from mlproject.optimization import METHODS, STOPS
from mlproject.preferences import LABELS
from mlproject.worlds import WORLDS

OBJECTIVES = ("peak", "peak-and-updates", "peak-and-comparisons")
"""Peak gold alone, or with a cost: policy updates to the peak, comparisons bought."""

PRESETS = ("smoke", "laptop", "overnight", "gpu")
_PRESET_FOLDER = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every option there is. Those without a default here get their value from the preset."""

    # Where things go
    experiment: str = option(
        "name of the MLflow experiment; its models and studies stand in <name>/models, <name>/studies"
    )
    registered_model: str = option("name under which reward models are registered")
    storage: str = option("Optuna storage URL; empty: optuna.db beside the SQLite tracking store")
    workers: int = option("processes that work side by side; 0: one for each core", minimum=0, maximum=256)
    mixed_precision: str = option("precision of training under accelerate", choices=("no", "bf16", "fp16"))
    accumulation: int = option(
        "micro-batches that the batch of a gradient step is cut into: less memory", default=1, minimum=1, maximum=4096
    )
    gradient_checkpointing: str = option(
        "compute layers a second time on the way back: less memory", default="no", choices=("no", "yes")
    )

    # The world and its initial policy
    world: str = option("helpdesk: embedded; files: your own prompts and models", choices=WORLDS)
    world_seed: int = option("moves corpus, initial policy, gold RM and comparisons", minimum=0)
    prompts: str = option("files: your prompts (JSONL, CSV, Parquet, text or datasets folder)", default="")
    prompt_field: str = option("field that holds a prompt: a text, or a list of messages", default="prompt")
    preferences: str = option(
        "files: your comparisons, in place of gold-labelled ones; their prompts serve where `prompts` is empty",
        default="",
    )
    preference_fields: tuple[str, ...] = option(
        "fields of a comparison: prompt, chosen, rejected", default=("prompt", "chosen", "rejected")
    )
    bad_lines: str = option("what a wrong row does: end the study, or be left out and listed", choices=("stop", "skip"),
                            default="stop")  # fmt: skip
    policy: str = option("files: checkpoint of the initial policy, a causal LM (folder or hub name)", default="")
    max_prompt_tokens: int = option("files: tokens of the longest prompt", minimum=1, default=256)
    max_response_tokens: int = option("files: tokens of the longest response, its end included", minimum=1, default=64)
    long_prompts: str = option("what is done with a longer prompt: its end is kept, or it is left out, or the study "
                               "ends", choices=("cut", "skip", "stop"), default="cut")  # fmt: skip
    policy_size: str = option("size of the policy", choices=POLICY_SIZES)
    rm_policy_size: str = option(
        "size of the policy whose responses gold RM and proxies learn from; same: policy_size",
        choices=("same", *POLICY_SIZES),
    )
    sft_examples: int = option("responses in the corpus of the initial policy", minimum=64)
    sft_epochs: float = option("passes of the initial policy over its corpus", minimum=0.01, maximum=1000)
    sft_batch_size: int = option("examples per step of the initial policy", minimum=1)
    sft_lr: float = option(
        "learning rate of the initial policy at width 64 (in inverse proportion to the width)",
        minimum=1e-8,
        maximum=1,
    )

    # The gold reward model
    gold: str = option(
        "what plays the ground truth: trained (on the embedded human), a reward model's checkpoint, "
        "PACKAGE.MODULE:FUNCTION, or none: a test RM, trained on comparisons that the proxies never see",
        default="trained",
    )
    gold_size: str = option(
        "size of the gold RM, at least the largest proxy's; where gold=none, of the test RM",
        choices=tuple(SIZES),
        allow_checkpoint=True,
    )
    gold_comparisons: int = option(
        "human-labelled comparisons that the gold RM learns from", minimum=64, maximum=1_000_000
    )
    gold_epochs: float = option("passes of the gold RM over its comparisons", minimum=0.01, maximum=1000)
    gold_batch_size: int = option("comparisons per step of the gold RM", minimum=1)
    gold_lr: float = option("learning rate of the gold RM at width 64", minimum=1e-8, maximum=1)

    # Comparisons and proxy reward models
    n_comparisons: int = option("gold-labelled comparisons; a tenth is held out", minimum=64, maximum=1_000_000)
    labels: str = option(
        "the higher gold score decides (hard), or a coin with probability sigmoid(gold difference) (sampled)",
        choices=LABELS,
    )
    label_noise: float = option("share of the training labels that are flipped", minimum=0, maximum=0.5)
    rm_sizes: tuple[str, ...] = option("the study's proxy RMs", choices=tuple(SIZES), allow_checkpoint=True)
    rm_size: str = option("the one proxy RM of `proxy`", choices=tuple(SIZES), allow_checkpoint=True)
    rm_epochs: float = option("passes of a proxy RM over its comparisons", minimum=0.01, maximum=1000)
    rm_batch_size: int = option("comparisons per step of a proxy RM", minimum=1)
    rm_lr: float = option("learning rate of a proxy RM at width 64", minimum=1e-8, maximum=1)
    rm_checkpoint_lr: float = option(
        "learning rate of a proxy RM that starts from a checkpoint", minimum=1e-9, maximum=1, default=1e-5
    )
    seeds: tuple[int, ...] = option("seeds of the study: each moves proxy training and policy optimization", minimum=0)
    seed: int = option("the seed of `proxy`, `best_of_n`, `ppo` and `search`", minimum=0)

    # What watches a policy run and needs no gold
    test_rms: tuple[str, ...] = option(
        "sizes of test RMs, which learn from half of the comparisons and watch (the proxy then learns from the other)",
        choices=("same", *SIZES),
        allow_empty=True,
        allow_checkpoint=True,
    )
    ensemble: int = option("further proxies of the next seeds, which only watch", minimum=0, maximum=32)

    # Curves
    methods: tuple[str, ...] = option("ways to optimize the policy in the study", choices=tuple(METHODS))
    curve_prompts: int = option("held-out prompts on which every curve point is measured", minimum=4, maximum=4000)
    audit_prompts: int = option("held-out prompts that serve promotion only", minimum=4, maximum=4000)
    pool_samples: int = option("samples per curve prompt in the best-of-n pool (N)", minimum=4)
    bon_n_max: int = option("largest n of best-of-n; at most pool_samples / 4 keeps the estimate steady", minimum=2)
    bon_points: int = option("points of a best-of-n curve", minimum=4, maximum=1000)
    rounds: int = option("rounds of comparisons from the policy, a new proxy, optimization", minimum=1, maximum=20)
    rounds_from: str = option("where the policy of each round starts", choices=("current", "initial"))
    rounds_data: str = option("comparisons that a round's proxy learns from", choices=("last", "all"))
    kl_coef: float = option("KL penalty of PPO, gold standard deviations per nat", minimum=0, maximum=100)
    ppo_updates: int = option("updates of a PPO run", minimum=1)
    ppo_batch_size: int = option("rollouts per update", minimum=2)
    ppo_rollout_batch: int = option(
        "rollouts sampled at a time, and shared between processes; 0: all at once, by one process", default=0, minimum=0
    )
    ppo_mixed_precision: str = option("precision of PPO's gradient passes", default="no", choices=("no", "bf16"))
    lora_rank: int = option(
        "rank of the adapters that PPO trains instead of the whole policy; 0: no adapters",
        default=0,
        minimum=0,
        maximum=4096,
    )
    ppo_epochs: int = option("passes over the rollouts of an update", minimum=1, maximum=100)
    ppo_minibatches: int = option("gradient steps per pass", minimum=1)
    ppo_lr: float = option("learning rate of the policy", minimum=1e-9, maximum=1)
    ppo_value_lr: float = option("learning rate of the value head", minimum=1e-9, maximum=1)
    ppo_clip: float = option("clip range of the probability ratio", minimum=0.001, maximum=10)
    ppo_gae_lambda: float = option("lambda of generalized advantage estimation", minimum=0, maximum=1)
    ppo_eval_first: int = option("updates at the beginning of a run that are all measured", minimum=0)
    ppo_eval_every: int = option("updates between two curve points after these", minimum=1)
    stop: str = option("when a PPO run ends: at its budget, or once the forecast says so", choices=STOPS)
    eval_samples: int = option("responses per curve prompt at each point of a policy's curve", minimum=1, maximum=1000)
    bootstrap: int = option("resamplings of the prompts for the intervals of the laws", minimum=10, maximum=1_000_000)

    # The search
    study: str = option("name of the Optuna study")
    n_trials: int = option("trials of the search in total, over all its restarts", minimum=0)
    search_kl_coefs: tuple[float, ...] = option("ordered grid of KL coefficients", minimum=0, maximum=100)
    search_rm_sizes: tuple[str, ...] = option("ordered grid of RM sizes", choices=tuple(SIZES), allow_checkpoint=True)
    search_n_comparisons: tuple[int, ...] = option(
        "ordered grid of comparison counts; empty: n_comparisons alone", minimum=64, maximum=1_000_000, allow_empty=True
    )
    search_ppo_lrs: tuple[float, ...] = option(
        "ordered grid of learning rates; empty: ppo_lr alone", minimum=1e-9, maximum=1, allow_empty=True
    )
    search_objective: str = option("what is searched for, beside peak gold", choices=OBJECTIVES)
    search_sampler: str = option("what proposes trials", choices=("tpe", "gp", "random"))
    search_pruner: str = option("what ends hopeless trials early", choices=("law", "median", "none"))
    search_batch: int = option("trials proposed at a time", minimum=1, maximum=64)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))
        check_rules(self)

    def select(self, *names: str) -> dict[str, Any]:
        """Some of the options, by name."""
        return {name: getattr(self, name) for name in names}

    def changed(self, *names: str) -> dict[str, Any]:
        """Those of some options with a default of their own that have another value, by name."""
        return {name: value for name, value in self.select(*names).items() if value != _fields()[name].default}

    def of_method(self, method: str) -> dict[str, Any]:
        """The options that the curve of a registered method depends on, by name."""
        return {**self.select(*METHODS[method].options), **self.changed(*METHODS[method].further)}

    def replace(self, **changes: Any) -> Config:
        """The same configuration with some options changed, validated again."""
        return dataclasses.replace(self, **changes)


def load_config(
    preset: str,
    options: Mapping[str, Any],
    file: str | None = None,
    experiment_options: Mapping[str, Any] | None = None,
) -> Config:
    """Put preset, the user's file and given options together.

    Args:
        preset: name of a preset.
        options: by name; texts are converted to the option's type.
        file: a YAML file of the user's own, or None.
        experiment_options: of an experiment: they beat the preset and yield to the user's own.

    Raises:
        UserError: for an unknown preset, file, option or value; one line says what is allowed.
    """
    if preset not in PRESETS:
        raise UserError(f"preset={preset!r}: allowed are {', '.join(PRESETS)}")
    values = yaml.safe_load((_PRESET_FOLDER / "common.yaml").read_text())
    values |= yaml.safe_load((_PRESET_FOLDER / f"{preset}.yaml").read_text())
    values |= dict(experiment_options or {})
    values |= read_options(file) if file else {}
    values |= dict(options)
    return Config(**{name: parse(name, value) for name, value in values.items()})


def option_names() -> tuple[str, ...]:
    """Names of all options, in the order of the class."""
    return tuple(_fields())


def option_help(name: str) -> str:
    """One line on an option: its type, what it does, what is allowed."""
    field = _fields()[name]
    return f"{field.metadata['help']} [{requirement(field)}]"


def parse(name: str, value: Any) -> Any:
    """Convert a value from YAML or the command line to the option's type.

    Raises:
        UserError: for an unknown option or a value that does not convert.
    """
    if name not in _fields():
        close = difflib.get_close_matches(name, option_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else "see `python -m mlproject main --help` for all"
        raise UserError(f"{name}={to_text(value)}: there is no option {name}; {hint}")
    return convert(_fields()[name], value)


def _fields() -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(Config)}
