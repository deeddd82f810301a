"""Labels of comparisons: ties are dropped, held-out labels are true, noise flips the stated share of the others."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from mlproject.models.prompt_format import PromptFormat
from mlproject.models.sequences import decode_responses
from mlproject.preferences import HALF
from mlproject.preferences.comparisons import (
    COLUMNS,
    comparisons_from_preferences,
    encode_comparisons,
    label_comparisons,
)


def labelled(scores_a: np.ndarray, scores_b: np.ndarray, seed: int = 0, **options: float) -> pd.DataFrame:
    texts = [str(i) for i in range(len(scores_a))]
    options = {"held_out": 0.1, "label_noise": 0.0, **options}
    rng = np.random.default_rng(seed)
    return label_comparisons(
        texts, ["a" + t for t in texts], ["b" + t for t in texts], scores_a, scores_b, rng=rng, **options
    )


def random_scores(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=count), rng.normal(size=count)


def test_exact_ties_are_dropped_and_nothing_else() -> None:
    table = labelled(np.array([1.0, 2.0, 3.0, 0.0]), np.array([1.0, 2.0 + 1e-12, 2.0, 0.0]))
    assert table.prompt.tolist() == ["1", "2"]
    assert tuple(table.columns) == COLUMNS
    assert table.index.tolist() == [0, 1]


def test_rows_stay_together() -> None:
    scores_a, scores_b = random_scores(50)
    table = labelled(scores_a, scores_b)
    for row in table.itertuples():
        i = int(row.prompt)
        assert (row.response_a, row.response_b, row.score_a, row.score_b) == (
            f"a{i}",
            f"b{i}",
            scores_a[i],
            scores_b[i],
        )


def test_labels_without_noise_follow_the_higher_score() -> None:
    table = labelled(*random_scores(500))
    assert table.prefers_a.tolist() == [a > b for a, b in zip(table.score_a, table.score_b, strict=True)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 1.0])
def test_the_held_out_share_is_exact(share: float) -> None:
    assert labelled(*random_scores(500), held_out=share).held_out.sum() == round(share * 500)


def test_who_is_held_out_is_random_and_decided_by_the_generator() -> None:
    first, again, other = (labelled(*random_scores(500), seed).held_out for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    positions = np.flatnonzero(first)
    assert abs(positions.mean() - 249.5) < 4 * 500 / math.sqrt(12 * len(positions))


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_noise_flips_training_labels_at_the_asked_rate_and_no_others(noise: float) -> None:
    table = labelled(*random_scores(8000), held_out=0.25, label_noise=noise)
    wrong = table.prefers_a != (table.score_a > table.score_b)
    assert not wrong[table.held_out].any()
    training = wrong[~table.held_out]
    assert abs(training.mean() - noise) < 4 * math.sqrt(noise * (1 - noise) / len(training))


def test_sampled_labels_follow_the_sigmoid_of_the_difference_and_leave_the_held_out_ones_true() -> None:
    scores_a, scores_b = random_scores(20_000)
    table = labelled(scores_a, scores_b, held_out=0.25, labels="sampled")
    margin = table.score_a - table.score_b
    assert (table.prefers_a == (margin > 0))[table.held_out].all()
    for low in (-2.0, -0.5, 0.25, 1.5):
        band = table[~table.held_out & margin.between(low, low + 0.5)]
        expected = 1 / (1 + np.exp(-(band.score_a - band.score_b)))
        se = math.sqrt((expected * (1 - expected)).sum()) / len(band)
        assert abs(band.prefers_a.mean() - expected.mean()) < 4 * se


def test_noise_leaves_the_held_out_comparisons_where_they_were() -> None:
    clean, noisy = (labelled(*random_scores(500), label_noise=noise) for noise in (0.0, 0.4))
    assert clean.held_out.tolist() == noisy.held_out.tolist()


def test_encoded_comparisons_keep_texts_labels_and_margins(tiny_tokenizer) -> None:
    table = label_comparisons(
        ["yes", "no no"],
        ["maybe", "yes yes no"],
        ["no yes", "no"],
        np.array([1.0, -2.0]),
        np.array([0.25, 3.0]),
        held_out=0.0,
        label_noise=0.0,
        rng=np.random.default_rng(0),
    )
    encoded = encode_comparisons(table, PromptFormat(tiny_tokenizer, max_response_tokens=8))
    assert decode_responses(tiny_tokenizer, encoded.a) == ["maybe", "yes yes no"]
    assert decode_responses(tiny_tokenizer, encoded.b) == ["no yes", "no"]
    assert encoded.prefers_a_B.tolist() == [True, False]
    assert encoded.margin_B.tolist() == [0.75, -5.0]
    assert len(encoded) == 2


def test_given_comparisons_of_one_prompt_are_all_in_the_same_half_and_on_the_same_side() -> None:
    prompts = [f"prompt {i // 5}" for i in range(300)]
    answers = [f"good {i}" for i in range(300)], [f"bad {i}" for i in range(300)]
    table = comparisons_from_preferences(prompts, *answers, held_out=0.1, label_noise=0.0, rng=np.random.default_rng(0))
    assert (table.groupby("prompt")[[HALF, "held_out"]].nunique() == 1).all(axis=None)
    assert table[HALF].value_counts().to_dict() == {"train": 150, "test": 150}
    assert table[table.held_out][HALF].value_counts().to_dict() == {"train": 15, "test": 15}
    chosen = np.where(table.prefers_a, table.response_a, table.response_b)
    assert all(text.startswith("good") for text in chosen)
    assert 0.3 < table.prefers_a.mean() < 0.7
