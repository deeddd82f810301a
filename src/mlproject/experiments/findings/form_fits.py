"""Which functional form fits the curves of a method: in range, and beyond the range that it was fitted on.

Axis letters: S curve points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlproject.curve import Array, Curve
from mlproject.experiments.findings.evidence import ratio_interval
from mlproject.experiments.results import Cell
from mlproject.laws import FORMS, Estimate, Form, law_for, rmse_by_form
from mlproject.laws.forms import rival_of
from mlproject.optimization import find_method

CUT = 0.6
"""Share of the largest sqrt(KL) of a curve up to which forms are fitted, to be scored beyond."""

_LEAST = 1e-9
"""Errors below this are rounding."""

Values = Callable[[Curve], Array | None]


def gold(curve: Curve) -> Array:
    """Gold at each point, standard deviations. Shape: (S,)."""
    return curve.gold_S


def wins(curve: Curve) -> Array | None:
    """Win rate above one half at each point; None where it is not known. Shape: (S,)."""
    return None if curve.win_S is None else curve.win_S - 0.5


SCORES: Mapping[str, Values] = {"gold": gold, "win rate": wins}
"""What a law can be fitted to, by name."""


@dataclass(frozen=True)
class FormFits:
    """Errors of every form on the curves of one method.

    Attributes:
        law: the form that the method is registered with.
        errors: by score and by whether the points lie beyond `CUT`: one row per run, one column per form; rows without
            enough points are left out.
    """

    law: Form
    errors: Mapping[tuple[str, bool], pd.DataFrame]

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> FormFits:
        """Fit every form to gold and to the win rate of runs of one method."""
        errors = {
            (score, beyond): pd.DataFrame(
                [found for cell in cells if (found := _errors(cell.curve, values, beyond))], columns=list(FORMS)
            )
            for score, values in SCORES.items()
            for beyond in (False, True)
        }
        return cls(law_for(find_method(cells[0].settings["method"])), errors)

    def ratio(self, score: str, beyond: bool) -> Estimate:
        """Error of the law as a multiple of that of the other law of Gao et al. 2022; below 1 where it is better."""
        table = self.errors[score, beyond].clip(lower=_LEAST)
        return ratio_interval(np.log(table[self.law.name] / table[rival_of(self.law).name]))


def _errors(curve: Curve, values: Values, beyond: bool) -> dict[str, float]:
    """Root mean square error of each form on all points, or beyond the cut; empty where there are too few points."""
    d_S, values_S = curve.sqrt_kl_S, values(curve)
    try:
        if values_S is not None:
            return rmse_by_form(FORMS.values(), d_S, values_S, max_d=CUT * float(d_S.max()) if beyond else None)
    except ValueError:
        pass
    return {}


def form_table(fits: Mapping[str, FormFits]) -> pd.DataFrame:
    """Errors by method, score and range: of its law, of the other one, and of the form with the least.

    Args:
        fits: by label of the method.
    """
    rows = []
    for label, of_method in fits.items():
        law = of_method.law
        for (score, beyond), errors in of_method.errors.items():
            if errors.empty:
                continue
            best = str(errors.mean().idxmin())
            better = int((errors[best] < errors[law.name]).sum())
            rows.append(
                {
                    "method": label,
                    "score": score,
                    "points": f"beyond {CUT:g} of the largest sqrt(KL)" if beyond else "all",
                    "law": law.formula,
                    "its RMSE": f"{errors[law.name].mean():.3f}",
                    "as a multiple of the other law's": str(of_method.ratio(score, beyond)),
                    "least RMSE": f"{FORMS[best].formula}: {errors[best].mean():.3f}",
                    "lower than the law on": f"{better} of {len(errors)} curves",
                }
            )
    return pd.DataFrame(rows)
