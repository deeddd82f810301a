"""Joint fits of several curves, with a shared alpha or one alpha each (Gao et al. 2022, section 3.2).

Axis letters: C curves, S curve points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mlproject.curve import Array
from mlproject.laws.fits import akaike, points_beyond
from mlproject.laws.forms import Form


@dataclass(frozen=True)
class JointFit:
    """One form fitted to several curves at once.

    Attributes:
        alpha_C, beta_C: units of `Fit`; all alphas are equal if shared. Shape: (C,).
        rmse: root mean squared residual over the points of all curves, standard deviations.
        aic: Akaike's information criterion, with 1 + C or 2 C coefficients (see `akaike`).
    """

    alpha_C: Array
    beta_C: Array
    rmse: float
    aic: float


def joint_fit(
    form: Form, curves: Sequence[tuple[ArrayLike, ArrayLike]], share_alpha: bool, min_d: float = 0.0
) -> JointFit:
    """Fit a form of alpha and beta to several curves by least squares over all their points.

    Gao et al. find that alpha of the RL law can be shared over RM sizes at little cost, which makes the trend of beta
    clean: compare `rmse` and `aic` with and without `share_alpha`; without it, each curve is fitted on its own.

    Args:
        form: a form with coefficients alpha and beta alone.
        curves: (d_S, gold_S) of each curve, as for `fit`; lengths may differ.
        share_alpha: whether all curves share one alpha.
        min_d: points with d <= min_d are excluded (see `MIN_D`).

    Raises:
        ValueError: for another form, or if a curve has fewer than 3 points with distinct d > min_d.
    """
    if form.dof != 2:
        raise ValueError(f"form={form.name}, {form.formula}: a joint fit needs alpha and beta alone")
    points = [points_beyond(d_S, gold_S, min_d) for d_S, gold_S in curves]
    gold = np.concatenate([gold for _, gold in points])
    group = np.repeat(np.eye(len(points)), [len(d) for d, _ in points], axis=0)  # one-hot: the curve of each point
    rise, bend = (column[:, None] * group for column in form.columns(np.concatenate([d for d, _ in points])).T)
    alphas = rise.sum(axis=1, keepdims=True) if share_alpha else rise
    columns = np.hstack([alphas, bend])
    coef = np.linalg.lstsq(columns, gold, rcond=None)[0]
    rmse = float(np.sqrt(np.square(gold - columns @ coef).mean()))
    alpha, beta = np.split(coef, [alphas.shape[1]])
    return JointFit(np.broadcast_to(alpha, beta.shape), beta, rmse, akaike(rmse, len(gold), len(coef)))
