"""A registered reward with cures, which imports nothing of this project, gives the scores that the project gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.cures.test_ensembles import some_responses

from mlproject.cures import COMBINE, CURES, SHAPE
from mlproject.cures.cure import Start
from mlproject.cures.laplace_fit import apply
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer
from mlproject.cures.weights import Material
from mlproject.models.checkpoints import prompt_format_of
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import Scorer, TextRewardModel
from mlproject.pipeline.loading import load_scorer, save_scorer
from mlproject.registry.pyfunc_scorer import RewardModelScorer

OPTIONS = {
    "uwo_lambda": 0.5, "ensemble_sds": 1.5, "par_k": 1.5, "lsc_quantile": 0.85, "clip_sds": 0.4, "reward_ceiling": 0.1,
    "laplace_sds": 1.0, "laplace_precision": 2.0,
}  # fmt: skip
REFERENCES = {"yes no": (0.1, 0.3), "maybe": (-0.2, 0.0), "no": (0.5, 0.1)}


def served(folder: Path) -> RewardModelScorer:
    scorer = RewardModelScorer()
    scorer.load_context(SimpleNamespace(artifacts={"model": str(folder)}))
    return scorer


@pytest.fixture(scope="module")
def made(tiny_reward_model, tiny_tokenizer) -> dict[str, Scorer]:
    responses, _ = some_responses(tiny_tokenizer)
    plain = [RewardModel(tiny_reward_model(seed)).with_units(0.1 * seed, 1.0 + seed) for seed in range(3)]
    a, b = responses.select(torch.tensor([0, 1])), responses.select(torch.tensor([2, 3]))
    conservative = apply(plain, OPTIONS, Material(a, b, a, b))
    rewards: dict[str, Scorer] = {"laplace": conservative[0], "laplace+mean": EnsembleScorer("mean", conservative)}
    for cure in CURES.values():
        if cure.combine:
            rewards[cure.name] = EnsembleScorer(cure.name, tuple(plain), OPTIONS).with_units(0.2, 2.0)
        elif cure.stage == SHAPE:
            of = REFERENCES if cure.needs_references else {}
            inner = EnsembleScorer("worst-case", tuple(plain[:2]))
            start = Start.of(inner.rate(responses))
            rewards[cure.name] = ShapedScorer(cure.name, inner, start, of, OPTIONS).with_units(-0.1, 0.5)
    assert {cure.name for cure in CURES.values() if cure.stage in (COMBINE, SHAPE)} - {"warm"} <= set(rewards)
    return rewards


@pytest.mark.parametrize("name", sorted({*CURES, "laplace+mean"} - {"warm"}))
def test_a_served_reward_with_cures_scores_as_offline(name: str, made, tmp_path: Path, tiny_tokenizer) -> None:
    responses, policy = some_responses(tiny_tokenizer)
    save_scorer(made[name], tmp_path, policy)
    expected_B = made[name].rate(responses)
    np.testing.assert_allclose(load_scorer(tmp_path, policy).rate(responses), expected_B, atol=1e-6)
    table = pd.DataFrame({"prompt": responses.prompts, "response": responses.texts})
    np.testing.assert_allclose(served(tmp_path / "model").predict(None, table).reward, expected_B, atol=1e-5)
    assert expected_B.std() > 0.001


def test_a_prompt_without_references_is_named_by_its_row(made, tmp_path: Path, tiny_tokenizer) -> None:
    _, policy = some_responses(tiny_tokenizer)
    save_scorer(made["par"], tmp_path, policy)
    table = pd.DataFrame({"prompt": ["no", "yes"], "response": ["maybe", "maybe"]})
    with pytest.raises(ValueError, match="row 1: prompt must be one that has reference responses, not 'yes'"):
        served(tmp_path / "model").predict(None, table)


def test_members_that_read_texts_are_kept_with_their_own_tokenizer(
    tmp_path: Path, tiny_reward_model, tiny_tokenizer
) -> None:

    responses, policy = some_responses(tiny_tokenizer)
    models = [tiny_reward_model(seed) for seed in (0, 1)]
    members = tuple(TextRewardModel(RewardModel(m), prompt_format_of(tiny_tokenizer, m)) for m in models)
    reward = EnsembleScorer("worst-case", members)
    save_scorer(reward, tmp_path, policy)
    table = pd.DataFrame({"prompt": responses.prompts, "response": responses.texts})
    np.testing.assert_allclose(
        served(tmp_path / "model").predict(None, table).reward, reward.rate(responses), atol=1e-5
    )
    read = load_scorer(tmp_path, policy)
    assert all(isinstance(member, TextRewardModel) for member in read.members)
