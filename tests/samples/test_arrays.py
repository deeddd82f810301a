"""The public `best_of_n` gives the curve of all subsets of the samples of each prompt."""

from itertools import combinations

import numpy as np
import pytest

from mlproject import UserError, best_of_n

RNG = np.random.default_rng(0)
GOLD = [np.sort(RNG.normal(size=count)) for count in (6, 7, 6)]
SCORES = [gold + RNG.normal(size=len(gold)) for gold in GOLD]


def test_gold_is_the_mean_over_all_subsets_of_the_best_by_score():
    curve = best_of_n(SCORES, GOLD, n=[1, 2, 4, 6])
    everything = np.concatenate(GOLD)
    for i, n in enumerate((1, 2, 4, 6)):
        expected = [
            np.mean([gold[max(chosen, key=scores.__getitem__)] for chosen in combinations(range(len(gold)), n)])
            - gold.mean()
            for scores, gold in zip(SCORES, GOLD, strict=True)
        ]
        assert curve.gold_SP[i] == pytest.approx(np.array(expected) / everything.std(), abs=1e-12)
        assert curve.kl_S[i] == pytest.approx(np.log(n) - (n - 1) / n)
    assert best_of_n(SCORES, GOLD).steps_S.tolist() == [1, 2, 3, 4, 5, 6]


def test_neither_the_order_of_samples_nor_the_unit_of_scores_matters_to_gold():
    gold = RNG.normal(size=(40, 16))
    scores = gold + RNG.normal(size=gold.shape)
    order = RNG.permutation(16)
    one, other = best_of_n(scores, gold), best_of_n(5 - -3 * scores[:, order], 10 + 2 * gold[:, order])
    assert other.gold_SP == pytest.approx(one.gold_SP)
    assert other.proxy_S[-1] == pytest.approx(one.proxy_S[-1], rel=0.1)  # its scale is fitted on other pairs


@pytest.mark.parametrize(
    ("scores", "gold", "n", "message"),
    [
        ([[1, 2], [1, 2]], [[1, 2], [1, 2, 3]], None, "same samples of every prompt"),
        ([[1, 2]], [[1, 2]], None, "at least 2 prompts"),
        ([[1], [2]], [[1], [2]], None, "at least 2 samples"),
        ([1, 2], [1, 2], None, "scores must be numbers, one row for each prompt"),
        ([["a", "b"]], [[1, 2]], None, "scores must be numbers"),
        ([[1, 2], [1, float("nan")]], [[1, 2], [3, 4]], None, "scores must be finite"),
        ([[1, 2], [1, 2]], [[3, 3], [3, 3]], None, "gold must differ"),
        ([[1, 2], [1, 2]], [[1, 2], [3, 4]], [1, 3], "n must be whole numbers of 1 to 2"),
        ([[1, 2], [1, 2]], [[1, 2], [3, 4]], [1.5], "n must be whole numbers"),
    ],
)
def test_other_input_is_refused_in_one_line(scores, gold, n, message):
    with pytest.raises(UserError) as error:
        best_of_n(scores, gold, n)
    assert message in str(error.value) and "\n" not in str(error.value)
