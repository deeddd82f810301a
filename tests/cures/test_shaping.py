"""Shaped rewards: every formula the long way, their references, and the scorer that applies them."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from tests.cures.test_ensembles import some_responses

from mlproject.cures import CURES, SHAPE
from mlproject.cures.cure import Start
from mlproject.cures.folder import load_recipe, save_recipe
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer
from mlproject.errors import UserError
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import load_reward_model

OPTIONS = {"par_k": 1.5, "lsc_quantile": 0.85, "clip_sds": 2.0, "reward_ceiling": 0.7}
START = Start.of(np.array([-1.0, 0.0, 0.5, 1.5, -0.5]))
SCORES = [-4.0, -0.3, 0.0, 0.6, 0.9, 30.0]
REFERENCES = [[0.0, 0.2], [-1.0, 1.0], [0.5, 0.4], [0.0, 0.0], [2.0, -2.0], [1.0, 1.5]]


def the_long_way(name: str, score: float, references: list[float]) -> float:
    mean = sum(references) / len(references)
    sd = (sum((each - mean) ** 2 for each in references) / len(references)) ** 0.5
    if name == "par":
        return sum(1 / (1 + math.exp(-1.5 * (score - each))) for each in references) / len(references)
    if name == "log-sigmoid":
        return -math.log(1 + math.exp(-(score - mean - NormalDist().inv_cdf(0.85) * sd)))
    if name == "min-max":
        return (max(-1.0, min(1.5, score)) + 1.0) / 2.5
    if name == "clip":
        values = [-1.0, 0.0, 0.5, 1.5, -0.5]
        sd = (sum((each - 0.1) ** 2 for each in values) / 5) ** 0.5
        return max(0.1 - 2 * sd, min(0.1 + 2 * sd, score))
    return min(0.7, score)


@pytest.mark.parametrize("name", ["par", "log-sigmoid", "min-max", "clip", "ceiling"])
def test_scores_are_shaped_as_the_long_way(name: str) -> None:
    shaped_B = CURES[name].shape(np.array(SCORES), START, np.array(REFERENCES), OPTIONS)
    expected = [the_long_way(name, *each) for each in zip(SCORES, REFERENCES, strict=True)]
    np.testing.assert_allclose(shaped_B, expected, atol=1e-12)
    order = CURES[name].shape(np.linspace(-3, 3, 61), START, np.zeros((61, 2)), OPTIONS)
    assert (np.diff(order) >= 0).all()
    assert {cure.name for cure in CURES.values() if cure.stage == SHAPE} == {
        "par", "log-sigmoid", "min-max", "clip", "ceiling",
    }  # fmt: skip


def test_one_reference_takes_the_spread_of_all_responses() -> None:
    shaped_B = CURES["log-sigmoid"].shape(np.array([0.4]), START, np.array([[0.1]]), OPTIONS)
    centre = 0.1 + NormalDist().inv_cdf(0.85) * START.sd
    np.testing.assert_allclose(shaped_B, -math.log(1 + math.exp(-(0.4 - centre))))


def test_a_saved_chain_scores_as_before_and_knows_the_references_of_its_prompts(
    tmp_path: Path, tiny_reward_model, tiny_tokenizer
) -> None:
    responses, policy = some_responses(tiny_tokenizer)
    members = tuple(RewardModel(tiny_reward_model(seed)) for seed in range(2))
    ensemble = EnsembleScorer("worst-case", members)
    references = {"yes no": (0.1, 0.3), "maybe": (-0.2, 0.0), "no": (0.5, 0.1)}
    made = ShapedScorer("par", ensemble, START, references, OPTIONS).with_units(0.5, 4.0)
    lowest_B = np.minimum(*(member.rate(responses) for member in members))
    rows_BM = np.array([references[prompt] for prompt in responses.prompts])
    expected = 4 * ((1 / (1 + np.exp(-1.5 * (lowest_B[:, None] - rows_BM)))).mean(1) - 0.5)
    np.testing.assert_allclose(made.rate(responses), expected, atol=1e-12)
    save_recipe(made, tmp_path / "model", lambda part, folder: part.save(folder, policy))
    read = load_recipe(tmp_path / "model", lambda folder: load_reward_model(folder, policy))
    np.testing.assert_array_equal(read.rate(responses), made.rate(responses))
    foreign = ShapedScorer("par", ensemble, START, {"no": (0.5,)}, OPTIONS)
    with pytest.raises(
        UserError, match=r"^par: must have reference responses .* but has none to 'yes no'\. Restore .*curve_prompts"
    ):
        foreign.rate(responses)
