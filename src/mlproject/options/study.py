"""What rules between options read of a configuration.

`config.schema.Config` is built from the worlds, methods and gold sources that are registered; these check their rules
against the finished configuration, of which they see this much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class StudyOptions(Protocol):
    """A `Config`, as the modules see it that it is built from. Help and allowed values are with the options."""

    @property
    def world_spec(self) -> Any: ...  # WorldSpec

    @property
    def gold_source(self) -> Any: ...  # GoldSource

    @property
    def world(self) -> str: ...

    @property
    def gold(self) -> str: ...

    @property
    def policy(self) -> str: ...

    @property
    def policy_weights(self) -> str: ...

    @property
    def pool(self) -> str: ...

    @property
    def prompts(self) -> str: ...

    @property
    def preferences(self) -> str: ...

    @property
    def preference_fields(self) -> tuple[str, ...]: ...

    @property
    def preference_format(self) -> str: ...

    @property
    def gold_size(self) -> str: ...

    @property
    def rm_loss(self) -> str: ...

    @property
    def rm_text_weight(self) -> float: ...

    @property
    def ranked_responses(self) -> int: ...

    @property
    def reward(self) -> str: ...

    @property
    def ensemble_by(self) -> str: ...

    @property
    def ensemble_checkpoints(self) -> tuple[str, ...]: ...

    @property
    def ensemble_size(self) -> int: ...

    @property
    def rm_size(self) -> str: ...

    @property
    def rm_sizes(self) -> tuple[str, ...]: ...

    @property
    def rm_policy_size(self) -> str: ...

    @property
    def search_rm_sizes(self) -> tuple[str, ...]: ...

    @property
    def test_rms(self) -> tuple[str, ...]: ...

    @property
    def rounds(self) -> int: ...

    @property
    def pool_samples(self) -> int: ...

    @property
    def study(self) -> str: ...

    @property
    def n_trials(self) -> int: ...

    @property
    def search_kl_coefs(self) -> tuple[float, ...]: ...

    @property
    def search_rewards(self) -> tuple[str, ...]: ...

    @property
    def search_ensemble_members(self) -> tuple[int, ...]: ...

    @property
    def search_objective(self) -> str: ...

    @property
    def searched_method(self) -> str: ...

    @property
    def experiment(self) -> str: ...

    @property
    def registered_model(self) -> str: ...

    def changed(self, *names: str) -> Mapping[str, Any]: ...

    def of_method(self, method: str) -> Any: ...  # MethodConfig
