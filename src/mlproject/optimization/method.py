"""What a method declares: its options, its law, and how its runs are labelled and shared between processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from mlproject.options.declaration import BrokenRule, Options
from mlproject.options.values import convert

if TYPE_CHECKING:
    from mlproject.config.schema import Config
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask

BUDGET, FORECAST, KL_BUDGET = "budget", "forecast", "kl-budget"
EARLY_STOPS = (FORECAST, KL_BUDGET)
STOPS = (BUDGET, *EARLY_STOPS)
"""What may end a policy run: its budget of updates, a forecast that the peak is behind, or the KL at which policies
peaked that were optimized against the same registered reward model before."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig(Options):
    """The options of a method. A subclass declares each with `option(...)`; they become options of every command.

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
    def stops_at(self) -> str:
        """What ends a run, one of `STOPS`."""
        return BUDGET

    @property
    def process_limit(self) -> tuple[int, str]:
        """How many processes can share a run, and the options that say so, as `name=value`."""
        return 1, ""

    def broken_rules(self, config: Config) -> Iterator[BrokenRule]:
        """Rules between options that do not hold.

        Args:
            config: all options.
        """
        yield from ()

    def warnings(self, config: Config) -> Iterator[str]:
        """What is allowed but unwise, one line each.

        Args:
            config: all options.
        """
        yield from ()


@dataclass(frozen=True)
class Method:
    """A way to optimize a policy against a proxy.

    Attributes:
        name: value of the tag `mlproject.method`, and what the option `methods` calls it.
        label: as people read it in the middle of a sentence.
        config_class: declares its options.
        module: full name of the module with `optimize(task) -> Iterator[CurvePoint]`. It is imported when the method
            runs, not before, since it may need torch.
        law: name of the form in `mlproject.laws.FORMS` that gold follows over sqrt(KL).
        step_unit: what a point's step counts: a word such as "update", or a symbol such as "n".
        kl_note: one sentence for the report: where the KL of a point comes from.
        needs_proxy: False where it learns from comparisons directly.
        trains_policy: False where it chooses among samples of the initial policy.
        has_fixed_kl: True where the KL at a step is the same number in every run, so that runs can be averaged.
        version: raised when a change of the code changes its curves.
    """

    name: str
    label: str
    config_class: type[MethodConfig]
    module: str
    law: str = "rl"
    step_unit: str = "update"
    kl_note: str = "KL is computed over the full vocabulary at every token of sampled responses."
    needs_proxy: bool = True
    trains_policy: bool = True
    has_fixed_kl: bool = False
    version: int = 1

    @property
    def optimize(self) -> Callable[[OptimizationTask[Any]], Iterator[CurvePoint]]:
        """The method itself."""
        return import_module(self.module).optimize

    @property
    def title(self) -> str:
        """The label at the beginning of a line."""
        return self.label[:1].upper() + self.label[1:]

    def place(self, step: int) -> str:
        """A step as people read it, such as `update 40` or `n = 64`."""
        is_word = self.step_unit.isalpha() and len(self.step_unit) > 1
        return f"{self.step_unit} {step}" if is_word else f"{self.step_unit} = {step}"
