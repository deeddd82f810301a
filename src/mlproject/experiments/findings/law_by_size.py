"""The law of a method by RM size: its coefficients, how they change, and how well they forecast the peak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, sign_verdict, verdict
from mlproject.experiments.findings.evidence import law_of, mean_interval, peak_is_inside, slope_interval
from mlproject.experiments.findings.forecast_errors import forecast_errors, last_before, prior_without
from mlproject.experiments.results import Cell
from mlproject.laws import Estimate, forecast_of
from mlproject.optimization import find_method

_KL_ERROR, _GOLD_ERROR = 0.25, 0.1
"""Relative errors of a forecast of the peak that we call near."""

_HALF = 0.5


def law_claims(cells: Sequence[Cell], errors: pd.DataFrame) -> list[Claim]:
    """How alpha and beta of one method change with RM size, and whether its peaks are forecast.

    Args:
        cells: runs against reward models of several sizes.
        errors: of `half_way`.
    """
    label = find_method(cells[0].settings["method"]).label
    params = [cell.settings["rm_params"] for cell in cells]
    laws = [law_of(cell) for cell in cells]
    alpha, beta = (slope_interval([getattr(law, name) for law in laws], params) for name in ("alpha", "beta"))
    claims = [
        Claim(
            f"beta of {label} falls with log parameters (fig. 3c for PPO)",
            f"by {beta} per tenfold parameters; alpha by {alpha}",
            sign_verdict(beta, -1),
        )
    ]
    if not errors.empty:
        kl, gold = (mean_interval(errors[f"{name} error"].abs()) for name in ("KL", "gold"))
        claims.append(
            Claim(
                f"Half way to the peak of {label}, the curves of other RM sizes and its own points tell its KL within "
                f"{_KL_ERROR:.0%} and its gold within {_GOLD_ERROR:.0%} on average (our aim)",
                f"mean relative error of {len(errors)} peaks: KL {kl}, gold {gold}",
                verdict(kl.high < _KL_ERROR and gold.high < _GOLD_ERROR, kl.low > _KL_ERROR or gold.low > _GOLD_ERROR),
            )
        )
    return claims


def half_way(cells: Sequence[Cell]) -> pd.DataFrame:
    """Errors of the forecasts half way to the peak, in KL, by the curves of the other RM sizes; empty without peaks.

    Args:
        cells: runs of one method against reward models of several sizes.
    """
    inside = [cell for cell in cells if peak_is_inside(cell.curve)]
    if not inside:
        return pd.DataFrame(columns=["RM size", "KL error", "gold error", "KL covered", "gold covered"])
    method = find_method(cells[0].settings["method"])
    priors = {size: prior_without(cells, size) for size in {cell.settings["rm_size"] for cell in inside}}
    predictions = []
    for cell in inside:
        points = list(cell.curve)[: last_before(cell.curve, _HALF) + 1]
        samples = cell.settings.get("eval_samples", 1)
        predictions.append(forecast_of(method, points, priors[cell.settings["rm_size"]], samples))
    return forecast_errors(inside, predictions)


def law_rows(cells: Sequence[Cell], errors: pd.DataFrame) -> list[dict[str, str]]:
    """One row per RM size: the law, means over seeds with intervals, and the errors of its forecasts.

    Args:
        cells, errors: as for `law_claims`.
    """
    method = find_method(cells[0].settings["method"])
    rows = []
    for size in dict.fromkeys(cell.settings["rm_size"] for cell in cells):
        of_size = [cell for cell in cells if cell.settings["rm_size"] == size]
        laws, of_errors = [law_of(cell) for cell in of_size], errors[errors["RM size"] == size]
        rows.append(
            {
                "method": method.label,
                "RM": size,
                "alpha": str(mean_interval(law.alpha for law in laws)),
                "beta": str(mean_interval(law.beta for law in laws)),
                "RMSE": f"{np.mean([law.rmse for law in laws]):.3f}",
                "peak KL (nats)": str(mean_interval(cell.curve.peak().kl for cell in of_size)),
                "peak gold": str(mean_interval(cell.curve.peak().gold for cell in of_size)),
                "forecast half way: KL off by": _share(of_errors["KL error"]),
                "gold off by": _share(of_errors["gold error"]),
                "within its interval: KL, gold": ", ".join(
                    f"{int(of_errors[f'{name} covered'].sum())} of {len(of_errors)}" for name in ("KL", "gold")
                ),
            }
        )
    return rows


def _share(errors: pd.Series) -> str:
    """Mean of the sizes of relative errors."""
    if errors.empty:
        return ""
    size: Estimate = mean_interval(errors.abs())
    return f"{size.value:.0%}"
