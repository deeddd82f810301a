"""Metrics of reward models as `evaluate.Metric`s, which need no download.

All take `predictions`, the reward margins (score of a minus score of b), and `references`, the probabilities that a is
preferred: 1 or 0 for hard labels, between them for soft labels.

Axis letters: B comparisons.
"""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

_BINS = 15


class _PairwiseMetric(evaluate.Metric):
    """Base class: the inputs of all metrics."""

    description: str
    citation = ""

    def __init__(self) -> None:
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation=self.citation,
            inputs_description="predictions: reward margins a - b; references: probability that a is preferred",
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )


class PairwiseAccuracy(_PairwiseMetric):
    """Share of comparisons that the reward model orders as labelled; equal scores count half."""

    description = "Share of comparisons ordered as labelled; equal scores count half."

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        margins, prefers_a = np.asarray(predictions), np.asarray(references) > 0.5
        right = np.where(prefers_a, margins > 0, margins < 0) + 0.5 * (margins == 0)
        return {"accuracy": float(right.mean())}


class PairwiseLoss(_PairwiseMetric):
    """Bradley-Terry cross-entropy against the labels, nats per comparison; ln 2 = 0.693 is chance for hard labels."""

    description = "Bradley-Terry cross-entropy, nats per comparison."

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        margins, prefers_a = np.asarray(predictions), np.asarray(references)
        losses = prefers_a * np.logaddexp(0.0, -margins) + (1 - prefers_a) * np.logaddexp(0.0, margins)
        return {"loss": float(losses.mean())}


class ExpectedCalibrationError(_PairwiseMetric):
    """Mean difference of predicted and labelled preference, in 15 equal bins of P(a preferred) = sigmoid(margin)."""

    description = "Expected calibration error of sigmoid(margin) over 15 equal-width bins."
    citation = "Naeini, Cooper, Hauskrecht 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning"

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        predicted = 1 / (1 + np.exp(-np.asarray(predictions)))
        labels = np.asarray(references)
        bins = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
        counts = np.bincount(bins, minlength=_BINS)
        gaps = np.abs(np.bincount(bins, predicted, _BINS) - np.bincount(bins, labels, _BINS))
        return {"ece": float(gaps[counts > 0].sum() / len(labels))}


def pairwise_metrics(margin_B: np.ndarray, prefers_a_B: np.ndarray) -> dict[str, float]:
    """The three metrics: `accuracy`, `loss` (nats) and `ece`.

    Args:
        margin_B: score of a minus score of b. Shape: (B,).
        prefers_a_B: label, or probability that a is preferred. Shape: (B,).
    """
    metrics = evaluate.combine([PairwiseAccuracy(), PairwiseLoss(), ExpectedCalibrationError()])
    return metrics.compute(predictions=margin_B.tolist(), references=prefers_a_B.astype(float).tolist())
