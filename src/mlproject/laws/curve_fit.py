"""The law of a curve, from KL and gold as they were logged.

Axis letters: S curve points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlproject.errors import UserError
from mlproject.laws.fits import MIN_D, Fit, fit_form
from mlproject.laws.forms import Form, law_for


def fit(kl: ArrayLike, gold: ArrayLike, method: str = "rl") -> Fit:
    """Fit the law of a method to a curve.

    `mlproject.laws.fit_form` fits any form over sqrt(KL).

    Args:
        kl: KL from the initial policy, nats per response. Shape: (S,).
        gold: gold above the initial policy's, standard deviations. Shape: (S,).
        method: `best-of-n`, or any that trains a policy (`ppo`, `grpo`, `rl`, ...).

    Returns:
        the fit: `alpha`, `beta`, `peak()` (KL in nats, gold), `value(sqrt(kl))`, and errors over the points.

    Raises:
        UserError: for arrays of other shapes, KL below 0, nan or infinity, or fewer than 3 points away from 0.

    Examples:
        >>> from mlproject import fit
        >>> law = fit(kl=[0.25, 1.0, 4.0, 9.0, 16.0], gold=[0.35, 0.5, 0.58, 0.51, 0.34])
        >>> f"peak {law.peak()[1]:.2f} at {law.peak()[0]:.1f} nats"
        'peak 0.58 at 3.8 nats'
    """
    if isinstance(kl, Form):
        raise UserError(
            "fit: the first argument must be KL in nats, not a form. Use mlproject.laws.fit_form(form, sqrt_kl, gold)."
        )
    kl_S, gold_S = (np.asarray(values, dtype=np.float64) for values in (kl, gold))
    if kl_S.ndim != 1 or kl_S.shape != gold_S.shape:
        raise UserError(
            f"fit: kl and gold must be two lists of one length, not of shapes {kl_S.shape} and {gold_S.shape}."
        )
    if not (np.isfinite(kl_S).all() and np.isfinite(gold_S).all()) or (kl_S < 0).any():
        raise UserError("fit: kl and gold must be finite, and kl at least 0. Leave other points out.")
    form = law_for(method)
    try:
        return fit_form(form, np.sqrt(kl_S), gold_S, MIN_D[form.name])
    except ValueError as error:
        raise UserError(f"fit: {error}.") from None
