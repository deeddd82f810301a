"""What a method declares: its options, its law, and how its runs are labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlproject.optimization.method_config import MethodConfig

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.optimization.task import OptimizationTask


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
        needs_proxy: False where it learns from the comparisons themselves (`OptimizationTask.comparisons`); then it
            gives the evaluator its own implicit reward in place of a proxy.
        trains_policy: False where it chooses among samples of the initial policy.
        step_of_kl: where the KL at a step is fixed, the step whose KL is nearest to a number of nats.
        coefficient: name of the option that holds a policy near the initial one; its runs are told apart by it.
        coefficient_label: as run names and sentences call it.
        coefficient_unit: its unit; empty for a bare number.
        entry_point: that measures one curve against any proxy, by this method; empty where there is none.
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
    step_of_kl: Callable[[float], int] | None = None
    version: int = 1
    coefficient: str = "kl_coef"
    coefficient_label: str = "KL coefficient"
    coefficient_unit: str = "gold standard deviations per nat"
    entry_point: str = ""

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
