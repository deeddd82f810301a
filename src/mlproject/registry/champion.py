"""Whether a champion can be measured on the prompts of another study than its own."""

from __future__ import annotations

import json

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from mlproject.config.schema import Config
from mlproject.cures import parse_reward
from mlproject.cures.cure import PLAIN
from mlproject.cures.folder import prompts_with_references
from mlproject.names import Alias, Artifact, Role, Split, Tag
from mlproject.tracking.params import as_text
from mlproject.tracking.run_data import artifact
from mlproject.worlds import WORLDS

_PROMPTS = ("world_seed", "curve_prompts", "audit_prompts")
"""Options that say which prompts a study has."""


def why_not_measurable(client: MlflowClient, config: Config, pool_run_id: str, champion: ModelVersion) -> str:
    """Why a champion cannot be measured on the prompts of a configuration, and what to do; empty where it can.

    Some rewards with cures (`par`, `log-sigmoid`) score only the prompts to which they have reference responses.

    Args:
        client: of the store.
        config: whose curve and audit prompts it would be measured on.
        pool_run_id: the initial policy's samples on the curve prompts.
        champion: its version.
    """
    proxy_run_id = champion.tags.get(Tag.PROXY_RUN_ID)
    params = client.get_run(proxy_run_id).data.params if proxy_run_id else {}
    reward = params.get("reward", PLAIN)
    if not proxy_run_id or not any(cure.needs_references for cure in parse_reward(reward)):
        return ""
    inputs = json.loads(client.get_run(pool_run_id).data.tags[Tag.INPUTS])
    world = WORLDS[config.world].open(config.world_seed, lambda: artifact(client, inputs[Role.INITIAL_POLICY]))
    counts = {Split.CURVE: config.curve_prompts, Split.AUDIT: config.audit_prompts}
    prompts = {prompt for split, count in counts.items() for prompt in world.prompts(split, count)}
    if prompts <= prompts_with_references(artifact(client, proxy_run_id) / Artifact.MODEL):
        return ""
    others = [
        f"{name}={params[name]}"
        for name in _PROMPTS
        if name in params and params[name] != as_text(getattr(config, name))
    ]
    return (
        f"version {champion.version}, the {Alias.CHAMPION}, has the reward {reward}, which scores the prompts of its "
        f"own study only, so it cannot be measured on these; give {' '.join(others) or 'the prompts of that study'}, "
        f"or remove the alias {Alias.CHAMPION} to promote without a comparison"
    )
