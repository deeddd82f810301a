"""Simultaneous statements about means over the same prompts: which of several differences are more than noise.

Noise has two sources, kept apart: the prompts on which gold was measured, which all that is compared shares, so that
differences are paired; and the seeds of reward model and policy, whose spread is known only where there are several.

Axis letters: C curves or policy runs (or whatever is compared), P prompts, W bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlproject.curve import Array
from mlproject.laws.intervals import Estimate, t_975

RESAMPLES = 2000
LEVEL = 0.95
"""Probability that a whole family of statements holds no false one."""

_NO_ERROR = 1e-12


@dataclass(frozen=True)
class SeedSpread:
    """How far results differ between seeds.

    Attributes:
        sd: standard deviation of one run's peak gold around the mean over seeds, standard deviations of gold.
        dof: degrees of freedom of that estimate; 0 where every setting has one seed, and the spread is not known.
    """

    sd: float = 0.0
    dof: int = 0

    @property
    def known(self) -> bool:
        return self.dof > 0

    @classmethod
    def pooled(cls, groups: Sequence[Sequence[float]]) -> SeedSpread:
        """Spread within groups, pooled over groups.

        Args:
            groups: for each setting, one value for each of its seeds.
        """
        dof = sum(len(group) - 1 for group in groups)
        if dof < 1:
            return cls()
        squares = sum(float(np.square(np.asarray(group) - np.mean(group)).sum()) for group in groups)
        return cls(float(np.sqrt(squares / dof)), dof)


class Differences(NamedTuple):
    """Differences between the means of rows, each with each.

    Attributes:
        difference_CC: mean of the row less that of the column. Shape: (C, C).
        se_CC: its standard error; 0 between rows whose difference has no noise. Shape: (C, C).
        critical: a difference of more standard errors than this is more than noise, all statements at once.
    """

    difference_CC: Array
    se_CC: Array
    critical: float

    @property
    def margin_CC(self) -> Array:
        """Half the width of the simultaneous 95 % intervals. Shape: (C, C)."""
        return np.where(self.se_CC <= _NO_ERROR, 0.0, self.critical * self.se_CC)

    @property
    def better_CC(self) -> NDArray[np.bool_]:
        """Whether the row's mean is higher than the column's, by more than noise. Shape: (C, C)."""
        return self.difference_CC > np.maximum(self.margin_CC, _NO_ERROR)


def differences(scores_CP: Array, extra_variance_C: Array | None = None, extra_dof: int = 0) -> Differences:
    """Compare all means with each other.

    All pairs are compared with one critical value: the 95 % quantile of the largest of all studentized differences, as
    in Tukey's range test, but with the covariance that the shared prompts give (drawn from the normal distribution with
    Student's correction). Wherever nothing differs, at most 5 % of families name any difference.

    Args:
        scores_CP: scores on the same prompts, two at least. Shape: (C, P).
        extra_variance_C: further variance of each row's mean, independent between rows, such as that between seeds; by
            default 0, so that only the noise of the prompts is in the statements. Shape: (C,).
        extra_dof: degrees of freedom behind it; 0: it is taken as exact.
    """
    count, prompts = scores_CP.shape
    extra_variance_C = np.zeros(count) if extra_variance_C is None else extra_variance_C
    prompts_CC = np.atleast_2d(np.cov(scores_CP)) / prompts
    covariance_CC = prompts_CC + np.diag(extra_variance_C)
    variance_C = covariance_CC.diagonal()
    se_CC = np.sqrt(np.maximum(variance_C[:, None] + variance_C[None, :] - 2 * covariance_CC, 0.0))
    mean_C = scores_CP.mean(axis=1)
    difference_CC = mean_C[:, None] - mean_C[None, :]

    rng = np.random.default_rng(0)
    noise_WC = _normal(prompts_CC, rng) * _student(prompts - 1, rng)
    noise_WC += _normal(np.diag(extra_variance_C), rng) * (_student(extra_dof, rng) if extra_dof else 1.0)
    rows, columns = np.nonzero(np.triu(se_CC > _NO_ERROR, 1))
    critical = 0.0
    if len(rows):
        largest_W = (np.abs(noise_WC[:, rows] - noise_WC[:, columns]) / se_CC[rows, columns]).max(axis=1)
        critical = float(np.quantile(largest_W, LEVEL))
    return Differences(difference_CC, se_CC, critical)


def better_than(scores_CP: Array, extra_variance_C: Array | None = None, extra_dof: int = 0) -> NDArray[np.bool_]:
    """Which means are higher than which others, by more than noise, all statements at once (see `differences`).

    Returns:
        whether the row's mean is higher than the column's; nowhere for a single row or prompt. Shape: (C, C), bool.
    """
    count, prompts = scores_CP.shape
    if count < 2 or prompts < 2:
        return np.zeros((count, count), dtype=bool)
    return differences(scores_CP, extra_variance_C, extra_dof).better_CC


def _normal(covariance_CC: Array, rng: np.random.Generator) -> Array:
    """Normal draws with a covariance. Shape: (W, C)."""
    values_C, vectors_CC = np.linalg.eigh(covariance_CC)
    root_CC = vectors_CC * np.sqrt(np.maximum(values_C, 0.0))
    return rng.standard_normal((RESAMPLES, len(covariance_CC))) @ root_CC.T


def _student(dof: int, rng: np.random.Generator) -> Array:
    """Factors that turn normal draws into draws of Student's t. Shape: (W, 1)."""
    return np.sqrt(dof / rng.chisquare(dof, (RESAMPLES, 1)))


def interval_of_run(scores_P: Array, seeds: int, spread: SeedSpread, choice_variance: float = 0.0) -> Estimate:
    """Mean with the 95 % interval for one further run: the noise of the prompts, and of the seeds where it is known.

    Args:
        scores_P: scores per prompt, the mean over seeds. Shape: (P,).
        seeds: number of seeds that they are a mean of.
        spread: between seeds; a further run differs from their mean by its own seed too.
        choice_variance: variance by the choice of the point that was measured (see `Setting.choice_variance`).

    Returns:
        the mean with its interval, in the unit of the scores; nan ends for a single prompt.
    """
    mean, prompts = float(scores_P.mean()), len(scores_P)
    if prompts < 2:
        return Estimate(mean, float("nan"), float("nan"))
    prompt_variance = float(scores_P.var(ddof=1)) / prompts
    seed_variance = spread.sd**2 * (1 + 1 / seeds)
    return estimate(mean, prompt_variance, prompts, seed_variance, spread, choice_variance)


def estimate(
    value: float, prompt_variance: float, prompts: int, seed_variance: float, spread: SeedSpread, other_variance: float
) -> Estimate:
    """A value with its 95 % interval, from the variances that its sources of noise give it.

    Args:
        value: mean, or weighted sum of means, over prompts.
        prompt_variance, prompts: variance by the prompts, and their number.
        seed_variance, spread: variance by the seeds, and the spread that it was computed from.
        other_variance: by what else is independent of both; taken as exact.
    """
    total = prompt_variance + seed_variance + other_variance
    parts = prompt_variance**2 / (prompts - 1) + (seed_variance**2 / spread.dof if spread.known else 0.0)
    dof = int(min(total**2 / parts, 1e6)) if parts else 10**6  # Welch and Satterthwaite's degrees of freedom
    half = t_975(max(dof, 1)) * total**0.5
    return Estimate(value, value - half, value + half)
