"""The proxy score over d: a straight line (Bai et al. 2022), or curved like gold but less so (Gao et al. 2022)?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlproject.experiments.findings.claims import Claim, verdict
from mlproject.experiments.results import Cell
from mlproject.laws import FORMS, MIN_D, fit_form, law_for
from mlproject.optimization import find_method

EARLY = 0.5
"""Share of the measured d that counts as early."""


def proxy_claims(method: str, cells: Sequence[Cell]) -> list[Claim]:
    """Claims about the shape of the proxy's curve."""
    linear = np.array([_early_r2(cell) for cell in cells])
    missed = np.array([_missed(cell, method) for cell in cells])
    bends = np.array([_bend_ratio(cell, method) for cell in cells])
    return [
        Claim(
            f"The proxy score is about linear in d early on, {method} (Bai et al. 2022; Gao et al.: only roughly)",
            f"R2 of a straight line from the origin over the first {EARLY:.0%} of d: median {np.median(linear):.3f}, "
            f"minimum {linear.min():.3f}",
            verdict(np.mean(linear > 0.98) > 0.8, np.mean(linear < 0.95) > 0.5),
        ),
        Claim(
            f"A fit of the proxy score at low KL under-predicts it at higher KL, {method} (fig. 20)",
            f"measured minus predicted beyond {EARLY:.0%} of d, with the method's law: mean {missed.mean():+.2f}, "
            f"positive for {(missed > 0).sum()} of {len(missed)} curves",
            verdict(np.mean(missed > 0) > 0.8, np.mean(missed > 0) < 0.2),
        ),
        Claim(
            f"The proxy curve bends much less than the gold curve, {method} (fig. 20)",
            f"ratio of beta of the proxy to beta of gold: median {np.median(bends):.2f}",
            verdict(np.median(bends) < 0.5, np.median(bends) > 0.8),
        ),
    ]


def _early_r2(cell: Cell) -> float:
    d_S, proxy_S = cell.curve.sqrt_kl_S, cell.curve.proxy_S
    early = d_S <= EARLY * d_S.max()
    return fit_form(FORMS["linear"], d_S[early], proxy_S[early]).r2


def _missed(cell: Cell, method: str) -> float:
    """Mean of measured minus predicted proxy score beyond the early points, standard deviations of gold."""
    d_S, proxy_S = cell.curve.sqrt_kl_S, cell.curve.proxy_S
    early, form = d_S <= EARLY * d_S.max(), law_for(find_method(method))
    law = fit_form(form, d_S[early], proxy_S[early], MIN_D[form.name])
    return float((proxy_S[~early] - law.value(d_S[~early])).mean())


def _bend_ratio(cell: Cell, method: str) -> float:
    form, curve = law_for(find_method(method)), cell.curve
    proxy, gold = (fit_form(form, curve.sqrt_kl_S, y_S, MIN_D[form.name]) for y_S in (curve.proxy_S, curve.gold_S))
    return proxy.beta / gold.beta
