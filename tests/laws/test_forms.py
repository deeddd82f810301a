"""Functional forms: values at the origin, and closed-form peaks against the formulas and a dense grid."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.laws import FORMS, Forecast, forecast_of, law_for, points_from_summaries
from mlproject.laws.agreement import initial_agreement, log_likelihood
from mlproject.laws.forms import rival_of, trains_policy
from mlproject.laws.posterior import LOG_D_L
from mlproject.optimization import METHODS

POWER = FORMS["power"].with_exponent
assert POWER
SOLID = {name: form for name, form in FORMS.items() if not form.with_exponent}  # all but families
SOLID |= {f"power {g}": POWER(g) for g in (0.5, 1.0, 2.5)}
KL, GOLD = [0.0, 0.05, 1.0, 2.0, 4.0, 8.0], [0.0, 0.05, 0.55, 0.65, 0.6, 0.3]  # the logarithmic law leaves .05 out
PEAKED = [name for name, form in SOLID.items() if form.peak_d is not None]


@pytest.mark.parametrize("name", SOLID)
def test_every_form_is_zero_at_the_initial_policy(name: str) -> None:
    coef = np.array([0.7, 0.3])[: SOLID[name].columns(np.zeros(1)).shape[-1]]
    np.testing.assert_array_equal(SOLID[name].value([0.0, 0.0], coef), [0.0, 0.0])
    assert SOLID[name].value(0.9, coef) > 0.1


def test_the_forms_compute_their_formulas() -> None:
    d, a, b = 1.7, 0.6, 0.2
    assert FORMS["best-of-n"].value(d, [a, b]) == pytest.approx(d * (a - b * d))
    assert FORMS["rl"].value(d, [a, b]) == pytest.approx(d * (a - b * np.log(d)))
    assert FORMS["linear"].value(d, [a]) == pytest.approx(a * d)
    assert FORMS["log1p"].value(d, [a, b]) == pytest.approx(d * (a - b * np.log(1 + d)))
    assert FORMS["kl-quadratic"].value(d, [a, b]) == pytest.approx(a * d**2 - b * d**4)
    assert POWER(0.4).value(d, [a, b]) == pytest.approx(d * (a - b * d**0.4))


def test_a_family_cannot_be_evaluated_without_an_exponent() -> None:
    with pytest.raises(TypeError, match="exponent"):
        FORMS["power"].value(1.0, [0.5, 0.1])


@pytest.mark.parametrize("name", SOLID)
def test_dof_counts_columns_and_exponents(name: str) -> None:
    columns = SOLID[name].columns(np.ones(1)).shape[-1]
    assert SOLID[name].dof == columns + name.startswith("power")


@pytest.mark.parametrize("name", PEAKED)
@pytest.mark.parametrize(("alpha", "beta"), [(0.49, 0.12), (0.66, 0.3), (0.05, 0.2), (0.4, 0.4)])
def test_peaks_equal_the_maximum_over_a_dense_grid(name: str, alpha: float, beta: float) -> None:
    d = np.linspace(0.0, 40.0, 2_000_001)
    gold = SOLID[name].value(d, [alpha, beta])
    best = int(gold.argmax())
    assert best < len(d) - 1  # the grid contains the peak
    peak_kl, peak_gold = SOLID[name].peak([alpha, beta])
    assert np.sqrt(peak_kl) == pytest.approx(d[best], abs=4e-5)
    assert peak_gold == pytest.approx(gold[best], rel=1e-8)


def test_the_optima_are_those_of_the_closed_forms() -> None:
    """(a/2b)^2, a^2/4b, 0 again at 4 KL*; RL: exp(2a/b - 2), b d*, 0 again at e^2 KL*."""
    a, b = 0.513, 0.12
    kl, gold = FORMS["best-of-n"].peak([a, b])
    assert (kl, gold) == (pytest.approx((a / (2 * b)) ** 2), pytest.approx(a**2 / (4 * b)))
    assert FORMS["best-of-n"].value(np.sqrt(4 * kl), [a, b]) == pytest.approx(0.0, abs=1e-12)
    a, b = 0.35, 0.147
    kl, gold = FORMS["rl"].peak([a, b])
    assert (kl, gold) == (pytest.approx(np.exp(2 * a / b - 2)), pytest.approx(b * np.exp(a / b - 1)))
    assert FORMS["rl"].value(np.sqrt(np.e**2 * kl), [a, b]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", PEAKED)
def test_a_law_that_has_no_downward_curvature_or_too_little_has_no_peak(name: str) -> None:
    peak_kl, peak_gold = SOLID[name].peak([[0.5, 0.0], [0.5, -0.1], [0.5, 1e-320], [0.5, np.nan], [0.5, 0.2]])
    assert np.isnan(peak_kl).tolist() == [True, True, True, True, False]
    assert np.isnan(peak_gold).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("name", ["best-of-n", "log1p", "kl-quadratic", "power 0.5"])
def test_a_law_that_only_falls_peaks_at_the_initial_policy(name: str) -> None:
    peak_kl, peak_gold = SOLID[name].peak([-0.5, 0.1])
    assert (peak_kl, peak_gold) == (0.0, 0.0)


def test_a_straight_line_has_no_peak() -> None:
    assert np.isnan(FORMS["linear"].peak([0.5])).all()


def test_best_of_n_has_the_quadratic_law_and_training_the_logarithmic_one() -> None:
    assert law_for("best-of-n") is FORMS["best-of-n"]
    assert law_for("ppo") is law_for("anything else") is FORMS["rl"]


def test_a_method_says_itself_which_law_it_has_and_whether_its_points_are_samples_of_a_trained_policy() -> None:
    chooses = SimpleNamespace(law="log1p", trains_policy=False)
    assert law_for(chooses) is FORMS["log1p"]
    rng = np.random.default_rng(0)
    points = [CurvePoint(i, 0.1 * i, *(rng.normal(size=(2, 50)) + 1)) for i in range(1, 5)]
    slopes = [point.gold / point.sqrt_kl for point in points]
    assert initial_agreement(chooses, points) == pytest.approx(np.log(np.mean(slopes)))
    assert (log_likelihood(chooses, points, np.zeros(len(LOG_D_L))) == 0).all()


def test_the_two_laws_of_the_paper_are_each_others_rival() -> None:
    assert rival_of(FORMS["best-of-n"]) is FORMS["rl"]
    assert rival_of(FORMS["rl"]) is FORMS["best-of-n"]
    assert rival_of(FORMS["log1p"]) is FORMS["rl"]


def test_a_name_stands_for_the_registered_method_of_that_name() -> None:
    for name, method in METHODS.items():
        assert law_for(name) == law_for(method)
        assert trains_policy(name) == method.trains_policy
    points = points_from_summaries(range(6), KL, GOLD, [0.02] * 6)
    named = forecast_of("soft-best-of-n", points)
    assert named == forecast_of(METHODS["soft-best-of-n"], points) != forecast_of("grpo", points)


def test_a_best_of_n_that_is_not_registered_is_refused_and_another_name_is_a_trainer_s() -> None:
    with pytest.raises(UserError, match=r"method=pairwise-best-of-n: must be one of best-of-n, .*soft-best-of-n"):
        Forecast("pairwise-best-of-n")
    assert law_for("grpo") == FORMS["rl"]


def test_the_public_face_knows_registered_methods_by_name_and_laws_alone_refuse_them() -> None:
    script = "import mlproject; mlproject.Forecast('soft-best-of-n'); print('known')"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "known\n"
    script = "from mlproject.laws.forecast import Forecast; Forecast('soft-best-of-n')"
    refused = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr
    assert "Import mlproject.optimization, which registers" in refused
