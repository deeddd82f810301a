"""The Bayesian last layer: its variance against the exact posterior, its head in a model, and as it is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.cures.test_ensembles import some_responses
from tests.support.checkpoints import bert_tokenizer, byte_tokenizer, save_checkpoint
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from mlproject.cures.laplace_fit import apply, posterior_root
from mlproject.cures.weights import Material
from mlproject.errors import UserError
from mlproject.models.checkpoints import load_reward_checkpoint, prompt_format_of
from mlproject.models.conservative_head import ConservativeHead, head_of, hidden_states
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, TextRewardModel, load_reward_model
from mlproject.pipeline.cured_rm import _calibrated

OPTIONS = {"laplace_sds": 2.0, "laplace_precision": 3.0}


def comparisons(count: int, weight: np.ndarray) -> np.ndarray:
    """Differences of features, preferred less other, of comparisons that Bradley-Terry has labelled."""
    rng = np.random.default_rng(0)
    difference_BH = rng.normal(size=(count, len(weight))) * [1.0, 0.3]
    wins = rng.random(count) < 1 / (1 + np.exp(-difference_BH @ weight))
    return np.where(wins[:, None], difference_BH, -difference_BH)


def test_the_variance_is_that_of_exact_bayesian_logistic_regression_on_the_last_layer() -> None:
    difference_BH = comparisons(1500, np.array([1.0, -0.5]))
    first, second = np.meshgrid(np.linspace(0.2, 1.8, 161), np.linspace(-2.5, 1.5, 161), indexing="ij")
    weights_GH = np.stack([first.ravel(), second.ravel()], axis=1)
    log_posterior_G = -0.5 * 3.0 * (weights_GH**2).sum(1)
    for row in difference_BH:
        log_posterior_G -= np.logaddexp(0, -(weights_GH @ row))
    posterior_G = np.exp(log_posterior_G - log_posterior_G.max())
    posterior_G /= posterior_G.sum()
    best_H = weights_GH[posterior_G.argmax()]
    mean_H = posterior_G @ weights_GH
    exact_HH = (weights_GH - mean_H).T @ ((weights_GH - mean_H) * posterior_G[:, None])
    root_HH = posterior_root(torch.tensor(difference_BH), torch.tensor(best_H), 3.0).numpy()
    for direction in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, -2.0]):
        exact = np.array(direction) @ exact_HH @ np.array(direction)
        assert np.square(np.array(direction) @ root_HH).sum() == pytest.approx(exact, rel=0.03)


def test_the_covariance_is_the_inverse_of_the_curvature_that_autograd_finds() -> None:
    difference_BH, weight = torch.tensor(comparisons(200, np.array([1.0, -0.5]))), torch.tensor([0.4, 0.9])

    def loss(w: torch.Tensor) -> torch.Tensor:
        return -torch.nn.functional.logsigmoid(difference_BH @ w).sum() + 3.0 / 2 * w.square().sum()

    root_HH = posterior_root(difference_BH, weight, 3.0)
    curvature_HH = torch.autograd.functional.hessian(loss, weight.double())
    torch.testing.assert_close(root_HH @ root_HH.T, torch.linalg.inv(curvature_HH))


def test_a_conservative_reward_is_the_reward_less_sigma_the_long_way(
    tmp_path: Path, tiny_reward_model, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    responses, policy = some_responses(tiny_tokenizer)
    plain = RewardModel(tiny_reward_model(1)).with_units(0.2, 3.0)
    a, b = responses.select(torch.tensor([0, 1])), responses.select(torch.tensor([2, 3]))
    (made,) = apply([plain], OPTIONS, Material(a, b, a, b))
    weight_H = plain.model.score.weight.detach().double().numpy()[0]
    hidden_BH = hidden_states(plain.model, plain.read(responses)).numpy()
    np.testing.assert_allclose(hidden_BH @ weight_H, plain.raw_scores(plain.read(responses)), atol=1e-5)
    curvature_HH = 3.0 * np.eye(len(weight_H))
    for one, other in ((0, 2), (1, 3)):
        d_H = hidden_BH[one] - hidden_BH[other]
        p = 1 / (1 + np.exp(-d_H @ weight_H))
        curvature_HH += p * (1 - p) * np.outer(d_H, d_H)
    from_mean_BH = hidden_BH - hidden_BH.mean(0)
    sigma_B = np.sqrt(np.einsum("bh,hg,bg->b", from_mean_BH, np.linalg.inv(curvature_HH), from_mean_BH))
    expected = 3.0 * (hidden_BH @ weight_H - 2.0 * sigma_B - 0.2)
    np.testing.assert_allclose(made.rate(responses), expected, atol=1e-4)
    assert sigma_B.min() > 0.01
    assert not isinstance(head_of(plain.model)[1], ConservativeHead)  # the member itself is as before

    made.save(tmp_path / "model", policy)
    read = load_reward_model(tmp_path / "model", policy)
    np.testing.assert_allclose(read.rate(responses), made.rate(responses), atol=1e-6)
    body = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")  # transformers finds the plain one
    torch.testing.assert_close(body.score.weight, plain.model.score.weight)
    with pytest.raises(UserError, match=r"^laplace: must be given a reward model with a plain head"):
        apply([made], OPTIONS, Material(a, b, a, b))


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_reward_models_from_elsewhere_have_one_too(architecture: str, tmp_path: Path) -> None:
    tokenizer = bert_tokenizer() if architecture == "bert" else byte_tokenizer(300, chat=False)
    source = save_checkpoint(tmp_path / "rm", architecture, tokenizer, reward=True)
    model, own = load_reward_checkpoint(inspect_checkpoint(str(source), "gold"), "gold")
    plain = TextRewardModel(RewardModel(model), prompt_format_of(own, model))
    policy = PromptFormat(byte_tokenizer(300, chat=False), 64)
    prompts, texts = ["Why?", "Why?", "Help me"], ["So.", "Because it is.", "No"]
    responses = Responses(prompts, policy.encode(prompts, texts), policy)
    (made,) = apply(
        [plain], OPTIONS, Material(responses, responses.select(torch.tensor([2, 0, 1])), responses, responses)
    )
    assert (made.rate(responses) < plain.rate(responses)).all()
    made.reward_model.save(tmp_path / "made", made.prompt_format)
    read, _ = load_reward_checkpoint(inspect_checkpoint(str(tmp_path / "made"), "gold"), "gold")
    np.testing.assert_allclose(
        TextRewardModel(RewardModel(read), plain.prompt_format).rate(responses), made.rate(responses), atol=1e-5
    )


def test_a_function_has_no_last_layer(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    responses, _ = some_responses(tiny_tokenizer)
    with pytest.raises(UserError, match="reward=laplace: must be of a reward model, since a function"):
        apply([FunctionScorer("length", len)], OPTIONS, Material(*[responses] * 4))


def test_units_of_a_member_do_not_remain_in_its_conservative_reward(tiny_reward_model, tiny_tokenizer) -> None:
    responses, policy = some_responses(tiny_tokenizer)
    a, b = responses.select(torch.tensor([0, 1])), responses.select(torch.tensor([2, 3]))
    table = pd.DataFrame(
        {
            "prompt": a.prompts,
            "response_a": a.texts,
            "response_b": b.texts,
            "score_a": [0.5, 2.0],
            "score_b": [0.0, 1.0],
        }
    ).assign(prefers_a=True)
    found = []
    for scale in (1.0, 0.25):
        member = RewardModel(tiny_reward_model(1)).with_units(0.2, scale)
        (made,) = apply([member], OPTIONS, Material(a, b, a, b))
        found.append(_calibrated(made, table, policy)[0].rate(responses))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
