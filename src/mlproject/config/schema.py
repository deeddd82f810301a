"""The configuration: flat, frozen, typed and validated. Free of heavy imports, so that a mistake is reported at once.

An option on the command line overrides the user's file, which overrides the preset.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from mlproject.config import groups
from mlproject.config.rules import check_rules
from mlproject.config.search_options import AUTO, FIRST, SearchOptions
from mlproject.config.yaml_file import read_options
from mlproject.cures import parse_reward, written
from mlproject.cures.options import RewardOptions
from mlproject.errors import UserError
from mlproject.models.gold_source import GoldSource
from mlproject.optimization import METHODS, Method, MethodConfig
from mlproject.options.declaration import Options, shared_option
from mlproject.options.values import check, convert, requirement, to_text
from mlproject.worlds import WORLDS, WorldSpec

PRESETS = ("smoke", "laptop", "overnight", "gpu")
_PRESET_FOLDER = Path(__file__).parent / "presets"

MethodConfigT = TypeVar("MethodConfigT", bound=MethodConfig)


def _options_of(method: Method) -> type[Options]:
    """The options of a method and nothing else of its class."""
    group = method.config_class
    options = [(o.name, o.type, shared_option(group, o.name)) for o in dataclasses.fields(group)]
    namespace = {"HEADING": group.HEADING or method.title}
    return make_dataclass(group.__name__, options, bases=(Options,), namespace=namespace, frozen=True, kw_only=True)


if TYPE_CHECKING:

    class _MethodOptions(Options):
        """The options of all methods; `Config.of` reads them with their types."""
else:
    _MethodOptions = type("_MethodOptions", tuple(map(_options_of, METHODS.values())), {})


@dataclass(frozen=True, kw_only=True)
class Config(
    groups.WorldOptions,
    groups.PolicyOptions,
    groups.GoldOptions,
    groups.ProxyOptions,
    groups.FunctionOptions,
    RewardOptions,
    groups.AuxiliaryOptions,
    groups.CurveOptions,
    _MethodOptions,
    groups.RoundOptions,
    groups.LawOptions,
    SearchOptions,
    groups.TrackingOptions,
    groups.ExecutionOptions,
):
    """Every option there is. Options without a default get their value from the preset.

    Raises:
        UserError: for a value that is not allowed, or values that do not go together.

    Examples:
        >>> from mlproject import Config, load_config
        >>> config = load_config("smoke", {})
        >>> isinstance(config, Config), config.replace(seed=3).seed
        (True, 3)
        >>> config.of_method("best-of-n")
        BestOfNConfig(bon_n_max=16, bon_points=12)
    """

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            check(option, getattr(self, option.name))
        object.__setattr__(self, "reward", written(parse_reward(self.reward)))  # one spelling, since it names runs
        object.__setattr__(self, "search_rewards", tuple(written(parse_reward(text)) for text in self.search_rewards))
        check_rules(self)

    @property
    def world_spec(self) -> WorldSpec:
        """The registered world that `world` names."""
        return WORLDS[self.world]

    @property
    def gold_source(self) -> GoldSource:
        """What `gold` says plays the ground truth."""
        return GoldSource.parse(self.gold)

    @property
    def policy_checkpoint(self) -> str:
        """Checkpoint of the initial policy, also where a server samples from it."""
        return self.policy_weights or self.policy

    @property
    def policy_server(self) -> str:
        """Address of the server that samples from the initial policy; empty where this project does."""
        return self.policy if self.policy_weights else ""

    @property
    def searched_method(self) -> str:
        """The method whose curves are searched."""
        if self.search_method != AUTO:
            return self.search_method
        return FIRST if FIRST in self.methods else self.methods[0]

    def select(self, *names: str) -> dict[str, Any]:
        """Some of the options, by name."""
        return {name: getattr(self, name) for name in names}

    def changed(self, *names: str) -> dict[str, Any]:
        """Those of some options that differ from their default, by name."""
        return {name: value for name, value in self.select(*names).items() if value != _fields()[name].default}

    def of(self, config_class: type[MethodConfigT]) -> MethodConfigT:
        """The options of a method, by the class that declares them."""
        return config_class(**self.select(*config_class.names()))

    def of_method(self, method: str) -> MethodConfig:
        """The options of a registered method."""
        return self.of(METHODS[method].config_class)

    def replace(self, **changes: Any) -> Config:
        """A copy with some options changed, validated again."""
        return dataclasses.replace(self, **changes)


def load_config(
    preset: str,
    options: Mapping[str, Any],
    file: str | None = None,
    experiment_options: Mapping[str, Any] | None = None,
) -> Config:
    """Combine a preset, the user's file and options.

    Args:
        preset: name of a preset.
        options: values by name, as on the command line; texts are converted to the option's type.
        file: path of a YAML file with lines `option: value`, or None.
        experiment_options: those of an experiment: they override the preset; `file` and `options` override them.

    Raises:
        UserError: for an unknown preset, an unreadable file, an unknown option or a value that is not allowed.

    Examples:
        >>> from mlproject import load_config
        >>> config = load_config("laptop", {"kl_coef": "0.1", "rm_sizes": "3k,25k"})  # texts, as on the command line
        >>> config.kl_coef, config.rm_sizes, config.ppo_updates
        (0.1, ('3k', '25k'), 30)
    """
    if preset not in PRESETS:
        raise UserError(f"preset={preset}: must be one of {', '.join(PRESETS)}.")
    values = yaml.safe_load((_PRESET_FOLDER / "common.yaml").read_text())
    values |= yaml.safe_load((_PRESET_FOLDER / f"{preset}.yaml").read_text())
    values |= dict(experiment_options or {})
    values |= read_options(file) if file else {}
    values |= dict(options)
    return Config(**{name: parse(name, value) for name, value in values.items()})


def option_names() -> tuple[str, ...]:
    """Names of all options."""
    return tuple(_fields())


def option_help(name: str) -> str:
    """One line on an option: what it does, and what its value must be."""
    field = _fields()[name]
    return f"{field.metadata['help']} [{requirement(field)}]"


def parse(name: str, value: Any) -> Any:
    """Convert a value from YAML or the command line to the option's type.

    Raises:
        UserError: for an unknown option or a value that does not convert.
    """
    if name not in _fields():
        close = difflib.get_close_matches(name, option_names(), n=1)
        hint = f"Did you mean {close[0]}?" if close else "See `python -m mlproject main --help` for all options."
        raise UserError(f"{name}={to_text(value)}: {name} is not an option. {hint}")
    return convert(_fields()[name], value)


def _fields() -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(Config)}
