"""Reads and writes a reward that is no model among a run's artifacts, and says what was asked of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlproject.config.schema import Config
from mlproject.cures.scorers import parts_of
from mlproject.errors import UserError
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import FunctionScorer, Scorer
from mlproject.names import Artifact, GoldKind, MetricPrefix
from mlproject.rewards.functions import is_trl_function, load_function
from mlproject.rewards.loading import Rows, load_reward
from mlproject.rewards.options import CallOptions
from mlproject.rewards.source import RewardSource
from mlproject.strict_json import strict_json
from mlproject.worlds.files.messages import prompt_of
from mlproject.worlds.files.snapshot import path_and_digest
from mlproject.worlds.files.sources import read_rows


def reward_source(config: Config, name: str) -> RewardSource:
    """A reward that is no model, in the version that the configuration names."""
    return RewardSource(name, config.scorer_version)


def reward_params(config: Config, name: str) -> dict[str, Any]:
    """Parameters of the step that imports it: what identifies it, and the file with the columns that it takes.

    Raises:
        UserError: if there is no such function, or no such file.
    """
    source = reward_source(config, name)
    params: dict[str, Any] = dict(source.params)
    path = config.scorer_columns or config.prompts
    if path and source.kind == GoldKind.FUNCTION and is_trl_function(load_function(name)):
        params |= {f"columns_{key}": value for key, value in path_and_digest(path).items()}
        params["prompt_field"] = config.prompt_field
    return params


def import_reward(
    params: Mapping[str, Any], name: str, prompt_format: PromptFormat, folder: Path, options: CallOptions
) -> FunctionScorer:
    """A reward that is no model in raw units, by a step's parameters; the columns that it takes become an artifact.

    Args:
        params: see `reward_params`.
        name: function or address.
        prompt_format: of the policy whose responses are scored.
        folder: of the step's artifacts.
        options: how it is called.

    Raises:
        UserError: if its code has changed since the step was planned.
    """
    source = RewardSource(name, params.get("scorer_version", ""))
    _check_unchanged(source, {key: params[key] for key in source.params if key in params})
    rows = _read_columns(params["columns_path"], params["prompt_field"]) if "columns_path" in params else []
    if rows:
        (folder / Artifact.SCORER_COLUMNS).write_text("\n".join(strict_json(row, default=str) for row in rows))
    return load_reward(source, prompt_format, options, rows)


def save_reward(scorer: FunctionScorer, folder: Path) -> None:
    """Write name, identity and units of a scorer."""
    content = {"function": scorer.name, "centre": scorer.centre, "scale": scorer.scale, **scorer.identity}
    (folder / Artifact.SCORER_FUNCTION).write_text(strict_json(content))


def load_saved_reward(folder: Path, prompt_format: PromptFormat, options: CallOptions) -> FunctionScorer:
    """Read what `save_reward` wrote.

    Raises:
        UserError: if the code of the function has changed since.
    """
    saved = json.loads((folder / Artifact.SCORER_FUNCTION).read_text())
    source = RewardSource(saved["function"], saved.get("scorer_version", ""))
    _check_unchanged(source, {key: saved[key] for key in source.params if key in saved})  # 0.1 wrote no digest
    path = folder / Artifact.SCORER_COLUMNS
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return load_reward(source, prompt_format, options, rows).with_units(saved["centre"], saved["scale"])


def usage_metrics(scorers: Mapping[str, Scorer]) -> dict[str, float]:
    """What was asked of those scorers that are functions or services, by role: metrics of a run."""
    return {
        f"{MetricPrefix.SCORER}{role}_{name}": float(value)
        for role, scorer in scorers.items()
        for part in parts_of(scorer)
        if isinstance(part, FunctionScorer) and part.usage.responses
        for name, value in vars(part.usage).items()
    }


def _check_unchanged(source: RewardSource, known: Mapping[str, Any]) -> None:
    if any(source.params[key] != value for key, value in known.items()):
        raise UserError(
            f"{source.name}: its code has changed since its scores were put on gold's scale. Run the command again "
            "with its name in place of a run id, or undo the change."
        )


def _read_columns(path: str, field: str) -> Rows:
    rows = []
    for row in read_rows(Path(path), "scorer_columns"):
        try:
            prompt = prompt_of(field, row.value(field), row.system)
        except ValueError:  # reported, or skipped, where the prompts are read
            continue
        rows.append({**{name: value for name, value in row.values.items() if name != field}, "prompt": prompt})
    names = {name for row in rows for name in row}
    return [{name: row.get(name) for name in sorted(names)} for row in rows]
