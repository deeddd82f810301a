"""Calibration finds a planted scale and centre, and its metrics are those of the calibrated model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.names import Artifact, Metric
from mlproject.pipeline.calibrate import calibrated, label_agreement, load_unit_pairs, score_margins
from mlproject.preferences.comparisons import EncodedComparisons

A = ["yes no", "no", "maybe yes yes", "no no no", "yes maybe", ""]
B = ["no", "yes yes", "maybe", "yes", "no maybe no", "yes no yes"]


@pytest.fixture(scope="module")
def prompt_format(tiny_tokenizer) -> PromptFormat:
    return PromptFormat(tiny_tokenizer, 8)


@pytest.fixture(scope="module")
def raw(tiny_reward_model) -> RewardModel:
    return RewardModel(tiny_reward_model(seed=2, sharpness=8.0))


def pairs_with_gold(raw: RewardModel, prompt_format: PromptFormat, scale: float) -> EncodedComparisons:
    """Comparisons whose gold margins are the raw margins times a scale."""
    a, b = (prompt_format.encode(["yes"] * len(texts), texts) for texts in (A, B))
    margin_B = scale * (raw.scores(a) - raw.scores(b))
    return EncodedComparisons(a, b, margin_B > 0, margin_B)


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_the_scale_of_gold_is_found_and_the_mean_score_becomes_zero(raw, prompt_format, scale) -> None:
    pairs = pairs_with_gold(raw, prompt_format, scale)
    model, metrics = calibrated(raw, pairs)
    assert metrics[Metric.RM_SCALE] == pytest.approx(scale, rel=1e-4)
    np.testing.assert_allclose(score_margins(model, pairs), pairs.margin_B, rtol=1e-4)
    assert np.concatenate([model.scores(pairs.a), model.scores(pairs.b)]).mean() == pytest.approx(0, abs=1e-6)
    assert metrics[Metric.RM_VAL_ACCURACY] == 1.0
    soft = 1 / (1 + np.exp(-pairs.margin_B))
    entropy = -(soft * np.log(soft) + (1 - soft) * np.log(1 - soft)).mean()
    assert metrics[Metric.RM_VAL_LOSS_CALIBRATED] == pytest.approx(entropy, rel=1e-4)
    assert metrics[Metric.RM_VAL_LOSS] == label_agreement(score_margins(raw, pairs), pairs)[Metric.RM_VAL_LOSS]


def test_ties_of_gold_are_no_unit_pairs_and_the_others_are_labelled_by_their_scores(
    tmp_path: Path, prompt_format
) -> None:
    table = pd.DataFrame(
        {
            "prompt": "yes",
            "response_a": A[:3],
            "response_b": B[:3],
            "score_a": [1.0, 0.5, -2.0],
            "score_b": [0.0, 0.5, 1.0],
        }
    )
    table.to_parquet(tmp_path / Artifact.PAIRS)
    pairs = load_unit_pairs(SimpleNamespace(input=lambda role: tmp_path), prompt_format)
    assert pairs.prefers_a_B.tolist() == [True, False] and pairs.margin_B.tolist() == [1.0, -3.0]
    assert prompt_format.decode(pairs.a) == [A[0], A[2]] and prompt_format.decode(pairs.b) == [B[0], B[2]]
