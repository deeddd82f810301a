"""Claims about rewards with cures, in one regime of labels: ensembles, averages of weights, and controls."""

from __future__ import annotations

import math
from typing import NamedTuple

from mlproject.cures.cure import PLAIN
from mlproject.experiments.findings.claims import Claim, sign_verdict, signs_verdict
from mlproject.experiments.findings.cured_runs import CuredRuns, Regime, at_end, at_peak, difference, width
from mlproject.laws import Estimate
from mlproject.preferences import POLICY, RANDOM

ENSEMBLES = ("mean", "worst-case", "uncertainty-weighted")


class CureClaims(NamedTuple):
    """Claims about the runs of one regime.

    Attributes:
        runs: all runs.
        regime: the regime.
        end: words for the last point of a curve.
    """

    runs: CuredRuns
    regime: Regime
    end: str

    def of_cures(self) -> list[Claim]:
        """Each reward against one RM, the conservative ones against the mean, averages of weights."""
        return [*self._against_one(), *self._against_mean(), *self._of_averages()]

    def _against_one(self) -> list[Claim]:
        claims = []
        for reward in (*ENSEMBLES, "laplace"):
            ends, peaks, windows = (
                self.runs.compared(self.regime, reward, PLAIN, value) for value in (at_end, at_peak, width)
            )
            if ends:
                claims.append(
                    Claim(
                        f"{reward} loses less gold to optimization than one RM, {self.regime} (Coste et al. 2023, "
                        "figure 2)",
                        f"gold {self.end} {of_sizes(ends)}; peak gold {of_sizes(peaks)}; nats by which the window "
                        f"is wider {of_sizes(windows)}",
                        signs_verdict(ends.values()),
                    )
                )
        return claims

    def _against_mean(self) -> list[Claim]:
        return [
            Claim(
                f"{reward} holds gold where the mean of the ensemble does not, {self.regime} (Coste et al. 2023, 5.2)",
                f"gold {self.end} less that of the mean {of_sizes(over_mean)}",
                signs_verdict(over_mean.values()),
            )
            for reward in ("worst-case", "uncertainty-weighted")
            if (over_mean := self.runs.compared(self.regime, reward, "mean", at_end))
        ]

    def _of_averages(self) -> list[Claim]:
        starts = "; the members of the average start from the policy's trunk, those of the ensemble from random weights"
        claims = []
        for other, start, better_than, less_than, note in (
            ("mean", RANDOM, "the mean of an ensemble", "the mean", starts),
            (PLAIN, POLICY, "one RM from the same start", "one RM from the policy's trunk", ""),
        ):
            ends, peaks = (self.runs.compared(self.regime, "warm", other, value, start) for value in (at_end, at_peak))
            if ends:
                claims.append(
                    Claim(
                        f"An average of weights holds gold better than {better_than}, {self.regime} (Rame et al. 2024)",
                        f"gold {self.end} less that of {less_than} {of_sizes(ends)}; peak gold {of_sizes(peaks)}{note}",
                        signs_verdict(ends.values()),
                    )
                )
        return claims

    def of_controls(self) -> list[Claim]:
        """The mean of K members against one RM on K times the data, and one of about K times the parameters."""
        claims = []
        for size in self.runs.sizes:
            ensemble = self.runs.of(self.regime, size, "mean")
            if not ensemble or not self.runs.of(self.regime, size):
                continue
            members = ensemble[0].settings["ensemble_members"]
            more = Regime(members * self.regime.n_comparisons, self.regime.label_noise)
            larger = self.runs.larger(size, members)
            controls = {
                f"one RM on {members} times the comparisons": self.runs.of(more, size),
                f"one RM of {members} times the parameters ({larger})": self.runs.of(self.regime, larger),
            }
            for name, cells in controls.items():
                peak, end = (difference(cells, ensemble, value) for value in (at_peak, at_end))
                if not math.isnan(peak.value):
                    claims.append(
                        Claim(
                            f"{name} does better than the mean of {members} RMs, {size}, {self.regime} (a control of "
                            "ours)",
                            f"peak gold less that of the ensemble {signed(peak)}, gold {self.end} {signed(end)}",
                            sign_verdict(peak, 1),
                        )
                    )
        return claims


def of_sizes(by_size: dict[str, Estimate]) -> str:
    """Differences in one line, each with its RM size."""
    return ", ".join(f"{signed(estimate)} ({size})" for size, estimate in by_size.items())


def signed(estimate: Estimate) -> str:
    """A difference with its sign."""
    return f"{'+' if estimate.value >= 0 else ''}{estimate}"
