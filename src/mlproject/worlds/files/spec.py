"""Which options the world of a user's files needs, and how a study opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

from mlproject.names import Artifact
from mlproject.options.declaration import BrokenRule
from mlproject.rewards.source import is_service
from mlproject.worlds.files.schemas import AUTO, COLUMNS, FIELDS
from mlproject.worlds.world import World, WorldSpec

if TYPE_CHECKING:
    from pathlib import Path

    from mlproject.options.study import StudyOptions


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """The options of the configuration that determine what is read from the files; `config.groups` explains them."""

    world_seed: int
    prompt_field: str
    preference_fields: tuple[str, ...]
    bad_lines: str
    max_prompt_tokens: int
    max_response_tokens: int
    long_prompts: str
    curve_prompts: int
    audit_prompts: int
    preference_format: str = AUTO
    preferred: str = ""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ReadOptions:
        """Those among other options or parameters, by name."""
        given = [name for name in RECOGNITION_OPTIONS if name in options]
        return cls(**{name: options[name] for name in (*READ_OPTIONS, *given)})

    def recognition(self) -> dict[str, str]:
        """The parameters of a step that reads comparisons: `RECOGNITION_OPTIONS` that differ from their defaults."""
        defaults = {field.name: field.default for field in fields(self)}
        values = {name: getattr(self, name) for name in RECOGNITION_OPTIONS}
        return {name: value for name, value in values.items() if value != defaults[name]}

    @property
    def skips_invalid_rows(self) -> bool:
        """Whether invalid rows are skipped instead of ending the study."""
        return self.bad_lines == "skip"


READ_OPTIONS = tuple(field.name for field in fields(ReadOptions) if field.default is MISSING)
"""Names of `ReadOptions` that are parameters of every run."""
RECOGNITION_OPTIONS = tuple(field.name for field in fields(ReadOptions) if field.default is not MISSING)
"""Names of those that are parameters only where they differ from their defaults; then runs without them stay valid."""


class FilesSpec(WorldSpec):
    """Prompts and comparisons from files, and models, all of them the user's."""

    name = "files"
    help = "your own prompts and models"
    has_human = False
    imports_policy = True
    options = ("prompts", "preferences", "policy", "policy_weights")

    def open(self, seed: int, policy_artifacts: Callable[[], Path]) -> World:
        from mlproject.worlds.files.world import Files

        return Files.load(policy_artifacts() / Artifact.PROMPTS)

    def broken_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        if not config.policy:
            yield BrokenRule(
                "policy", "be a checkpoint (./FOLDER or OWNER/NAME) when world=files", "Give policy=CHECKPOINT."
            )
        if is_service(config.policy) and not config.policy_weights:
            yield BrokenRule(
                "policy",
                "come with the checkpoint that the server serves, since a study reads its tokens, draws the pairs that "
                "calibrate gold and the reward models, and measures KL by it",
                "Give policy_weights=CHECKPOINT; without weights, score the server's samples and use compare "
                "(docs/samples.md).",
            )
        if config.policy_weights and not is_service(config.policy):
            yield BrokenRule(
                "policy_weights",
                "be empty unless policy is the address of a server",
                "Give policy=http://HOST/v1, or the checkpoint as policy.",
            )
        if is_service(config.policy) and config.pool:
            yield BrokenRule("pool", "be empty where a server samples the pool", "Remove the option or the address.")
        if not config.prompts and not config.preferences:
            yield BrokenRule("prompts", "be a file when world=files and preferences is empty", "Give prompts=FILE.")
        if config.gold_source.is_trained:
            yield BrokenRule(
                "gold",
                "be a checkpoint, PACKAGE.MODULE:FUNCTION or none when world=files, which has no human judgement",
                "Give gold=CHECKPOINT, gold=PACKAGE.MODULE:FUNCTION or gold=none.",
            )
        if config.gold_source.is_test_rm and not config.preferences:
            yield BrokenRule(
                "preferences",
                "be a file when world=files and gold=none, since the reward models learn from it",
                "Give preferences=FILE.",
            )
        if len(config.preference_fields) != 3:
            yield BrokenRule(
                "preference_fields", "be three names: prompt, chosen, rejected", "Name the three fields in this order."
            )
        if config.preference_format not in (AUTO, COLUMNS) and config.preference_fields != FIELDS:
            yield BrokenRule(
                "preference_format", "be auto or columns where preference_fields names them", "Remove one of the two."
            )
        if config.rm_policy_size != "same":
            yield BrokenRule("rm_policy_size", "be 'same' when world=files", "Remove the option or use world=helpdesk.")

    def options_from_params(self, policy: Mapping[str, str], comparisons: Mapping[str, str]) -> dict[str, str]:
        return {
            **{name: policy[name] for name in READ_OPTIONS},
            **{name: comparisons[name] for name in RECOGNITION_OPTIONS if name in comparisons},
            "policy": policy["policy"],
            "prompts": policy.get("prompts_path", ""),
            "preferences": comparisons.get("preferences_path", ""),
        }
