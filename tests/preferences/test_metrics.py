"""Metrics of reward models against numpy written the long way."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from mlproject.preferences.metrics import pairwise_metrics


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def ece_the_long_way(margins: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    total, stated = 0.0, sigmoid(margins)
    for i in range(bins):
        inside = [j for j in range(len(stated)) if i / bins <= stated[j] < (i + 1) / bins]
        if inside:
            gap = abs(np.mean([stated[j] for j in inside]) - np.mean([labels[j] for j in inside]))
            total += len(inside) / len(stated) * gap
    return total


@pytest.fixture(scope="module")
def example() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    margins = 2 * rng.normal(size=300)
    return margins, (rng.random(300) < sigmoid(margins / 2)).astype(float)


def test_accuracy_is_the_share_ordered_as_labelled(example) -> None:
    margins, labels = example
    right = [(margin > 0) == (label == 1) for margin, label in zip(margins, labels, strict=True)]
    assert pairwise_metrics(*example)["accuracy"] == pytest.approx(np.mean(right))


def test_equal_scores_count_half() -> None:
    metrics = pairwise_metrics(np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert metrics["accuracy"] == pytest.approx((0.5 + 0.5 + 1 + 0) / 4)


def test_loss_is_the_cross_entropy_for_hard_and_for_soft_labels(example) -> None:
    margins, hard = example
    for labels in (hard, np.random.default_rng(1).random(300)):
        terms = [
            -label * math.log(p) - (1 - label) * math.log(1 - p)
            for p, label in zip(sigmoid(margins), labels, strict=True)
        ]
        assert pairwise_metrics(margins, labels)["loss"] == pytest.approx(np.mean(terms))


def test_ece_is_the_mean_gap_over_fifteen_bins(example) -> None:
    assert pairwise_metrics(*example)["ece"] == pytest.approx(ece_the_long_way(*example))


def test_ece_is_zero_where_stated_preference_equals_soft_labels() -> None:
    margins = np.linspace(-8, 8, 401)
    assert pairwise_metrics(margins, sigmoid(margins))["ece"] == pytest.approx(0, abs=1e-12)


def test_ece_tells_calibrated_from_overconfident_models() -> None:
    rng = np.random.default_rng(2)
    true_margins = rng.normal(size=20_000)
    labels = (rng.random(20_000) < sigmoid(true_margins)).astype(float)
    calibrated, overconfident = (pairwise_metrics(k * true_margins, labels)["ece"] for k in (1, 8))
    assert calibrated < 0.015
    assert overconfident > 0.15


def test_certain_predictions_fall_into_the_outer_bins() -> None:
    metrics = pairwise_metrics(np.array([60.0, -60.0]), np.array([1.0, 0.0]))
    assert metrics == pytest.approx({"accuracy": 1.0, "loss": 0.0, "ece": 0.0}, abs=1e-12)


def test_metrics_work_without_any_network() -> None:
    code = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("used the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import json
import numpy as np
from mlproject.preferences.metrics import pairwise_metrics
print(json.dumps(pairwise_metrics(np.array([1.0, -2.0, 0.5]), np.array([True, True, False]))))
"""
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    there = json.loads(done.stdout.splitlines()[-1])
    assert there == pytest.approx(pairwise_metrics(np.array([1.0, -2.0, 0.5]), np.array([True, True, False])))
    assert there["accuracy"] == pytest.approx(1 / 3)
