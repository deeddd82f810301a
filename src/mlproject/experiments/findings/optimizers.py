"""Methods against the same proxies: the law of each, its peak, and what it loses, over KL."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, sign_verdict, verdict
from mlproject.experiments.findings.evidence import mean_interval, methods_of, peak_is_inside, select
from mlproject.experiments.findings.frontier import all_alike, gold_gain, gold_lost, gold_per_nat, none_higher, window
from mlproject.experiments.results import Cell, Result
from mlproject.laws import FORMS, Estimate, rmse_by_form
from mlproject.optimization import METHODS, find_method

_LAWS = ("best-of-n", "rl")
_CUT = 0.6
"""Share of the largest sqrt(KL) of a curve up to which forms are fitted, to be scored beyond."""
_BASE = next(name for name, method in METHODS.items() if method.trains_policy)
"""The method that the others are compared with: the first that trains a policy."""


def analyse(result: Result) -> Finding:
    """Forms by method, and each method against the first that trains a policy, paired by RM size and seed."""
    methods = methods_of(result)
    forms = {method: _forms(select(result, method=method)) for method in methods}
    trained = [method for method in methods if find_method(method).trains_policy]
    others = [method for method in trained if method != _BASE]
    gains = {method: mean_interval(gold_gain(a.curve, b.curve) for a, b in _pairs(result, method)) for method in others}
    peaks = {
        method: mean_interval(a.curve.peak().gold - b.curve.peak().gold for a, b in _pairs(result, method))
        for method in others
    }
    lost = {
        method: mean_interval(gold_lost(a.curve) - gold_lost(b.curve) for a, b in _pairs(result, method))
        for method in others
    }
    better = {method: forms[method]["beyond"] for method in trained}
    claims = [
        Claim(
            "Gold of every on-policy method follows d (a - b log d) rather than d (a - b d) (section 3.1 for PPO)",
            "error of the quadratic law less that of the logarithmic one beyond the fitted range: " + _joined(better),
            verdict(all(e.sign > 0 for e in better.values()), any(e.sign < 0 for e in better.values())),
        ),
        *_claims_against_base(gains, peaks, lost),
    ]
    tables = {
        "Curves by method, mean over RM sizes and seeds": pd.DataFrame([_row(result, method) for method in methods]),
        "Error of each form by method (root mean square, standard deviations)": _form_table(result, methods),
    }
    notes = ["All methods have the same number of updates, rollouts, gradient steps and the same learning rate."]
    return Finding(claims=claims, tables=tables, notes=notes)


def _claims_against_base(
    gains: dict[str, Estimate], peaks: dict[str, Estimate], lost: dict[str, Estimate]
) -> list[Claim]:
    base = find_method(_BASE).label
    if not gains:
        return []
    return [
        Claim(
            "It is the distance that counts, not the method: at equal KL all on-policy methods have the same gold",
            f"gold at matched KL, less that of {base}: {_joined(gains)}",
            all_alike(gains.values()),
        ),
        Claim(
            "No method raises peak gold",
            f"peak gold, less that of {base}: {_joined(peaks)}",
            none_higher(peaks.values()),
        ),
        *(
            Claim(
                f"{find_method(method).label} has lost less gold than {base} after the same number of updates",
                f"gold lost since the highest, less that of {base}: {estimate}",
                sign_verdict(estimate, -1),
            )
            for method, estimate in lost.items()
        ),
    ]


def _pairs(result: Result, method: str) -> list[tuple[Cell, Cell]]:
    """Runs of a method beside those of the base against the same proxy."""
    base = {(c.settings["rm_size"], c.settings["seed"]): c for c in select(result, method=_BASE)}
    return [(c, base[key]) for c in select(result, method=method) if (key := _key(c)) in base]


def _key(cell: Cell) -> tuple[str, int]:
    return cell.settings["rm_size"], cell.settings["seed"]


def _errors(cell: Cell, beyond: bool) -> dict[str, float]:
    """Root mean square error of each form, on all points or beyond the cut; nan where there are too few points."""
    d_S, gold_S = cell.curve.sqrt_kl_S, cell.curve.gold_S
    try:
        return rmse_by_form(FORMS.values(), d_S, gold_S, max_d=_CUT * float(d_S.max()) if beyond else None)
    except ValueError:
        return dict.fromkeys(FORMS, float("nan"))


def _forms(cells: list[Cell]) -> dict[str, Estimate]:
    """Error of the quadratic law less that of the logarithmic one, in range and beyond."""

    def difference(beyond: bool) -> Estimate:
        quadratic, logarithmic = _LAWS
        errors = [_errors(cell, beyond) for cell in cells]
        return mean_interval(each[quadratic] - each[logarithmic] for each in errors)

    return {"in range": difference(False), "beyond": difference(True)}


def _form_table(result: Result, methods: list[str]) -> pd.DataFrame:
    rows = []
    for method in methods:
        cells = select(result, method=method)
        for name, beyond in (("in range", False), (f"beyond {_CUT:g} of sqrt(KL)", True)):
            errors = [_errors(cell, beyond) for cell in cells]
            means = {form.title: f"{np.nanmean([e[form.name] for e in errors]):.3f}" for form in FORMS.values()}
            rows.append({"method": find_method(method).label, "points": name, **means})
    return pd.DataFrame(rows)


def _row(result: Result, method: str) -> dict[str, str]:
    cells = select(result, method=method)
    inside = [cell for cell in cells if peak_is_inside(cell.curve)]
    mean = lambda value, of: str(mean_interval(value(cell.curve) for cell in of))  # noqa: E731
    return {
        "method": find_method(method).label,
        "peak gold": mean(lambda curve: curve.peak().gold, cells),
        "peak KL (nats)": mean(lambda curve: curve.peak().kl, cells),
        "gold per nat at the peak": mean(gold_per_nat, cells),
        "width near the peak (nats)": mean(window, cells),
        "final KL (nats)": mean(lambda curve: float(curve.kl_S[-1]), cells),
        "gold lost at the end": mean(gold_lost, cells),
        "peaks reached": f"{len(inside)} of {len(cells)}",
    }


def _joined(estimates: dict[str, Estimate]) -> str:
    return "; ".join(f"{find_method(method).label} {estimate}" for method, estimate in estimates.items())
