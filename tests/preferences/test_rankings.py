"""Rankings: their losses by enumeration and the long way, how they are labelled, and what they are made of."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.models.init import new_reward_model
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.models.training import Schedule
from mlproject.pipeline.study import plan_proxy, plan_roots
from mlproject.preferences.bradley_terry import bradley_terry_loss, ranking_loss, train_reward_model
from mlproject.preferences.comparisons import COLUMNS, label_comparisons
from mlproject.preferences.loss_options import RewardLoss
from mlproject.preferences.plackett_luce import plackett_luce_loss
from mlproject.preferences.rankings import (
    RANKING,
    encode_rankings,
    joined,
    label_rankings,
    middle,
    pairs_of,
    resampled,
)

K_WISE, PLACKETT_LUCE = RewardLoss(rm_loss="k-wise"), RewardLoss(rm_loss="plackett-luce")


def rewards(count: int, rows: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=(rows, count)) * 2)


def likelihood(rewards_N: list[float]) -> float:
    """Of a ranking, response by response: each is drawn among those that are left."""
    chance = 1.0
    for place in range(len(rewards_N)):
        chance *= math.exp(rewards_N[place]) / sum(math.exp(other) for other in rewards_N[place:])
    return chance


def test_plackett_luce_is_the_likelihood_of_drawing_one_response_after_the_other() -> None:
    rewards_BN = rewards(4, rows=7)
    expected = -np.mean([math.log(likelihood(row)) for row in rewards_BN.tolist()])
    assert float(plackett_luce_loss(rewards_BN)) == pytest.approx(expected, rel=1e-12)
    (row,) = rewards(4).tolist()
    every = torch.tensor([list(order) for order in permutations(row)], dtype=torch.float64)
    chances = [math.exp(-float(plackett_luce_loss(each[None]))) for each in every]
    assert sum(chances) == pytest.approx(1.0, rel=1e-12) and len(set(chances)) == 24


def test_of_two_responses_all_losses_are_that_of_bradley_and_terry() -> None:
    rewards_BN = rewards(2, rows=30)
    a, b = rewards_BN.unbind(1)
    expected = bradley_terry_loss(a, b, torch.ones(30, dtype=torch.bool))
    for loss in (K_WISE, PLACKETT_LUCE):
        torch.testing.assert_close(ranking_loss(rewards_BN, torch.zeros(30, 2), loss), expected, rtol=1e-12, atol=0)
    far = torch.tensor([[-1e4, 1e4]])
    assert float(plackett_luce_loss(far)) == pytest.approx(2e4)


def test_k_wise_is_the_mean_over_all_pairs_with_what_is_added_to_it_the_long_way() -> None:
    loss = RewardLoss(rm_loss="k-wise", rm_margin=0.5, rm_label_smoothing=0.1, center_rewards_coefficient=0.2)
    rewards_BN, scores_BN = rewards(4, rows=3), rewards(4, rows=3, seed=1).sort(1, descending=True).values
    expected = []
    for row, scores in zip(rewards_BN.tolist(), scores_BN.tolist(), strict=True):
        for i, j in combinations(range(4), 2):
            x = row[i] - row[j] - 0.5 * (scores[i] - scores[j])
            right = 1 / (1 + math.exp(-x))
            centred = 0.2 * (row[i] + row[j]) ** 2
            expected.append(-0.9 * math.log(right) - 0.1 * math.log(1 - right) + centred)
    assert float(ranking_loss(rewards_BN, scores_BN, loss)) == pytest.approx(np.mean(expected), rel=1e-12)
    centred = RewardLoss(rm_loss="plackett-luce", center_rewards_coefficient=0.2)
    squares = [(row[i] + row[j]) ** 2 for row in rewards_BN.tolist() for i, j in combinations(range(4), 2)]
    added = ranking_loss(rewards_BN, scores_BN, centred) - plackett_luce_loss(rewards_BN)
    assert float(added) == pytest.approx(0.2 * np.mean(squares), rel=1e-9)


def ranked(scores_PN: np.ndarray, seed: int = 0, **options) -> pd.DataFrame:
    prompts, count = [f"prompt {p}" for p in range(len(scores_PN))], scores_PN.shape[1]
    texts = [[f"{prompt} response {n}" for n in range(count)] for prompt in prompts]
    given = {"held_out": 0.0, "label_noise": 0.0, "labels": "hard"} | options
    return label_rankings(prompts, texts, scores_PN, rng=np.random.default_rng(seed), **given)


def orders(table: pd.DataFrame, count: int) -> list[tuple[int, ...]]:
    """The responses of each ranking by their numbers, the best first, from its pairs alone."""
    found = []
    winners = table.response_a.where(table.prefers_a, table.response_b).str.rsplit(" ", n=1).str[1].astype(int)
    for start in range(0, len(table), pairs_of(count)):
        wins = np.bincount(winners[start : start + pairs_of(count)], minlength=count)
        found.append(tuple((-wins).argsort(kind="stable").tolist()))
    return found


def test_rankings_are_by_score_and_hold_all_pairs_and_ties_are_left_out() -> None:
    scores_PN = np.array([[0.0, 2.0, 1.0], [1.0, 1.0, 0.0], [3.0, -1.0, 0.5]])
    table = ranked(scores_PN)
    assert orders(table, 3) == [(1, 2, 0), (0, 2, 1)] and len(table) == 2 * pairs_of(3)
    assert set(COLUMNS) < set(table) and (table.prefers_a == (table.score_a > table.score_b)).all()
    assert (table.prefers_a == (table.rank_a < table.rank_b)).all()


def test_noise_turns_whole_rankings_of_the_training_part_round() -> None:
    scores_PN = np.random.default_rng(0).normal(size=(2000, 3))
    table = ranked(scores_PN, label_noise=0.25, held_out=0.1)
    right = table.prefers_a == (table.score_a > table.score_b)
    assert right[table.held_out].all() and table.held_out.mean() == pytest.approx(0.1)
    by_ranking = right[~table.held_out].groupby(table[RANKING]).mean()
    assert set(by_ranking) == {0.0, 1.0} and 1 - by_ranking.mean() == pytest.approx(0.25, abs=0.04)


def test_sampled_rankings_have_the_probabilities_of_plackett_and_luce() -> None:
    table = ranked(np.tile([0.5, 0.0, -0.7], (1500, 1)), labels="sampled")
    found = pd.Series(orders(table, 3)).value_counts(normalize=True)
    for order in permutations(range(3)):
        chance = likelihood([(0.5, 0.0, -0.7)[n] for n in order])
        assert found[order] == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / 1500))


def test_rankings_are_encoded_from_the_best_down_and_pairs_as_rankings_of_two(tiny_tokenizer) -> None:
    policy = PromptFormat(tiny_tokenizer, max_response_tokens=8)
    texts = [["yes", "no no", "maybe maybe maybe"], ["no", "yes yes", "no maybe no"]]
    scores_PN = np.array([[0.0, 2.0, 1.0], [5.0, 4.0, 6.0]])
    options = {"held_out": 0.0, "label_noise": 0.0, "rng": np.random.default_rng(0)}
    encoded = encode_rankings(label_rankings(["yes", "maybe"], texts, scores_PN, **options), policy)
    assert policy.decode(encoded.sequences) == ["no no", "maybe maybe maybe", "yes", "no maybe no", "no", "yes yes"]
    assert encoded.scores_PN.tolist() == [[2.0, 1.0, 0.0], [6.0, 5.0, 4.0]] and len(encoded) == 2
    pairs = label_comparisons(
        ["yes"] * 2, ["yes", "no"], ["no", "maybe"], *np.array([[1.0, 0.0], [0.0, 1.0]]), **options
    )
    encoded = encode_rankings(pairs, policy)
    assert policy.decode(encoded.sequences) == ["yes", "no", "maybe", "no"]
    assert encoded.scores_PN.tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_no_ranking_is_divided_where_tables_are_joined_halved_or_drawn_from() -> None:
    first, second = (ranked(np.random.default_rng(n).normal(size=(5, 4))) for n in range(2))
    both = joined([first, second])
    assert both.groupby(RANKING).size().tolist() == [6] * 10
    assert middle(both) == 30 and middle(first) == 12 and middle(first.drop(columns=RANKING)) == 15
    drawn = resampled(both, np.random.default_rng(0))
    assert drawn.groupby(RANKING).size().tolist() == [6] * 10 and drawn.groupby(RANKING).prompt.nunique().max() == 1
    assert 1 < drawn.groupby(RANKING).first().response_a.nunique() < 10


@pytest.mark.trains
@pytest.mark.parametrize("loss", [K_WISE, PLACKETT_LUCE])
def test_a_reward_model_learns_from_rankings(loss: RewardLoss, tiny_tokenizer) -> None:
    policy, rng = PromptFormat(tiny_tokenizer, max_response_tokens=10), np.random.default_rng(0)
    texts = [
        [" ".join(rng.choice(["yes", "no", "maybe"], size=n)) for n in rng.permutation(8)[:4] + 1] for _ in range(150)
    ]
    scores_PN = np.array([[len(text.split()) for text in row] for row in texts], dtype=float)
    table = label_rankings(["yes"] * 150, texts, scores_PN, held_out=0.2, label_noise=0.0, rng=rng)
    model = new_reward_model("3k", tiny_tokenizer, seed=0)
    train_reward_model(
        model, encode_rankings(table[~table.held_out], policy), Schedule(epochs=6, batch_size=36, learning_rate=1e-2),
        accelerator=Accelerator(cpu=True), generator=torch.Generator().manual_seed(0), loss=loss,
    )  # fmt: skip
    held_out = encode_rankings(table[table.held_out], policy)
    scores_BN = RewardModel(model).scores(held_out.sequences).reshape(-1, 4)
    assert np.mean(np.diff(scores_BN, axis=1) < 0) > 0.9


def test_a_loss_over_rankings_is_part_of_the_proxy_and_what_cannot_be_is_refused() -> None:
    config = load_config("smoke", {"rm_loss": "plackett-luce", "ranked_responses": 4})
    roots = plan_roots(config)
    assert roots.comparisons.params["ranked_responses"] == 4 and "4 ranked" in roots.comparisons.name
    proxy = plan_proxy(config, roots, "3k", 0)
    assert proxy.params["rm_loss"] == "plackett-luce" and proxy.inherited_params["ranked_responses"] == 4
    with pytest.raises(UserError, match=r"^rm_margin=1.0: must be 0 with rm_loss=plackett-luce"):
        load_config("smoke", {"rm_loss": "plackett-luce", "rm_margin": 1})
