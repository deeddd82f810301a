"""Several curves fitted together, with one alpha for all or an alpha each (Gao et al. 2022, section 3.2).

Axis letters: G curves, S curve points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.laws.fits import akaike, points_beyond
from mlproject.laws.forms import Form

Array = NDArray[np.float64]


@dataclass(frozen=True)
class JointFit:
    """One form fitted to several curves at once.

    Attributes:
        alpha_G, beta_G: units of `Fit`; all alphas are equal where they are shared. Shape: (G,).
        rmse: root mean squared residual over the points of all curves, standard deviations.
        aic: Akaike's criterion, with 1 + G or 2 G coefficients (see `akaike`).
    """

    alpha_G: Array
    beta_G: Array
    rmse: float
    aic: float


def joint_fit(
    form: Form, curves: Sequence[tuple[ArrayLike, ArrayLike]], share_alpha: bool, min_d: float = 0.0
) -> JointFit:
    """Fit a form of alpha and beta to several curves by least squares over all their points.

    Gao et al. find that alpha of the RL law can be shared over RM sizes at little cost, which makes beta a clean
    trend: compare `rmse` and `aic` with `share_alpha` and without, where each curve is fitted alone.

    Args:
        form: a form of two coefficients.
        curves: (d_S, gold_S) of each curve, as for `fit`; they may differ in length.
        share_alpha: one alpha for all curves, or one each.
        min_d: points with d <= min_d are left out (see `MIN_D`).

    Returns:
        the fit.

    Raises:
        ValueError: for a form without two coefficients, or a curve of fewer than 3 points with distinct d > min_d.
    """
    if form.dof != 2:
        raise ValueError(f"a joint fit needs a form of alpha and beta alone, got {form.name}: {form.formula}")
    points = [points_beyond(d_S, gold_S, min_d) for d_S, gold_S in curves]
    gold = np.concatenate([gold for _, gold in points])
    group = np.repeat(np.eye(len(points)), [len(d) for d, _ in points], axis=0)  # which curve a point is of
    rise, bend = (column[:, None] * group for column in form.columns(np.concatenate([d for d, _ in points])).T)
    alphas = rise.sum(axis=1, keepdims=True) if share_alpha else rise
    columns = np.hstack([alphas, bend])
    coef = np.linalg.lstsq(columns, gold, rcond=None)[0]
    rmse = float(np.sqrt(np.square(gold - columns @ coef).mean()))
    alpha, beta = np.split(coef, [alphas.shape[1]])
    return JointFit(np.broadcast_to(alpha, beta.shape), beta, rmse, akaike(rmse, len(gold), len(coef)))
