"""The parts of a finding: claims with verdicts, tables, notes. One module per experiment analyses its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mlproject.experiments.results import Result
from mlproject.laws import Estimate

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

VERDICTS = ("agree", "disagree", "cannot tell")


@dataclass(frozen=True)
class Claim:
    """A claim from the literature and our measurement of it.

    Attributes:
        paper: the claim, with its source.
        measured: our measurement, with units and intervals.
        verdict: one of `VERDICTS`.
    """

    paper: str
    measured: str
    verdict: str


@dataclass(frozen=True)
class Finding:
    """The results of an experiment, besides its figure and table.

    Attributes:
        claims: in display order.
        tables: additional tables by title.
        notes: sentences.
    """

    claims: Sequence[Claim]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    notes: Sequence[str] = ()


FINDINGS = (
    "rm_size", "forecast", "rm_data", "epochs_vs_data", "val_loss", "policy_size", "kl_penalty", "rl_vs_bon",
    "kl_by_size", "label_noise", "iterated", "human_gap", "rm_choice", "early_warning", "mitigations_bon",
    "mitigations", "direct_alignment", "rm_losses", "optimizers", "kl_control",
)  # fmt: skip
"""Experiments whose results a module of this package analyses, in display order."""


def finding_function(name: str) -> Callable[[Result], Finding] | None:
    """The function that analyses an experiment's result; None for a user's own experiment."""
    return import_module(f"mlproject.experiments.findings.{name}").analyse if name in FINDINGS else None


def labelled(result: Result) -> Result:
    """A result with the further settings by which its experiment groups figure and table, if its module has any."""
    module = import_module(f"mlproject.experiments.findings.{result.name}") if result.name in FINDINGS else None
    label = getattr(module, "labelled", None)
    return result if label is None else label(result)


def listed(estimates: Mapping[T, Estimate], label: Callable[[T], object] = str, separator: str = "; ") -> str:
    """Estimates in one line, each behind its label: `3: 0.10 [0.05, 0.15]; 5: ...`."""
    return separator.join(f"{label(key)}: {estimate}" for key, estimate in estimates.items())


def verdict(agrees: bool | np.bool_, disagrees: bool | np.bool_) -> str:
    """`agree` or `disagree`, whichever condition holds; `cannot tell` if neither or both do."""
    if bool(agrees) == bool(disagrees):
        return "cannot tell"
    return "agree" if agrees else "disagree"


def sign_verdict(estimate: Estimate, expected: int) -> str:
    """Whether an interval lies on the expected side of 0, on the other side, or on both."""
    return verdict(estimate.sign == expected, estimate.sign == -expected)


def signs_verdict(estimates: Iterable[Estimate]) -> str:
    """Of several intervals together: `agree` where one lies above 0 and none below, and the other way round."""
    signs = [estimate.sign for estimate in estimates]
    return verdict(max(signs) > 0 and min(signs) >= 0, min(signs) < 0 and max(signs) <= 0)
