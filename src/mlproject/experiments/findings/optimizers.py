"""All methods over one KL axis: the law of each, its peak, what it keeps and what it costs.

A variant is a method with what tells its runs apart beside RM size and seed, such as beta of direct alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from mlproject.curve import Curve
from mlproject.experiments.findings.claims import Finding
from mlproject.experiments.findings.evidence import mean_interval, peak_is_inside
from mlproject.experiments.findings.form_fits import CUT, FormFits, form_table
from mlproject.experiments.findings.frontier import gold_lost, gold_per_nat, window
from mlproject.experiments.findings.law_by_size import half_way, law_claims, law_rows
from mlproject.experiments.findings.method_claims import (
    claims_against_base,
    claims_against_selection,
    claims_without_rm,
    form_claims,
    method_of,
    table_without_rm,
)
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.optimization import METHODS


def analyse(result: Result) -> Finding:
    """Forms, peaks, ends and costs of every method, and the law of those that optimize a reward model by its size."""
    cells = sorted(result.cells, key=_place)
    variants, methods = _grouped(cells, _variant), _grouped(cells, lambda cell: method_of(cell).label)
    by_size = {label: runs for label, runs in methods.items() if _has_sizes(runs)}
    fits = {label: FormFits.of(runs) for label, runs in methods.items()}
    errors = {label: half_way(runs) for label, runs in by_size.items()}
    claims = [
        *form_claims(fits),
        *claims_against_base(variants, cells),
        *claims_without_rm(variants, cells),
        *claims_against_selection(methods, cells),
        *(claim for label, runs in by_size.items() for claim in law_claims(runs, errors[label])),
    ]
    tables = {
        "By method, mean over RM sizes and seeds": pd.DataFrame([_row(*each) for each in variants.items()]),
        "Forms by method": form_table(fits),
    }
    if not (beside := table_without_rm(variants, cells)).empty:
        tables["Direct alignment beside PPO against each RM, paired by seed"] = beside
    if by_size:
        rows = [row for label, runs in by_size.items() for row in law_rows(runs, errors[label])]
        tables["The law by RM size (ours: none is published for GRPO, RLOO or REINFORCE)"] = pd.DataFrame(rows)
    notes = [
        "On-policy methods have the same updates, rollouts, gradient steps and learning rate; direct alignment takes "
        "one pass over the comparisons that the reward models learned from, and its reward model is the policy itself.",
        f"Forms are scored beyond {CUT:g} of the largest sqrt(KL) by fits to the points before; ratios are geometric "
        "means over runs. Two curves are compared at KL values from 1 nat to the largest that both reach.",
        "Cost counts responses up to the peak: sampled by the policy, scored by the reward model, passed through the "
        "gradient. A rule that selects costs its samples for every response that it gives.",
    ]
    return Finding(claims=claims, tables=tables, notes=notes)


def _place(cell: Cell) -> tuple[bool, bool, int, float, int]:
    """Those that select come first, then those that train against a reward model, then the others."""
    method = method_of(cell)
    registered = list(METHODS).index(method.name) if method.name in METHODS else len(METHODS)
    settings = cell.settings
    return method.trains_policy, not method.needs_proxy, registered, settings["rm_params"], settings["seed"]


def _variant(cell: Cell) -> str:
    method = method_of(cell)
    return f"{method.label} {method.config_class.from_params(cell.settings).variant}".strip()


def _grouped(cells: Sequence[Cell], label: Callable[[Cell], str]) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(label(cell), []).append(cell)
    return groups


def _has_sizes(cells: Sequence[Cell]) -> bool:
    """Whether runs train a policy against reward models of several sizes."""
    method = method_of(cells[0])
    return method.trains_policy and method.needs_proxy and len({cell.settings["rm_params"] for cell in cells}) > 1


def _row(label: str, cells: Sequence[Cell]) -> dict[str, str]:
    def mean(value: Callable[[Curve], float]) -> Estimate:
        return mean_interval(value(cell.curve) for cell in cells)

    inside = [cell for cell in cells if peak_is_inside(cell.curve)]
    return {
        "method": label,
        "peak gold": str(mean(lambda curve: curve.peak().gold)),
        "peak KL (nats)": str(mean(lambda curve: curve.peak().kl)),
        "gold per nat at the peak": str(mean(gold_per_nat)),
        "width near the peak (nats)": str(mean(window)),
        "final KL (nats)": str(mean(lambda curve: float(curve.kl_S[-1]))),
        "gold lost at the end": str(mean(gold_lost)),
        "win rate at the peak": _wins(cells, lambda curve: int(curve.gold_S.argmax())),
        "at the end": _wins(cells, lambda curve: -1),
        "peaks reached": f"{len(inside)} of {len(cells)}",
        "cost to the peak": _cost(cells),
    }


def _wins(cells: Sequence[Cell], at: Callable[[Curve], int]) -> str:
    known = [float(cell.curve.win_S[at(cell.curve)]) for cell in cells if cell.curve.win_S is not None]
    return str(mean_interval(known)) if known else ""


def _cost(cells: Sequence[Cell]) -> str:
    """Responses up to the peak, in thousands, mean over runs; the step of the peak where a method trains nothing."""
    steps = mean_interval(float(cell.curve.peak().step) for cell in cells)
    method = method_of(cells[0])
    if not method.trains_policy:
        return method.place(round(steps.value))
    work = method.config_class.from_params(cells[0].settings).work
    counts = {"sampled": work.sampled, "scored": work.scored, "trained": work.trained}
    return ", ".join(f"{name} {steps.value * count / 1000:.1f}k" for name, count in counts.items() if count)
