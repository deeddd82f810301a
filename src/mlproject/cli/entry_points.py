"""The entry points: their names, their parameters, and the options that make a difference to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.config import groups
from mlproject.config.schema import PRESETS, Config
from mlproject.config.search_options import SearchOptions
from mlproject.cures.options import RewardOptions
from mlproject.errors import UserError
from mlproject.optimization import METHODS
from mlproject.options.commented_yaml import commented_yaml
from mlproject.options.declaration import Options
from mlproject.options.series import parse_series
from mlproject.rewards.source import FORMS

DEFAULT_PRESET = "laptop"


@dataclass(frozen=True)
class Parameter:
    """A parameter of an entry point besides the options of the configuration.

    Attributes:
        name: its name on the command line and in MLproject.
        help: one line.
        default: its default, as text; None if it must be given.
        is_switch: whether `--name` alone means `--name true`.
    """

    name: str
    help: str
    default: str | None
    is_switch: bool = False


@dataclass(frozen=True)
class EntryPoint:
    """Something a user runs: `mlflow run . -e NAME`, `python -m mlproject NAME`.

    Attributes:
        name: its name, and that of its function in `mlproject.cli.commands`.
        help: one line.
        parameters: those besides `preset`, `config` and the options.
        groups: options that make a difference to it, listed by its `--help`. Any other option is accepted too.
        options: single options that do, of groups of which others do not.
        text: what it prints, if that is all it does; from the configuration and the name of the preset.
        implied: options that follow from its parameters; the user's file and options override them.
    """

    name: str
    help: str
    parameters: tuple[Parameter, ...] = ()
    groups: tuple[type[Options], ...] = (Config,)
    options: tuple[str, ...] = ()
    text: Callable[[Config, str], str] | None = None
    implied: Callable[[Mapping[str, str]], Mapping[str, Any]] | None = None

    @property
    def searches(self) -> bool:
        """Whether it runs trials of a search."""
        return any(issubclass(group, SearchOptions) for group in self.groups)

    @property
    def executes_steps(self) -> bool:
        """Whether it trains or measures anything that the store does not have yet."""
        return any(issubclass(group, groups.ExecutionOptions) for group in self.groups)


PRESET = Parameter("preset", f"one of {', '.join(PRESETS)}", DEFAULT_PRESET)
CONFIG = Parameter("config", "YAML file with lines `option: value`, which override the preset", "")

_PROXY_FORMS = (
    f"a size (trained if necessary), a checkpoint (./FOLDER or OWNER/NAME), {FORMS}, a run id, or models:/NAME@ALIAS"
)
_PROXY = Parameter("proxy", f"proxy RM: {_PROXY_FORMS}", None)
_FORECAST_PRIOR = Parameter(
    "forecast_prior", "law run (its run id, or `latest`) whose curves give the forecast its prior", ""
)

SAMPLES = (
    Parameter("columns", "columns by meaning: prompt=NAME,response=NAME,gold=NAME,logprob=NAME; the rest by name", ""),
    Parameter("rms", "columns of the reward models, separated by commas; empty: all other columns of scores", ""),
    Parameter("min_samples", "prompts with fewer responses are left out; empty: half the median", ""),
    Parameter("n_max", "largest n; empty: the smallest number of responses of a prompt", ""),
    Parameter("duplicates", "keep or drop responses that repeat another of their prompt", "keep"),
)
"""What the user may choose about a table of scored samples."""
RM = Parameter("rm", "checkpoint of a column of samples, so that it can be registered: COLUMN=CHECKPOINT,...", "")

_TRACKING = (groups.TrackingOptions,)
_EXECUTION = (*_TRACKING, groups.ExecutionOptions)
_TRAINING = (groups.WorldOptions, groups.PolicyOptions, groups.GoldOptions, groups.ProxyOptions, RewardOptions)
_CURVE = (*_TRAINING, groups.AuxiliaryOptions, groups.CurveOptions)
_METHODS = tuple(method.config_class for method in METHODS.values())
_SEARCH = (*_CURVE, *_METHODS, SearchOptions, *_EXECUTION)


def _configuration_file(config: Config, preset: str) -> str:
    header = f"""\
Configuration of mlproject: preset {preset}, and the options on the command line.
Edit it and run: python -m mlproject main --config FILE, or mlflow run . --env-manager local -P config=FILE
An option on the command line overrides this file. Options that you delete here get their value from the preset."""
    return commented_yaml(config, header)


def _of_series(arguments: Mapping[str, str]) -> Mapping[str, Any]:
    """Checkpoints are the user's, and the first of them is the initial policy unless another one is given."""
    try:
        first = parse_series(arguments["checkpoints"]).items[0].path
    except UserError:  # `early_checks` reports it
        first = arguments["checkpoints"]
    return {"world": "files", "policy": first}


ENTRY_POINTS: dict[str, EntryPoint] = {
    entry_point.name: entry_point
    for entry_point in (
        EntryPoint("main", "run a whole over-optimization study"),
        EntryPoint("proxy", "train one proxy reward model, of size rm_size", groups=(*_TRAINING, *_EXECUTION)),
        EntryPoint(
            "probe",
            "try a proxy RM for cheap hacks: stock phrases, padding, repetition, copied prompts, empty responses",
            (_PROXY,),
            (*_CURVE, *_EXECUTION),
        ),
        EntryPoint(
            "best_of_n",
            "optimize the policy against a proxy RM by best-of-n",
            (_PROXY,),
            (*_CURVE, METHODS["best-of-n"].config_class, *_EXECUTION),
        ),
        EntryPoint(
            "ppo",
            "optimize the policy against a proxy RM by PPO",
            (_PROXY, _FORECAST_PRIOR),
            (*_CURVE, METHODS["ppo"].config_class, groups.RoundOptions, *_EXECUTION),
        ),
        EntryPoint(
            "search", "search KL coefficient and RM size for the highest gold peak, with Optuna", groups=_SEARCH
        ),
        EntryPoint(
            "worker", "run trials of a search together with other workers, on any number of machines", groups=_SEARCH
        ),
        EntryPoint(
            "promote",
            "evaluate a proxy RM by the gates; if it passes all, it becomes champion, else exit code 3",
            (
                Parameter("proxy", f"candidate: {_PROXY_FORMS}; empty: the recommended one that passes", ""),
                Parameter("gates", "YAML file of gates; empty: model_registry/gates.yaml", ""),
                Parameter("dry_run", "true: report the result and leave the registry as it is", "false", True),
                Parameter(
                    "samples",
                    "table of scored samples, as `compare` reads it: the gates that it can answer are checked; proxy "
                    "is then the name of a column",
                    "",
                ),
                RM,
                *SAMPLES,
            ),
            (*_CURVE, *_METHODS, *_EXECUTION),
        ),
        EntryPoint(
            "rollback",
            "return the alias champion to the version that held it before",
            (Parameter("why", "the reason, recorded with the move", None),),
            _TRACKING,
        ),
        EntryPoint("history", "list every move of the alias champion: when, from, to, who, why", groups=_TRACKING),
        EntryPoint(
            "experiment",
            "measure a finding over a grid of policy runs, as described by a YAML file in experiments/",
            (
                Parameter("name", "one or several experiments, separated by commas, `all`, or a YAML file", None),
                Parameter("quick", "true: the experiment's small grid, with preset smoke", "false", True),
                Parameter("results", "folder in which curves and table are also kept", ""),
            ),
        ),
        EntryPoint(
            "fit",
            "fit law and forecast to a curve that was logged elsewhere",
            (
                Parameter(
                    "curve",
                    "log of a finished run: CSV (exports of W&B and TensorBoard too), Parquet, JSON, JSON Lines, "
                    "trainer_state.json, TensorBoard events, several with commas between, or the id of any MLflow run",
                    None,
                ),
                Parameter(
                    "columns", "columns or metrics by meaning: kl=NAME,gold=NAME,gold_se=,proxy=,step=,length=", ""
                ),
                Parameter(
                    "method",
                    f"what optimized the policy: {', '.join(METHODS)}, or the name of any training, whose law is RL's",
                    "ppo",
                ),
                Parameter("gold_sd", "standard deviation of the initial policy's gold scores; empty: 1", ""),
                Parameter("gold_start", "mean of those scores; empty: gold of the points at KL 0", ""),
                Parameter("kl_unit", "unit of KL, nats or bits; for KL per token give columns=length=NAME", "nats"),
            ),
            _TRACKING,
        ),
        EntryPoint(
            "compare",
            "compare reward models on responses that they have scored: which, how far to optimize, when to stop",
            (
                Parameter(
                    "samples",
                    "table of responses with gold and a column for each reward model: JSON Lines, CSV, TSV (.gz too), "
                    "Parquet, Arrow, a datasets folder; one row for each response, or lists for each prompt",
                    None,
                ),
                *SAMPLES,
            ),
            (groups.LawOptions, *_EXECUTION),
            ("bon_points", "bad_lines"),
        ),
        EntryPoint(
            "measure",
            "make one curve of a finished training, from checkpoints that it left",
            (
                Parameter(
                    "checkpoints",
                    "folder of checkpoints whose names end in their step (checkpoint-100), or a list PATH@STEP,...; "
                    "the first is the initial policy unless policy= names it",
                    None,
                ),
                _PROXY,
                Parameter("method", "what trained the policy, as a tag: grpo, dpo, ...", "rl"),
            ),
            (
                groups.WorldOptions,
                groups.PolicyOptions,
                groups.GoldOptions,
                groups.CurveOptions,
                groups.LawOptions,
                *_EXECUTION,
            ),
            implied=_of_series,
        ),
        EntryPoint(
            "findings",
            "write the findings page from kept results",
            (
                Parameter("results", "folder with kept results", "experiments/results"),
                Parameter("page", "file to write; figures go beside it", "docs/findings.md"),
            ),
            (),
        ),
        EntryPoint(
            "report",
            "write the report of a study again",
            (Parameter("study_run", "run id of the study", "latest"),),
            _TRACKING,
        ),
        EntryPoint(
            "config", "print the whole configuration as YAML with comments, ready to edit", text=_configuration_file
        ),
    )
}
