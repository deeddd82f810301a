"""The configuration: flat, frozen, typed and validated. Free of heavy imports, so a mistake is told at once.

An option given on the command line beats the user's own file, which beats the preset.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from mlproject.errors import UserError
from mlproject.models.sizes import POLICY_SIZES, SIZES
from mlproject.optimization import METHODS, STOPS
from mlproject.preferences import LABELS
from mlproject.worlds import WORLDS

PRESETS = ("smoke", "laptop", "overnight")
_PRESET_FOLDER = Path(__file__).parent / "presets"


def _option(
    help: str,
    *,
    default: Any = dataclasses.MISSING,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    metadata = {"help": help, "least": least, "most": most, "choices": choices}
    return field(metadata=metadata) if default is dataclasses.MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every option there is. Those without a default here get their value from the preset."""

    # Where things go
    experiment: str = _option(
        "name of the MLflow experiment; its models and studies stand in <name>/models, <name>/studies"
    )
    registered_model: str = _option("name under which reward models are registered")
    storage: str = _option("Optuna storage URL; empty: optuna.db beside the SQLite tracking store")
    workers: int = _option("processes that work side by side; 0: one for each core", least=0, most=256)
    mixed_precision: str = _option("precision of training under accelerate", choices=("no", "bf16", "fp16"))

    # The world and its initial policy
    world: str = _option("where prompts and judgement come from", choices=WORLDS)
    world_seed: int = _option("moves corpus, initial policy, gold RM and comparisons", least=0)
    policy_size: str = _option("size of the policy", choices=POLICY_SIZES)
    rm_policy_size: str = _option(
        "size of the policy whose responses gold RM and proxies learn from; same: policy_size",
        choices=("same", *POLICY_SIZES),
    )
    sft_examples: int = _option("responses in the corpus of the initial policy", least=64)
    sft_epochs: float = _option("passes of the initial policy over its corpus", least=0.01, most=1000)
    sft_batch_size: int = _option("examples per step of the initial policy", least=1)
    sft_lr: float = _option(
        "learning rate of the initial policy at width 64 (in inverse proportion to the width)",
        least=1e-8,
        most=1,
    )

    # The gold reward model
    gold_size: str = _option("size of the gold RM, at least the largest proxy's", choices=tuple(SIZES))
    gold_comparisons: int = _option("human-labelled comparisons that the gold RM learns from", least=64, most=1_000_000)
    gold_epochs: float = _option("passes of the gold RM over its comparisons", least=0.01, most=1000)
    gold_batch_size: int = _option("comparisons per step of the gold RM", least=1)
    gold_lr: float = _option("learning rate of the gold RM at width 64", least=1e-8, most=1)

    # Comparisons and proxy reward models
    n_comparisons: int = _option("gold-labelled comparisons; a tenth is held out", least=64, most=1_000_000)
    labels: str = _option(
        "the higher gold score decides (hard), or a coin with probability sigmoid(gold difference) (sampled)",
        choices=LABELS,
    )
    label_noise: float = _option("share of the training labels that are flipped", least=0, most=0.5)
    rm_sizes: tuple[str, ...] = _option("sizes of the study's proxy RMs", choices=tuple(SIZES))
    rm_size: str = _option("size of the one proxy RM of `proxy`", choices=tuple(SIZES))
    rm_epochs: float = _option("passes of a proxy RM over its comparisons", least=0.01, most=1000)
    rm_batch_size: int = _option("comparisons per step of a proxy RM", least=1)
    rm_lr: float = _option("learning rate of a proxy RM at width 64", least=1e-8, most=1)
    seeds: tuple[int, ...] = _option("seeds of the study: each moves proxy training and policy optimization", least=0)
    seed: int = _option("the seed of `proxy`, `best_of_n`, `ppo` and `search`", least=0)

    # Curves
    methods: tuple[str, ...] = _option("ways to optimize the policy in the study", choices=tuple(METHODS))
    curve_prompts: int = _option("held-out prompts on which every curve point is measured", least=4, most=4000)
    pool_samples: int = _option("samples per curve prompt in the best-of-n pool (N)", least=4)
    bon_n_max: int = _option("largest n of best-of-n; at most pool_samples / 4 keeps the estimate steady", least=2)
    bon_points: int = _option("points of a best-of-n curve", least=4, most=1000)
    rounds: int = _option("rounds of comparisons from the policy, a new proxy, optimization", least=1, most=20)
    rounds_from: str = _option("where the policy of each round starts", choices=("current", "initial"))
    rounds_data: str = _option("comparisons that a round's proxy learns from", choices=("last", "all"))
    kl_coef: float = _option("KL penalty of PPO, gold standard deviations per nat", least=0, most=100)
    ppo_updates: int = _option("updates of a PPO run", least=1)
    ppo_batch_size: int = _option("rollouts per update", least=2)
    ppo_epochs: int = _option("passes over the rollouts of an update", least=1, most=100)
    ppo_minibatches: int = _option("gradient steps per pass", least=1)
    ppo_lr: float = _option("learning rate of the policy", least=1e-9, most=1)
    ppo_value_lr: float = _option("learning rate of the value head", least=1e-9, most=1)
    ppo_clip: float = _option("clip range of the probability ratio", least=0.001, most=10)
    ppo_gae_lambda: float = _option("lambda of generalized advantage estimation", least=0, most=1)
    ppo_eval_first: int = _option("updates at the beginning of a run that are all measured", least=0)
    ppo_eval_every: int = _option("updates between two curve points after these", least=1)
    stop: str = _option("when a PPO run ends: at its budget, or once the forecast says so", choices=STOPS)
    eval_samples: int = _option("responses per curve prompt at each point of a policy's curve", least=1, most=1000)
    bootstrap: int = _option("resamplings of the prompts for the intervals of the laws", least=10, most=1_000_000)

    # The search
    study: str = _option("name of the Optuna study")
    n_trials: int = _option("trials of the search in total, over all its restarts", least=0)
    search_kl_coefs: tuple[float, ...] = _option("ordered grid of KL coefficients", least=0, most=100)
    search_rm_sizes: tuple[str, ...] = _option("ordered grid of RM sizes", choices=tuple(SIZES))
    search_batch: int = _option("trials proposed at a time", least=1, most=64)

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            _check(option, getattr(self, option.name))
        self._check_together()

    def _check_together(self) -> None:
        largest = max((*self.rm_sizes, *self.search_rm_sizes, self.rm_size), key=_parameters)
        for name, wrong, allowed in (
            (
                "gold_size",
                _parameters(self.gold_size) < _parameters(largest),
                f"at least the largest proxy, {largest}",
            ),
            ("bon_n_max", self.bon_n_max > self.pool_samples, f"at most pool_samples={self.pool_samples}"),
            (
                "ppo_minibatches",
                self.ppo_minibatches > self.ppo_batch_size,
                f"at most ppo_batch_size={self.ppo_batch_size}",
            ),
            (
                "ppo_eval_every",
                self.ppo_eval_every > self.ppo_updates,
                f"at most ppo_updates={self.ppo_updates}",
            ),
            (
                "search_kl_coefs",
                list(self.search_kl_coefs) != sorted(set(self.search_kl_coefs)),
                "increasing values",
            ),
            (
                "search_rm_sizes",
                list(self.search_rm_sizes) != sorted(self.search_rm_sizes, key=_parameters),
                "increasing sizes",
            ),
            ("experiment", not self.experiment.strip() or "/" in self.experiment, "a name without '/'"),
            (
                "registered_model",
                not self.registered_model or set(self.registered_model) & set("/:."),
                "a name without '/', ':' or '.'",
            ),
            ("study", not self.study.strip(), "a name"),
        ):
            if wrong:
                raise UserError(f"{name}={_shown(getattr(self, name))}: allowed is {allowed}; change one of them")

    def select(self, *names: str) -> dict[str, Any]:
        """Some of the options, by name."""
        return {name: getattr(self, name) for name in names}

    def replace(self, **changes: Any) -> Config:
        """The same configuration with some options changed, validated again."""
        return dataclasses.replace(self, **changes)


def load_config(
    preset: str, given: Mapping[str, Any], file: str | None = None, options: Mapping[str, Any] | None = None
) -> Config:
    """Put preset, the user's file and given options together.

    Args:
        preset: name of a preset.
        given: options by name; texts are converted to the option's type.
        file: a YAML file of the user's own, or None.
        options: of an experiment: they beat the preset and yield to the user's own.

    Raises:
        UserError: for an unknown preset, file, option or value; one line says what is allowed.
    """
    if preset not in PRESETS:
        raise UserError(f"preset={preset!r}: allowed are {', '.join(PRESETS)}")
    values = yaml.safe_load((_PRESET_FOLDER / "common.yaml").read_text())
    values |= yaml.safe_load((_PRESET_FOLDER / f"{preset}.yaml").read_text())
    values |= dict(options or {})
    values |= _read_file(file) if file else {}
    values |= dict(given)
    return Config(**{name: parse(name, value) for name, value in values.items()})


def option_names() -> tuple[str, ...]:
    """Names of all options, in the order of the class."""
    return tuple(option.name for option in dataclasses.fields(Config))


def option_help(name: str) -> str:
    """One line on an option: its type, what it does, what is allowed."""
    option = _fields()[name]
    return f"{option.metadata['help']} [{_allowed(option)}]"


def parse(name: str, value: Any) -> Any:
    """Convert a value from YAML or the command line to the option's type.

    Raises:
        UserError: for an unknown option or a value that does not convert.
    """
    if name not in _fields():
        close = difflib.get_close_matches(name, option_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else "see `python -m mlproject main --help` for all"
        raise UserError(f"{name}={_shown(value)}: there is no option {name}; {hint}")
    option = _fields()[name]
    kind = _TYPES[name]
    if value is False and "no" in (option.metadata["choices"] or ()):
        value = "no"  # YAML reads a bare no as false
    try:
        if kind not in _TUPLES:
            return _scalar(kind, value)
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(_scalar(_TUPLES[kind], part.strip() if isinstance(part, str) else part) for part in parts)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"{name}={_shown(value)}: allowed is {_allowed(option)}") from None


def _scalar(kind: type, value: Any) -> Any:
    if value is None or isinstance(value, bool | dict | list):
        raise TypeError
    if kind is int:
        if isinstance(value, str):
            return int(value)
        if value != int(value):
            raise ValueError
    return kind(value)


def _check(option: dataclasses.Field, value: Any) -> None:
    items = value if isinstance(value, tuple) else (value,)
    meta = option.metadata
    refused = (
        not items
        or len(set(items)) != len(items)
        or any(isinstance(item, float) and not math.isfinite(item) for item in items)
        or (meta["choices"] and any(item not in meta["choices"] for item in items))
        or (meta["least"] is not None and any(item < meta["least"] for item in items))
        or (meta["most"] is not None and any(item > meta["most"] for item in items))
    )
    if refused:
        raise UserError(f"{option.name}={_shown(value)}: allowed is {_allowed(option)}")


def _allowed(option: dataclasses.Field) -> str:
    meta, kind = option.metadata, _TYPES[option.name]
    item = _TUPLES.get(kind, kind)
    words = {int: "a whole number", float: "a number", str: "a text"}[item]
    if meta["choices"]:
        words = "one of " + ", ".join(meta["choices"])
    elif meta["least"] is not None and meta["most"] is not None:
        words += f" from {meta['least']:g} to {meta['most']:g}"
    elif meta["least"] is not None:
        words += f" of at least {meta['least']:g}"
    return f"a comma-separated list without repeats, each {words}" if kind in _TUPLES else words


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _parameters(size: str) -> int:
    return SIZES[size].reward_model_parameters


def _read_file(path: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(path).expanduser().read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"config={path}: cannot be read ({reason}); give the path of a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise UserError(f"config={path}: is not valid YAML{where}; give lines of the form `option: value`") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"config={path}: holds a {type(content).__name__}; give lines of the form `option: value`")
    return {str(name): value for name, value in content.items()}


def _fields() -> dict[str, dataclasses.Field]:
    return {option.name: option for option in dataclasses.fields(Config)}


_TYPES: dict[str, Any] = get_type_hints(Config)
_TUPLES: dict[Any, type] = {tuple[str, ...]: str, tuple[int, ...]: int, tuple[float, ...]: float}
