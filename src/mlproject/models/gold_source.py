"""What plays the ground truth in a study: the option `gold`, parsed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlproject.errors import UserError
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.names import GoldKind, Tag
from mlproject.options.declaration import BrokenRule
from mlproject.rewards.source import FORMS, RewardSource, is_reward

if TYPE_CHECKING:
    from mlproject.options.study import StudyOptions

_TRAINED, _NONE = "trained", "none"


@dataclass(frozen=True)
class GoldSource:
    """What plays the ground truth.

    Attributes:
        option: value of the option `gold`: `trained`, `none`, a checkpoint, PACKAGE.MODULE:FUNCTION, or the
            address of a service.
        kind: a `GoldKind`.
    """

    option: str
    kind: str

    @classmethod
    def parse(cls, option: str) -> GoldSource:
        """Read the option.

        Raises:
            UserError: for a value that has none of these forms.
        """
        if option in (_TRAINED, _NONE):
            return cls(option, GoldKind.TRAINED if option == _TRAINED else GoldKind.TEST_RM)
        if is_reward(option):
            return cls(option, RewardSource(option).kind)
        if is_checkpoint(option):
            return cls(option, GoldKind.CHECKPOINT)
        raise UserError(
            f"gold={option}: must be trained, none, a checkpoint (./FOLDER or OWNER/NAME), {FORMS}. "
            "Write ./NAME for a folder here."
        )

    @classmethod
    def of_params(cls, params: Mapping[str, Any]) -> GoldSource:
        """The gold of a step, by its parameters; a step without the parameter `gold` has a trained one."""
        return cls.parse(params.get("gold", _TRAINED))

    @property
    def is_trained(self) -> bool:
        """The study trains a reward model on its world's human judgement."""
        return self.kind == GoldKind.TRAINED

    @property
    def is_checkpoint(self) -> bool:
        """A user's reward model."""
        return self.kind == GoldKind.CHECKPOINT

    @property
    def is_function(self) -> bool:
        """A user's Python function, or a service."""
        return self.kind in (GoldKind.FUNCTION, GoldKind.SERVICE)

    @property
    def is_test_rm(self) -> bool:
        """There is no gold: a test RM, trained on comparisons that the proxies never see, plays it."""
        return self.kind == GoldKind.TEST_RM

    def broken_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        """Rules that do not hold between the options that depend on what plays gold."""
        size = config.gold_size
        sizes = [name for name in (*config.rm_sizes, *config.search_rm_sizes, config.rm_size) if name in SIZES]
        if is_checkpoint(size) and (not self.is_test_rm or config.world_spec.has_human):
            yield BrokenRule(
                "gold_size",
                f"be one of {', '.join(SIZES)} unless world=files and gold=none",
                "Use gold=CHECKPOINT for your gold RM.",
            )
        elif self.is_trained and sizes:
            largest = max(sizes, key=_parameters)
            if _parameters(size) < _parameters(largest):
                yield BrokenRule(
                    "gold_size",
                    f"be at least the largest proxy RM, {largest}",
                    "Raise it, or leave that size out of rm_sizes, rm_size and search_rm_sizes.",
                )
        if not self.is_test_rm:
            return
        if size in {config.rm_size if name == "same" else name for name in config.test_rms}:
            yield BrokenRule(
                "test_rms",
                f"not include gold_size={size} when gold=none, since that RM plays gold",
                "Remove that size.",
            )
        if config.rounds > 1:
            yield BrokenRule(
                "rounds",
                "be 1 when gold=none, since nothing can label the comparisons of a later round",
                "Remove the option or give a gold RM.",
            )


def kind_of_run(tags: Mapping[str, str]) -> str:
    """The `GoldKind` of a gold RM, by the tags of its run; a run without the tag is older than it, and trained."""
    return tags.get(Tag.GOLD, GoldKind.TRAINED)


def _parameters(size: str) -> int:
    return SIZES[size].reward_model_parameters
