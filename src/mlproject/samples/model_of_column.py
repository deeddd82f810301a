"""Kind `proxy-rm`, imported: the reward model that gave the scores of a column of a table of scored samples.

A column is no model. The model is checked by scoring responses of the table again, and put on the table's gold scale.

Axis letters: P prompts, B responses.
"""

from __future__ import annotations

import re

import numpy as np

from mlproject.curve import Array
from mlproject.errors import UserError, located
from mlproject.models.checkpoints import CheckpointInfo, load_reward_checkpoint, prompt_format_of
from mlproject.models.inspection import inspect_reward_model
from mlproject.models.prompt_format import Responses
from mlproject.models.reward_model import RewardModel, content_hash
from mlproject.models.scorers import TextRewardModel, rated
from mlproject.names import GoldKind, Kind, Metric, Role, Tag
from mlproject.options.columns import hint, listed
from mlproject.pipeline.loading import new_accelerator, save_scorer
from mlproject.pipeline.step import Run, Step
from mlproject.samples.curves import GoldUnits, pairs_of
from mlproject.samples.steps import agreement
from mlproject.samples.stored import StoredPool, load_pool

SAME = 0.99
"""Correlation of a model's scores with a column from which on the column is taken for the model's: other precision and
batches move scores by far less, another model by more."""


def parse_models(text: str, rms: list[str]) -> dict[str, str]:
    """Parse `rm=NAME=PATH,NAME=PATH`; a column's name may itself contain commas and equals signs.

    Args:
        text: value of the option.
        rms: the columns that are reward models.

    Returns:
        checkpoint (a folder, or OWNER/NAME on the hub) by column.

    Raises:
        UserError: for another form, or a column that is no reward model.
    """
    models: dict[str, str] = {}
    known = "|".join(re.escape(rm) for rm in sorted(rms, key=len, reverse=True))
    for part in re.split(rf",(?=\s*(?:{known})\s*=)", text) if text else []:
        match = re.fullmatch(rf"\s*({known})\s*=(.*)", part)
        name, equals, path = (match[1], "=", match[2]) if match else part.strip().partition("=")
        if not equals or not path.strip():
            raise UserError(f"rm={text}: {part.strip()!r} must have the form COLUMN=CHECKPOINT.")
        if match is None:
            raise UserError(
                f"rm={text}: {name} must be a reward model of the table{hint(name, rms)}; these are {listed(rms)}. "
                "Correct the name."
            )
        if name in models:
            raise UserError(f"rm={text}: names {name} twice. Give it once.")
        models[name] = path.strip()
    return models


def model_of_column(samples: Step, column: str, checkpoint: str) -> Step:
    """The step that imports the reward model of a column.

    Args:
        samples: keeps the table.
        column: name of the column.
        checkpoint: folder, or OWNER/NAME on the hub.

    Raises:
        UserError: for a checkpoint that is no reward model.
    """
    info: CheckpointInfo = inspect_reward_model(checkpoint, f"rm={column}")
    return Step(
        name=f"proxy RM {info.name}",
        kind=Kind.PROXY_RM,
        version=info.step_version,
        params={"rm_size": column, "seed": 0, "rm_checkpoint": info.source, "rm_sha256": info.digest},
        inputs={Role.SCORED_SAMPLES: samples},
        inherited_params={"rm_params": info.parameters},
        tags={Tag.GOLD: GoldKind.COLUMN},
        fn=import_model,
    )


def import_model(run: Run) -> None:
    """Artifacts: `model/`, whose config.json holds centre and scale.

    Raises:
        UserError: where the model's scores are not those of the column.
    """
    column, checkpoint = run.params["rm_size"], run.params["rm_checkpoint"]
    option = f"rm={column}"
    stored = load_pool(run.input(Role.SCORED_SAMPLES), column)
    scores_B = stored.pool.scores[column]
    model, tokenizer = load_reward_checkpoint(inspect_reward_model(checkpoint, option), option)
    raw = TextRewardModel(RewardModel(model.to(new_accelerator().device)), prompt_format_of(tokenizer, model))
    slope, intercept = _line(stored, raw, column, f"{option}={checkpoint}")
    pairs = pairs_of(stored.pool, scores_B, GoldUnits.of(stored.pool.gold_B))
    metrics = agreement(pairs)
    run.log_params({"held_out": int(metrics[Metric.RM_PAIRS])})
    run.log_metrics(metrics)
    run.set_tags({Tag.WEIGHTS_SHA256: content_hash(model)})
    scorer = raw.with_units(slope * float(scores_B.mean()) + intercept, pairs.scale / slope)
    save_scorer(scorer, run.folder, raw.prompt_format)


def _line(stored: StoredPool, raw: TextRewardModel, column: str, given: str) -> tuple[float, float]:
    """Slope and intercept of the model's own scores over the column's, on responses that the table's run keeps."""
    starts_P = np.cumsum(stored.pool.counts_P) - stored.pool.counts_P
    kept = [
        (prompt, text, stored.pool.scores[column][start + position])
        for prompt, start, texts in zip(stored.pool.prompts, starts_P, stored.shown, strict=False)
        for position, text in texts.items()
    ]
    if not kept:
        raise UserError(
            f"{given}: needs the responses of the table, on which it is checked that {column} holds this model's "
            "scores. Add a column of responses."
        )
    prompts, texts, column_B = ([row[i] for row in kept] for i in range(3))
    with located("on responses of the table", "proxy"):
        encoded = Responses(prompts, raw.prompt_format.encode(prompts, texts), raw.prompt_format)
        own_B = rated(raw, encoded, "proxy")
    x_B: Array = np.array(column_B)
    correlation = float(np.corrcoef(x_B, own_B)[0, 1]) if x_B.std() and own_B.std() else 0.0
    if not correlation >= SAME:
        raise UserError(
            f"{given}: must be the model whose scores the column {column} holds, but its own scores of {len(kept)} "
            f"responses of the table correlate with them at {correlation:.2f}. Give that model, or the texts as it "
            "read them."
        )
    slope, intercept = np.polyfit(x_B, own_B, 1)
    return float(slope), float(intercept)
