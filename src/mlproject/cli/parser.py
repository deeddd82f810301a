"""Entry points, their parameters and their help. Imports nothing heavy: `--help` and a mistake are answered at once."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlproject.config.schema import PRESETS, Config, load_config, option_help, option_names
from mlproject.errors import UserError

DEFAULT_PRESET = "laptop"


@dataclass(frozen=True)
class Parameter:
    """A parameter of an entry point besides the options of the configuration.

    Attributes:
        name, help: for people.
        default: text; None where it must be given.
    """

    name: str
    help: str
    default: str | None


@dataclass(frozen=True)
class EntryPoint:
    """Something a user runs: `mlflow run . -e NAME`, `python -m mlproject NAME`.

    Attributes:
        name: also of the function in `mlproject.cli.commands`.
        help: one line.
        parameters: in addition to preset, config and all options.
    """

    name: str
    help: str
    parameters: tuple[Parameter, ...] = ()


PRESET = Parameter("preset", f"one of {', '.join(PRESETS)}", DEFAULT_PRESET)
CONFIG = Parameter("config", "YAML file of your own, `option: value` a line; it beats the preset", "")
_PROXY_FORMS = "a size (trained if need be), a checkpoint (./FOLDER or OWNER/NAME), a run id, or models:/NAME@ALIAS"
_PROXY = Parameter("proxy", f"proxy RM: {_PROXY_FORMS}", None)

_FORECAST_PRIOR = Parameter(
    "forecast_prior", "law run (its run id, or `latest`) from whose curves the forecast starts", ""
)

ENTRY_POINTS: dict[str, EntryPoint] = {
    entry.name: entry
    for entry in (
        EntryPoint("main", "carry out a whole over-optimization study"),
        EntryPoint("proxy", "train one proxy reward model, of size rm_size"),
        EntryPoint("best_of_n", "optimize the policy against a proxy by best-of-n", (_PROXY,)),
        EntryPoint("ppo", "optimize the policy against a proxy by PPO", (_PROXY, _FORECAST_PRIOR)),
        EntryPoint("search", "search KL coefficient and RM size for the highest peak gold, with Optuna"),
        EntryPoint("worker", "carry out trials of a search together with other workers, on any number of machines"),
        EntryPoint(
            "promote",
            "judge a proxy RM by the gates; it becomes champion if it passes all, else exit code 3",
            (
                Parameter("proxy", f"candidate: {_PROXY_FORMS}; empty: the highest peak that passes", ""),
                Parameter("gates", "YAML file of gates; empty: model_registry/gates.yaml of this project", ""),
                Parameter("dry_run", "true: say what would happen, and change nothing in the registry", "false"),
            ),
        ),
        EntryPoint(
            "rollback",
            "give the alias champion back to the version that had it before",
            (Parameter("why", "the reason, kept with the move", None),),
        ),
        EntryPoint("history", "list every move of the alias champion: when, from, to, who, why"),
        EntryPoint(
            "experiment",
            "measure one finding over a grid of policy runs, as a YAML file in experiments/ says",
            (
                Parameter("name", "experiment (or several, by commas), `all`, or the path of a YAML file", None),
                Parameter("quick", "true: its small grid in preset smoke", "false"),
                Parameter("results", "folder in which curves and table are kept besides", ""),
            ),
        ),
        EntryPoint(
            "fit",
            "fit law and forecast to a curve that was logged elsewhere",
            (
                Parameter("curve", "CSV, TSV or Parquet file, or the id of any MLflow run", None),
                Parameter("columns", "which column or metric is what: kl=NAME,gold=NAME,gold_se=NAME,...", ""),
                Parameter("method", "what optimized the policy: ppo (any RL) or best-of-n", "ppo"),
                Parameter("gold_sd", "standard deviation of the initial policy's gold scores", "1"),
                Parameter("gold_start", "their mean; empty: gold of the points at KL 0", ""),
            ),
        ),
        EntryPoint(
            "findings",
            "write the findings page from kept results",
            (
                Parameter("results", "folder with kept results", "experiments/results"),
                Parameter("page", "file to write; figures lie beside it", "docs/findings.md"),
            ),
        ),
        EntryPoint(
            "report",
            "write the report of a study once more",
            (Parameter("study_run", "run id of the study", "latest"),),
        ),
    )
}


_SWITCHES = ("dry_run", "quick")
"""Parameters that may stand alone: `--dry-run` is `--dry_run true`."""


@dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        entry_point: what to run.
        config: preset, the user's file and the options given, put together.
        arguments: the entry point's own parameters.
        preset: its name.
        options: options of the configuration on the command line, as texts.
    """

    entry_point: EntryPoint
    config: Config
    arguments: dict[str, str]
    preset: str
    options: dict[str, str] = field(default_factory=dict)

    def configure(self, preset: str, experiment_options: Mapping[str, Any]) -> Config:
        """The configuration once more, from another preset, or with options between preset and the user's own."""
        return load_config(preset, self.options, self.arguments["config"] or None, experiment_options)


def parse_command_line(words: Sequence[str]) -> Command | None:
    """Read `ENTRY_POINT --name value --name=value ...`.

    Returns:
        the command; None where help was asked for (and printed).

    Raises:
        UserError: one line naming what was given and what is allowed.
    """
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return None
    name, *rest = words
    if name not in ENTRY_POINTS:
        close = difflib.get_close_matches(name, ENTRY_POINTS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"entry point {name!r}: allowed are {', '.join(ENTRY_POINTS)}{hint}")
    entry = ENTRY_POINTS[name]
    if "-h" in rest or "--help" in rest:
        print(entry_help(entry))
        return None
    options = _pairs(rest)
    arguments: dict[str, str] = {}
    for parameter in (PRESET, CONFIG, *entry.parameters):
        value = options.pop(parameter.name, parameter.default)
        is_required = parameter.default != ""
        if value is None or (value == "" and is_required):
            raise UserError(f"{parameter.name}: {entry.name} needs it; give --{parameter.name} VALUE")
        arguments[parameter.name] = value
    preset = arguments["preset"]
    return Command(entry, load_config(preset, options, arguments["config"] or None), arguments, preset, options)


def overview() -> str:
    """Help on all entry points."""
    lines = [f"  {entry.name:<10} {entry.help}" for entry in ENTRY_POINTS.values()]
    return "\n".join(
        [
            "usage: python -m mlproject ENTRY_POINT [--option value ...]",
            "   or: mlflow run . --env-manager local -e ENTRY_POINT [-P option=value ...]",
            "",
            "Measures over-optimization of reward models, every run tracked in MLflow.",
            "",
            *lines,
            "",
            "`python -m mlproject ENTRY_POINT --help` lists the options.",
        ]
    )


def entry_help(entry: EntryPoint) -> str:
    """Help on one entry point: its parameters, then every option of the configuration."""
    lines = [
        f"usage: python -m mlproject {entry.name} [--option value ...]",
        "",
        f"{entry.name}: {entry.help}",
        "",
    ]
    for parameter in (*entry.parameters, PRESET, CONFIG):
        default = "required" if parameter.default is None else f"default: {parameter.default or 'none'}"
        lines += _item(parameter.name, f"{parameter.help} ({default})")
    lines += ["", "Options; where none is given, the config file and then the preset decide:"]
    for option in option_names():
        lines += _item(option, option_help(option))
    return "\n".join(lines)


def _item(name: str, text: str) -> list[str]:
    first, *more = textwrap.wrap(text, 84)
    return [f"  --{name:<19} {first}", *(" " * 24 + line for line in more)]


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise UserError(f"{word!r}: options have the form --name value; see --help")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if name.replace("-", "_") in _SWITCHES and (not rest or rest[0].startswith("--")):
                rest.insert(0, "true")
            if not rest:
                raise UserError(f"--{name}: has no value; give --{name} VALUE")
            value = rest.pop(0)
        name = name.replace("-", "_")
        if name in pairs:
            raise UserError(f"--{name}: given twice; give it once")
        pairs[name] = value
    return pairs
