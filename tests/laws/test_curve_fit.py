"""The public `fit` takes KL and gold as they were logged."""

import numpy as np
import pytest

from mlproject import UserError, fit
from mlproject.laws import FORMS, fit_form

KL = [0.0, 0.25, 1.0, 4.0, 9.0, 16.0]


def test_it_is_the_law_of_the_method_over_sqrt_kl():
    d = np.sqrt(KL)
    gold = d * (0.8 - 0.2 * d)
    law = fit(KL, gold, method="best-of-n")
    assert law.form is FORMS["best-of-n"] and (law.alpha, law.beta) == pytest.approx((0.8, 0.2))
    assert law.peak() == pytest.approx((4.0, 0.8))
    noisy = gold + np.random.default_rng(0).normal(size=len(d), scale=0.05)
    for method in ("ppo", "grpo", "rl"):
        assert fit(KL, noisy, method) == fit_form(FORMS["rl"], d, noisy, min_d=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FORMS["rl"], [1.0, 2.0], [0.1, 0.2]), "mlproject.laws.fit_form"),
        (([1, 4, 9], [0.1, 0.2]), "two lists of one length"),
        (([1, 4, -9], [0.1, 0.2, 0.3]), "kl at least 0"),
        (([1, 4, 9], [0.1, 0.2, float("nan")]), "must be finite"),
        (([1, 1, 4], [0.1, 0.2, 0.3]), "3+ points"),
    ],
)
def test_other_input_is_refused_in_one_line(arguments, message):
    with pytest.raises(UserError) as error:
        fit(*arguments)
    assert message in str(error.value) and "\n" not in str(error.value)
