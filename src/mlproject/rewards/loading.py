"""Makes a scorer of a reward that is no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlproject.errors import UserError
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import FunctionScorer
from mlproject.names import GoldKind
from mlproject.rewards.calls import CachedCalls, Usage
from mlproject.rewards.functions import ScoreFunction, is_trl_function, load_function, required_columns, takes
from mlproject.rewards.options import CallOptions
from mlproject.rewards.service import Service
from mlproject.rewards.source import RewardSource
from mlproject.rewards.trl_reward import trl_reward
from mlproject.strict_json import strict_json

Rows = Sequence[Mapping[str, Any]]
"""Rows of a user's data: `prompt` and further columns."""


def load_reward(
    source: RewardSource, prompt_format: PromptFormat, options: CallOptions, rows: Rows = ()
) -> FunctionScorer:
    """A function or a service as a scorer in raw units.

    Args:
        source: what it is called, and its version.
        prompt_format: of the policy whose responses are scored; a function in TRL's form gets messages where it has a
            chat template, and texts otherwise.
        options: batches, limits, cache.
        rows: the columns that a function in TRL's form takes beside prompts and completions.

    Raises:
        UserError: if there is no such function.
    """
    usage = Usage()
    identity = strict_json([source.params, [dict(row) for row in rows]], sort_keys=True, default=str)
    if source.kind == GoldKind.SERVICE:
        service = Service(source.name, options, usage)
        calls = CachedCalls(source.name, service, identity, options, limits_itself=True, usage=usage)
    else:
        function = score_function(load_function(source.name), prompt_format, rows)
        calls = CachedCalls(source.name, function, identity, options, usage=usage)
    return FunctionScorer(source.name, calls, identity=source.params)


def score_function(function: Callable[..., Any], prompt_format: PromptFormat, rows: Rows = ()) -> ScoreFunction:
    """A user's function as one of (prompts, responses), whether it has this form or TRL's.

    Raises:
        UserError: for a function in TRL's form that needs columns which there are not.
    """
    if not is_trl_function(function):
        return function
    missing = [name for name in required_columns(function) if not rows or name not in rows[0]]
    if missing:
        raise UserError(
            f"{getattr(function, '__qualname__', 'the function')}: needs the column {missing[0]} of the data. Give "
            "scorer_columns=FILE with prompt and this column."
        )
    ids = prompt_format.tokenizer if takes(function, "completion_ids") else None
    return trl_reward(function, chat=prompt_format.layout == "chat", rows=rows, tokenizer=ids)
