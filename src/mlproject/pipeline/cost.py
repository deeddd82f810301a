"""How long a step takes, estimated from its parameters: only the order of steps depends on it.

The constants were fitted to a study of the `laptop` preset on one core of a two-core machine; a step that ran before is
ranked by what it took then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlproject.models.sizes import SIZES
from mlproject.names import Kind
from mlproject.optimization import METHODS
from mlproject.pipeline.step import Step

_SAMPLED, _SCORED, _TRAINED = 4.4e-4, 1.5e-4, 8e-4
"""Seconds for a response of the 100k models: to be sampled, scored, and trained on once."""

_OVERHEAD = 0.3
"""Part of these that does not depend on the size of the model."""

_OTHER = 0.5
"""Seconds of steps that are not estimated."""

_UNKNOWN_PARAMETERS = 10**6


def estimated_seconds(step: Step) -> float:
    """Wall time of a step on one core; a guess for kinds whose parameters do not tell."""
    params = {**step.inherited_params, **step.params}
    estimate = _ESTIMATES.get(step.kind)
    return _OTHER + (estimate(params) if estimate else 0.0)


def _relative(params: Mapping[str, Any], size: str) -> float:
    """Arithmetic of a model in that of a 100k model."""
    known = SIZES.get(params.get(size, ""))
    parameters = known.reward_model_parameters if known else int(params.get("rm_params") or _UNKNOWN_PARAMETERS)
    return _OVERHEAD + (1 - _OVERHEAD) * parameters / SIZES["100k"].reward_model_parameters


def _samples(params: Mapping[str, Any]) -> int:
    prompts = params.get("curve_prompts") or params.get("audit_prompts") or 0
    return int(prompts) * int(params.get("pool_samples", 1024))


def _pairs(params: Mapping[str, Any]) -> int:
    return 2 * int(params.get("n_comparisons", 0))


def _policy_run(params: Mapping[str, Any]) -> float:
    method = METHODS.get(params["method"])
    if method is None or "checkpoints" in params:  # its points are steps of their own
        return 0.0
    if not method.trains_policy:
        return _SCORED * _samples(params) * _relative(params, "rm_size")
    config = method.config_class.from_params(params)
    work = config.work
    on_policy = (work.sampled * _SAMPLED + work.trained * _TRAINED) * _relative(params, "policy_size")
    return config.last_step * (on_policy + work.scored * _SCORED * _relative(params, "rm_size"))


_ESTIMATES: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    Kind.INITIAL_POLICY: lambda p: (
        _TRAINED * p.get("sft_examples", 0) * p.get("sft_epochs", 0) * _relative(p, "policy_size")
    ),
    Kind.GOLD_RM: lambda p: (
        2 * _TRAINED * p.get("gold_comparisons", 0) * p.get("gold_epochs", 0) * _relative(p, "gold_size")
    ),
    Kind.COMPARISONS: lambda p: (_SAMPLED + _SCORED) * _pairs(p),
    Kind.POOL_SAMPLES: lambda p: _SAMPLED * _samples(p),
    Kind.POOL: lambda p: _SCORED * _samples(p),
    Kind.PROXY_RM: lambda p: _TRAINED * _pairs(p) * p.get("rm_epochs", 1) * _relative(p, "rm_size"),
    Kind.TEST_RM: lambda p: _TRAINED * _pairs(p) * p.get("rm_epochs", 1) * _relative(p, "rm_size"),
    Kind.POLICY_RUN: _policy_run,
    Kind.AUDIT: lambda p: _SCORED * _samples(p) * _relative(p, "rm_size"),
}
