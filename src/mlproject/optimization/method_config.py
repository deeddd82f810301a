"""The options of a method, and what it says about a run that has them: its length, what stops it, who can share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mlproject.options.declaration import BrokenRule, Options
from mlproject.options.values import convert

if TYPE_CHECKING:
    from mlproject.options.study import StudyOptions

BUDGET, FORECAST, KL_BUDGET = "budget", "forecast", "kl-budget"
EARLY_STOPS = (FORECAST, KL_BUDGET)
STOPS = (BUDGET, *EARLY_STOPS)
"""What may end a policy run: its budget of updates, a forecast that the peak is behind, or the KL at which policies
peaked that were optimized against the same registered reward model before."""


class Work(NamedTuple):
    """Responses that one step of a run costs, apart from those that measure a curve point.

    Attributes:
        sampled: drawn from the policy.
        scored: by the proxy.
        trained: passed through the gradient, once for each pass.
    """

    sampled: int = 0
    scored: int = 0
    trained: int = 0


@dataclass(frozen=True, kw_only=True)
class MethodConfig(Options):
    """The options of a method. A subclass declares each with `option(...)`; they become options of every command, under
    the subclass's `HEADING`, or else the title of the method.

    An option without a default gets its value from the presets and is always a parameter of the run. One with a default
    is a parameter only where its value differs, so that a new option changes no fingerprint.
    """

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """The options of a run, from its parameters (values or texts); one that is missing has its default."""
        return cls(**{field.name: convert(field, params[field.name]) for field in fields(cls) if field.name in params})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all options."""
        return tuple(field.name for field in fields(cls))

    def required(self) -> dict[str, Any]:
        """The options without a default, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.default is MISSING}

    def params(self) -> dict[str, Any]:
        """Parameters of a run: the options without a default, and those that differ from their default, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {field.name: values[field.name] for field in fields(self) if values[field.name] != field.default}

    @property
    def last_step(self) -> int:
        """Step of the last point of a whole curve."""
        raise NotImplementedError

    @property
    def samples_per_prompt(self) -> int:
        """Responses per prompt that are drawn to measure a curve point; 1 where none are drawn."""
        return 1

    @property
    def work(self) -> Work:
        """What one step of a run costs; nothing where the pool holds all samples."""
        return Work()

    @property
    def stops_at(self) -> str:
        """What ends a run, one of `STOPS`."""
        return BUDGET

    @property
    def variant(self) -> str:
        """What tells a run's name from that of a plain one, such as `KL 0.1`; empty where nothing does."""
        return ""

    @property
    def revision(self) -> int:
        """What is added to the version of the method: raised when a change of the code changes only those of its curves
        that have certain options."""
        return 0

    @property
    def process_limit(self) -> tuple[int, str]:
        """How many processes can share a run, and the options that say so, as `name=value`."""
        return 1, ""

    def broken_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        """Rules between options that do not hold.

        Args:
            config: all options.
        """
        yield from ()

    def warnings(self, config: StudyOptions) -> Iterator[str]:
        """What is allowed but unwise, one line each.

        Args:
            config: all options.
        """
        yield from ()


class TrainedPolicyConfig(MethodConfig):
    """Options of a method that trains a policy. Each subclass declares these two, where its help shows them."""

    if TYPE_CHECKING:
        eval_samples: int
        stop: str

    @property
    def samples_per_prompt(self) -> int:
        return self.eval_samples

    @property
    def stops_at(self) -> str:
        return self.stop
