"""Best-of-n curves of a table of scored samples, also where prompts have different numbers of samples.

The prompts are the same at every n, so n goes up to the smallest number of samples of a prompt.

Axis letters: P prompts, N samples per prompt in the pool, B responses, G values of n.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mlproject.curve import Array, CurvePoint
from mlproject.estimators import BestOfN, beirami_kl, best_of_n_kl_bound, effective_sample_size
from mlproject.names import Diagnostic
from mlproject.optimization.win_rate import win_rate_PN
from mlproject.preferences.calibration import calibration_scale
from mlproject.samples.pool import ScoredPool

MAX_PAIRS = 20_000
"""Pairs of responses, at most, that give the scale of a reward model."""


class RaggedBestOfN:
    """Expected value of any quantity of the best of n samples, prompt by prompt (see `BestOfN`).

    Args:
        pool: says which samples belong to which prompt.
        scores_B: by which the best is chosen. Shape: (B,).
        n_G: the values of n, each at most the smallest number of samples of a prompt. Shape: (G,).
    """

    def __init__(self, pool: ScoredPool, scores_B: Array, n_G: np.ndarray) -> None:
        self._pool, self._count = pool, len(n_G)
        self._selectors = [BestOfN(scores_B[rows_PN], n_G) for _, rows_PN in pool.groups]

    def __call__(self, values_B: Array, index: int | None = None) -> Array:
        """Expected value of the selected sample, per n and prompt; (1, P) with the position of one n. Shape: (G, P)."""
        selected_GP = np.empty((self._count if index is None else 1, len(self._pool.counts_P)))
        for (prompts, rows_PN), select in zip(self._pool.groups, self._selectors, strict=True):
            selected_GP[:, prompts] = select(values_B[rows_PN], index)
        return selected_GP


@dataclass(frozen=True)
class GoldUnits:
    """Mean and standard deviation of gold over all samples, in the table's units."""

    mean: float
    sd: float

    @classmethod
    def of(cls, gold_B: Array) -> GoldUnits:
        """The units of samples of the initial policy. Shape: (B,)."""
        return cls(float(gold_B.mean()), float(gold_B.std()))


def prompt_means(pool: ScoredPool, values_B: Array) -> Array:
    """Mean over the samples of each prompt. Shape: (P,)."""
    return np.add.reduceat(values_B, np.cumsum(pool.counts_P) - pool.counts_P) / pool.counts_P


@dataclass(frozen=True)
class Pairs:
    """Pairs of responses to the same prompt.

    Attributes:
        proxy_B: score of the first less that of the second, in the reward model's own units. Shape: (B,).
        gold_B: gold of the first less that of the second, standard deviations. Shape: (B,).
    """

    proxy_B: Array
    gold_B: Array

    @property
    def scale(self) -> float:
        """Gold standard deviations per unit of the reward model's score (see `calibration_scale`)."""
        return calibration_scale(self.proxy_B, self.gold_B)


def pairs_of(pool: ScoredPool, scores_B: Array, units: GoldUnits) -> Pairs:
    """Disjoint pairs of neighbouring responses, as many of every prompt; the order of responses is random.

    Args:
        pool: the samples.
        scores_B: of the reward model. Shape: (B,).
        units: of gold.
    """
    most = max(1, MAX_PAIRS // len(pool.counts_P))
    first = [rows_PN[:, : 2 * min(most, rows_PN.shape[1] // 2)] for _, rows_PN in pool.groups]
    one_B = np.concatenate([rows_PN[:, ::2].ravel() for rows_PN in first])
    other_B = np.concatenate([rows_PN[:, 1::2].ravel() for rows_PN in first])
    return Pairs(scores_B[one_B] - scores_B[other_B], (pool.gold_B[one_B] - pool.gold_B[other_B]) / units.sd)


def best_of_n_points(
    pool: ScoredPool,
    rm: str,
    n_G: np.ndarray,
    units: GoldUnits,
    scale: float,
    statistics: Mapping[str, Array] | None = None,
) -> Iterator[CurvePoint]:
    """The points of one reward model's curve: gold and proxy are gains over each prompt's mean.

    Args:
        pool: the samples.
        rm: name of the reward model.
        n_G: the values of n. Shape: (G,).
        units: of gold.
        scale: of the reward model, gold standard deviations per unit of its score.
        statistics: text statistics of all samples by name; nan for the samples of prompts that have none. Shape: (B,).
    """
    scores_B = pool.scores[rm]
    select = RaggedBestOfN(pool, scores_B, n_G)
    gold_GP = (select(pool.gold_B) - prompt_means(pool, pool.gold_B)) / units.sd
    proxy_GP = (select(scores_B) - prompt_means(pool, scores_B)) * scale
    win_GP = select(win_rates(pool))
    statistics_G = {name: np.nanmean(select(values_B), axis=1) for name, values_B in (statistics or {}).items()}
    counts, times = np.unique(pool.counts_P, return_counts=True)
    kl_G = best_of_n_kl_bound(n_G)
    for g, n in enumerate(n_G.tolist()):
        effective = [effective_sample_size(int(count), n) for count in counts]
        diagnostics = {Diagnostic.EFFECTIVE_SAMPLES: float(np.average(effective, weights=times))}
        if pool.log_prob_B is not None:
            diagnostics[Diagnostic.KL_TRUE] = float(select(beirami_kl(pool.log_prob_B, n), index=g).mean())
        yield CurvePoint(
            step=n,
            kl=float(kl_G[g]),
            proxy_P=proxy_GP[g],
            gold_P=gold_GP[g],
            statistics={name: float(values_G[g]) for name, values_G in statistics_G.items()},
            diagnostics=diagnostics,
            win_P=win_GP[g],
        )


def win_rates(pool: ScoredPool) -> Array:
    """Win rate of each response, by gold, against the others of its prompt; a tie is half (see `win_rate_PN`).

    Returns:
        from 0 to 1; one half for the only response of a prompt. Shape: (B,).
    """
    win_B = np.full(len(pool.gold_B), 0.5)
    for _, rows_PN in pool.groups:
        if rows_PN.shape[1] > 1:
            win_B[rows_PN] = win_rate_PN(pool.gold_B[rows_PN])
    return win_B


def best_of_k_accuracy(pool: ScoredPool, rm: str) -> float:
    """Share of prompts whose best response by the reward model is right, of all responses that each prompt has.

    Responses that tie for the best share: of two, one of them right, half counts.

    Args:
        pool: with gold that is 1 (right) and 0 (wrong).
        rm: name of the reward model.
    """
    right = 0.0
    for _, rows_PN in pool.groups:
        right += float(BestOfN(pool.scores[rm][rows_PN], [rows_PN.shape[1]])(pool.gold_B[rows_PN]).sum())
    return right / len(pool.counts_P)
