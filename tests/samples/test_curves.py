"""Best-of-n of a table against all subsets of its responses, prompt by prompt."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from tests.samples.planted import planted

from mlproject.estimators import beirami_kl
from mlproject.names import Diagnostic
from mlproject.samples.curves import GoldUnits, RaggedBestOfN, best_of_k_accuracy, best_of_n_points, pairs_of


def best_of_subsets(scores, values, n):
    """Mean value of the best of every subset of n; subsets with several best share."""
    means = []
    for subset in combinations(range(len(scores)), n):
        best = max(scores[i] for i in subset)
        means.append(np.mean([values[i] for i in subset if scores[i] == best]))
    return float(np.mean(means))


def ragged() -> pd.DataFrame:
    """Prompts with 3 to 6 responses, with ties among the scores."""
    table = planted(prompts=7, samples=6, seed=3).round({"bad": 0})
    kept = [3 + prompt % 4 for prompt in range(7)]
    return table[[row % 6 < kept[row // 6] for row in range(len(table))]]


def test_gold_and_proxy_are_those_of_all_subsets_of_every_prompt(read):
    table = ragged()
    pool = read(table, min_samples=3)
    assert (pool.n_max, sorted(pool.counts_P)) == (3, [3, 3, 4, 4, 5, 5, 6])
    units = GoldUnits.of(pool.gold_B)
    assert (units.mean, units.sd) == (pytest.approx(table.gold.mean()), pytest.approx(table.gold.std(ddof=0)))
    for rm in ("good", "bad"):
        points = list(best_of_n_points(pool, rm, np.array([1, 2, 3]), units, scale=0.5))
        for n, point in zip((1, 2, 3), points, strict=True):
            for index, prompt in enumerate(pool.prompts):
                rows = table[table.prompt == prompt]
                scores, gold = rows[rm].tolist(), rows.gold.tolist()
                gain = (best_of_subsets(scores, gold, n) - np.mean(gold)) / table.gold.std(ddof=0)
                rise = (best_of_subsets(scores, scores, n) - np.mean(scores)) * 0.5
                assert point.gold_P[index] == pytest.approx(gain, abs=1e-12)
                assert point.proxy_P[index] == pytest.approx(rise, abs=1e-12)
            assert (point.step, point.kl) == (n, pytest.approx(np.log(n) - (n - 1) / n))
        assert points[0].gold == pytest.approx(0, abs=1e-12)


def test_the_win_rate_is_that_over_the_other_responses_to_a_prompt(read):
    table = ragged().round({"gold": 0})  # with ties, which are half
    pool = read(table, min_samples=3)
    points = list(best_of_n_points(pool, "good", np.array([1, 3]), GoldUnits.of(pool.gold_B), 1.0))
    for n, point in zip((1, 3), points, strict=True):
        for index, prompt in enumerate(pool.prompts):
            rows = table[table.prompt == prompt]
            scores, gold = rows.good.tolist(), rows.gold.tolist()
            wins = [np.mean([(a > b) + (a == b) / 2 for j, b in enumerate(gold) if j != i]) for i, a in enumerate(gold)]
            assert point.win_P[index] == pytest.approx(best_of_subsets(scores, wins, n), abs=1e-12)
    assert points[0].win_rate == pytest.approx(0.5)


def test_the_prompts_are_the_same_at_every_n(read):
    table = pd.concat([ragged(), planted(prompts=7, samples=6, seed=3)[:2]])
    points = list(best_of_n_points(read(table), "good", np.array([1, 2, 3]), GoldUnits(0.0, 1.0), 1.0))
    assert {len(point.gold_P) for point in points} == {7}


def test_kl_by_log_probabilities_is_that_of_the_selected_responses(read):
    table = planted(prompts=4, samples=4).assign(cumulative_logprob=np.log(np.linspace(0.05, 0.9, 16)))
    pool = read(table)
    *_, point = best_of_n_points(pool, "good", np.array([1, 3]), GoldUnits.of(pool.gold_B), 1.0)
    expected = []
    for _, rows in table.groupby("prompt"):
        kl = beirami_kl(rows.cumulative_logprob.to_numpy(), 3)
        expected.append(best_of_subsets(rows.good.tolist(), kl.tolist(), 3))
    assert point.diagnostics[Diagnostic.KL_TRUE] == pytest.approx(np.mean(expected))
    assert point.diagnostics[Diagnostic.KL_TRUE] < point.kl


def test_text_statistics_are_those_of_the_selected_responses(read):
    pool = read(planted(prompts=3, samples=4))
    length_B = np.arange(12.0)
    length_B[8:] = np.nan  # of a prompt without statistics
    points = best_of_n_points(pool, "good", np.array([2]), GoldUnits(0.0, 1.0), 1.0, {"length": length_B})
    expected = RaggedBestOfN(pool, pool.scores["good"], np.array([2]))(length_B)[0, :2].mean()
    assert next(points).statistics["length"] == pytest.approx(expected)


def test_the_scale_of_a_reward_model_that_is_gold_gives_golds_own_units(read):
    table = planted(prompts=30, samples=6)
    pool = read(table.assign(same=3 * table.gold - 1), rms="same")
    units = GoldUnits.of(pool.gold_B)
    assert pairs_of(pool, pool.scores["same"], units).scale == pytest.approx(1 / (3 * units.sd), rel=1e-6)


def test_pairs_are_of_one_prompt_and_use_no_response_twice(read):
    pool = read(ragged(), min_samples=3)
    rank = np.arange(len(pool.gold_B), dtype=float)
    pairs = pairs_of(pool, rank, GoldUnits(0.0, 1.0))
    starts = np.cumsum(pool.counts_P) - pool.counts_P
    expected = [(starts[p] + i, starts[p] + i + 1) for p in range(7) for i in range(0, pool.counts_P[p] - 1, 2)]
    assert len(pairs.proxy_B) == len(expected)
    assert set(pairs.proxy_B) == {-1.0}
    assert sorted(pairs.gold_B) == pytest.approx(sorted(pool.gold_B[a] - pool.gold_B[b] for a, b in expected))


def test_accuracy_of_best_of_k_shares_ties(read):
    rows = [
        {"prompt": "a", "chosen": ["x"], "rejected": ["y", "z"], "rm": [3.0, 1.0, 2.0]},  # right
        {"prompt": "b", "chosen": ["x"], "rejected": ["y", "z"], "rm": [2.0, 2.0, 1.0]},  # a tie of two
        {"prompt": "c", "chosen": ["x"], "rejected": ["y", "z", "w"], "rm": [0.0, 2.0, 1.0, 1.0]},  # wrong
        {"prompt": "d", "chosen": ["x", "v"], "rejected": ["y"], "rm": [1.0, 1.0, 1.0]},  # two of three are right
    ]
    assert best_of_k_accuracy(read(rows), "rm") == pytest.approx((1 + 0.5 + 0 + 2 / 3) / 4)
