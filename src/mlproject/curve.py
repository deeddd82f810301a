"""Curve points and curves: what optimizing a policy against a reward produces.

Every optimization method yields a stream of `CurvePoint`s; tracking, laws, search, registry and report consume it.

Axis letters: P prompts, S curve points.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.names.escape import escape, unescape

Array = NDArray[np.float64]

LARGEST_SCORE = 1e100
"""A number whose square still is one; no reward is larger."""

STATISTIC_KEY = "sign."
"""Prefix of the arrays of statistics in files."""


def mean_and_se(values_P: Array) -> tuple[float, float]:
    """Mean over prompts and its standard error.

    Args:
        values_P: one value per prompt. Shape: (P,).

    Returns:
        mean and standard error (nan for a single prompt), in the unit of the values.
    """
    mean = float(np.mean(values_P))
    se = float(np.std(values_P, ddof=1) / np.sqrt(len(values_P))) if len(values_P) > 1 else float("nan")
    return mean, se


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve: how far the policy has moved from the initial policy, and its proxy and gold scores.

    Attributes:
        step: n for best-of-n, the update for PPO. Always an integer.
        kl: KL divergence from the initial policy, nats per response.
        proxy_P: calibrated proxy score per prompt, relative to the initial policy's, gold standard deviations.
            Shape: (P,).
        gold_P: gold score per prompt, relative to the initial policy's, standard deviations. Shape: (P,).
        human_P: the embedded world's human judgement, same unit; None for a world that has none. Shape: (P,).
        statistics: gold-free statistics of the responses (length, repetition, score of a test RM, ...), by name.
        diagnostics: the method's own metrics (clip fraction, entropy, ...), by name.
        win_P: win rate against the initial policy by gold: the probability that a response beats one of the initial
            policy to the same prompt, ties counting half; None where it is not known. Shape: (P,).

    Examples:
        >>> import numpy as np
        >>> from mlproject import CurvePoint
        >>> point = CurvePoint(step=10, kl=4.0, proxy_P=np.array([1.0, 2.0]), gold_P=np.array([0.5, 1.5]))
        >>> point.sqrt_kl, point.proxy, point.gold, point.gold_se
        (2.0, 1.5, 1.0, 0.5)
    """

    step: int
    kl: float
    proxy_P: Array
    gold_P: Array
    human_P: Array | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    win_P: Array | None = None

    @property
    def signs(self) -> Mapping[str, float]:
        """The old name of `statistics`, for one release."""
        warnings.warn("CurvePoint.signs is now CurvePoint.statistics", DeprecationWarning, stacklevel=2)
        return self.statistics

    @property
    def sqrt_kl(self) -> float:
        """d = sqrt(KL), square-root nats; 0 where the KL estimate is negative."""
        return float(np.sqrt(max(self.kl, 0.0)))

    @property
    def proxy(self) -> float:
        return mean_and_se(self.proxy_P)[0]

    @property
    def proxy_se(self) -> float:
        return mean_and_se(self.proxy_P)[1]

    @property
    def gold(self) -> float:
        return mean_and_se(self.gold_P)[0]

    @property
    def gold_se(self) -> float:
        return mean_and_se(self.gold_P)[1]

    @property
    def human(self) -> float | None:
        return None if self.human_P is None else mean_and_se(self.human_P)[0]

    @property
    def win_rate(self) -> float | None:
        return None if self.win_P is None else mean_and_se(self.win_P)[0]

    @property
    def win_rate_se(self) -> float | None:
        return None if self.win_P is None else mean_and_se(self.win_P)[1]


@dataclass(frozen=True)
class Peak:
    """Where gold is highest.

    Attributes:
        step: the step of the peak.
        kl: peak KL, nats.
        gold: peak gold, standard deviations; not biased upwards by taking a maximum (see `Curve.peak`).
        gold_se: its standard error over prompts.
    """

    step: int
    kl: float
    gold: float
    gold_se: float


@dataclass(frozen=True)
class Curve:
    """Gold and proxy score as a function of KL, with the score of every prompt.

    Attributes:
        steps_S: integer step of each point. Shape: (S,).
        kl_S: nats. Shape: (S,).
        proxy_SP, gold_SP: scores per point and prompt, standard deviations. Shape: (S, P).
        human_SP: human judgement, same unit and shape, or None.
        statistics_S: the gold-free statistics that every point has, by name. Shape: (S,) each.
        win_SP: win rate against the initial policy per point and prompt, or None. Shape: (S, P).

    Examples:
        >>> import numpy as np
        >>> from mlproject import Curve, CurvePoint
        >>> gold_of = {0: 0.0, 1: 0.5, 2: 0.75, 3: 0.25}  # by d, the square root of KL
        >>> curve = Curve.from_points(
        ...     CurvePoint(step=d, kl=d**2, proxy_P=np.full(4, 1.0 * d), gold_P=np.full(4, gold))
        ...     for d, gold in gold_of.items()
        ... )
        >>> curve.peak().kl, curve.peak().gold, curve.drop_after_peak()[0]
        (4.0, 0.75, 0.5)
    """

    steps_S: NDArray[np.int64]
    kl_S: Array
    proxy_SP: Array
    gold_SP: Array
    human_SP: Array | None = None
    statistics_S: Mapping[str, Array] = field(default_factory=dict)
    win_SP: Array | None = None

    @classmethod
    def from_points(cls, points: Iterable[CurvePoint]) -> Curve:
        """Collect the points of a finished stream.

        Raises:
            ValueError: for an empty stream.
        """
        points = list(points)
        if not points:
            raise ValueError("a curve needs at least one point, got none")
        humans = [point.human_P for point in points if point.human_P is not None]
        wins = [point.win_P for point in points if point.win_P is not None]
        return cls(
            steps_S=np.array([point.step for point in points], dtype=np.int64),
            kl_S=np.array([point.kl for point in points]),
            proxy_SP=np.stack([point.proxy_P for point in points]),
            gold_SP=np.stack([point.gold_P for point in points]),
            human_SP=np.stack(humans) if len(humans) == len(points) else None,
            statistics_S={
                name: np.array([point.statistics[name] for point in points], dtype=np.float64)
                for name in points[0].statistics
                if all(name in point.statistics for point in points)
            },
            win_SP=np.stack(wins) if len(wins) == len(points) else None,
        )

    def __iter__(self) -> Iterator[CurvePoint]:
        """The points, without their diagnostics, which a curve does not store."""
        for index, step in enumerate(self.steps_S):
            human_P = None if self.human_SP is None else self.human_SP[index]
            statistics = {name: float(values_S[index]) for name, values_S in self.statistics_S.items()}
            yield CurvePoint(
                int(step), float(self.kl_S[index]), self.proxy_SP[index], self.gold_SP[index], human_P, statistics,
                win_P=None if self.win_SP is None else self.win_SP[index],
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.steps_S)

    @property
    def sqrt_kl_S(self) -> Array:
        return np.sqrt(np.maximum(self.kl_S, 0.0))

    @property
    def gold_S(self) -> Array:
        return self.gold_SP.mean(axis=1)

    @property
    def proxy_S(self) -> Array:
        return self.proxy_SP.mean(axis=1)

    @property
    def human_S(self) -> Array | None:
        return None if self.human_SP is None else self.human_SP.mean(axis=1)

    @property
    def win_S(self) -> Array | None:
        return None if self.win_SP is None else self.win_SP.mean(axis=1)

    def peak(self) -> Peak:
        """The point of highest gold, with a gold score that is not biased by picking the maximum of noisy points.

        Step and KL are those of the point with the highest mean over all prompts; gold is the mean of `peak_gold_P`.
        """
        best = int(self.gold_S.argmax())
        gold, gold_se = mean_and_se(self.peak_gold_P())
        return Peak(int(self.steps_S[best]), float(self.kl_S[best]), gold, gold_se)

    def drop_after_peak(self) -> tuple[float, float]:
        """Gold lost between the peak and the last point, with a standard error paired over prompts.

        Returns:
            (drop, se): standard deviations; a positive drop means the run went past its peak.
        """
        return mean_and_se(self.peak_gold_P() - self.gold_SP[-1])

    def peak_gold_P(self) -> Array:
        """Gold of each prompt at the point that is best on the other half (even, odd) of the prompts. Shape: (P,)."""
        even_SP, odd_SP = self.gold_SP[:, ::2], self.gold_SP[:, 1::2]
        if not odd_SP.size:
            return self.gold_SP[int(self.gold_S.argmax())]
        peak_P = np.empty(self.gold_SP.shape[1])
        peak_P[::2] = even_SP[odd_SP.mean(axis=1).argmax()]
        peak_P[1::2] = odd_SP[even_SP.mean(axis=1).argmax()]
        return peak_P

    def thinned(self, points: int) -> Curve:
        """At most so many points, by KL, with first, last and highest: for what costs the square of their number.

        Args:
            points: at least 3. The others are spaced evenly over the order of KL.
        """
        order = np.argsort(self.kl_S, kind="stable")
        even = np.linspace(0, len(order) - 1, min(points, len(order))).round().astype(int)
        if len(even) < len(order):
            highest = int(self.gold_S[order].argmax())
            nearest = 1 + int(np.abs(even[1:-1] - highest).argmin())
            even[nearest] = highest
        row = order[np.unique(even)]
        return Curve(
            self.steps_S[row],
            self.kl_S[row],
            self.proxy_SP[row],
            self.gold_SP[row],
            None if self.human_SP is None else self.human_SP[row],
            {name: values_S[row] for name, values_S in self.statistics_S.items()},
            None if self.win_SP is None else self.win_SP[row],
        )

    def save(self, path: Path) -> None:
        """Write to an .npz file (plain arrays, no pickle)."""
        arrays = {
            "steps_S": self.steps_S,
            "kl_S": self.kl_S,
            "proxy_SP": self.proxy_SP,
            "gold_SP": self.gold_SP,
        }
        if self.human_SP is not None:
            arrays["human_SP"] = self.human_SP
        if self.win_SP is not None:
            arrays["win_SP"] = self.win_SP
        arrays |= {STATISTIC_KEY + escape(name): values_S for name, values_S in self.statistics_S.items()}
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Curve:
        """Read a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            keys = [name for name in arrays.files if name.startswith(STATISTIC_KEY)]
            statistics_S = {unescape(name.removeprefix(STATISTIC_KEY)): arrays[name] for name in keys}
            return cls(**{name: arrays[name] for name in arrays.files if name not in keys}, statistics_S=statistics_S)
