"""The forecast: planted peaks are predicted before they are reached, with calibrated intervals."""

from __future__ import annotations

import json
import math
import time
from dataclasses import astuple, replace

import numpy as np
import pytest

from mlproject.curve import Curve, CurvePoint
from mlproject.errors import NotFiniteError
from mlproject.laws import FORMS, Forecast, Prediction, Prior
from mlproject.laws.agreement import initial_agreement, log_likelihood
from mlproject.laws.forecast import MAX_POINTS
from mlproject.laws.posterior import EXPONENTS, LOG_D_L, LOG_PEAK_D, Posterior, infer_scale, posterior, rise

NOISE = 0.5  # standard deviation of gold over prompts; half of it is shared by all points of a curve


def points(d_S, gold_S, *, prompts=256, noise=NOISE, agreement_S=None, seed=0) -> list[CurvePoint]:
    """Curve points with planted mean gold and planted correlation of proxy and gold."""
    rng = np.random.default_rng(seed)
    shared_P = rng.normal(size=prompts)
    run = []
    for step, (d, gold) in enumerate(zip(d_S, gold_S, strict=True)):
        z_P = (shared_P + rng.normal(size=prompts)) / np.sqrt(2)
        rho = 0.0 if agreement_S is None else agreement_S[step]
        proxy_P = 0.5 * d + rho * z_P + np.sqrt(1 - rho**2) * rng.normal(size=prompts)
        constant = agreement_S is None
        run.append(CurvePoint(step, d**2, np.full(prompts, 0.5 * d) if constant else proxy_P, gold + noise * z_P))
    return run


def last(run: list[CurvePoint], method: str = "ppo", prior: Prior | None = None) -> Prediction:
    forecast = Forecast(method, prior)
    return [forecast.update(point) for point in run][-1]


def planted(peak_d: float, peak_gold: float, exponent: float, d_S: np.ndarray) -> np.ndarray:
    return peak_gold * rise(d_S / peak_d, exponent)


def test_the_family_contains_both_laws_of_the_paper() -> None:
    d = np.linspace(0.2, 6.0, 30)
    for name, exponent in (("best-of-n", 1.0), ("rl", 0.0)):
        kl, gold = FORMS[name].peak([0.7, 0.2])
        np.testing.assert_allclose(gold * rise(d / np.sqrt(kl), exponent), FORMS[name].value(d, [0.7, 0.2]), rtol=1e-9)
    x = np.linspace(0.0, 3.0, 3001)
    for exponent in EXPONENTS:
        assert x[rise(x, exponent).argmax()] == pytest.approx(1.0, abs=1e-3)
        assert rise(1.0, exponent) == pytest.approx(1.0)


def test_evidence_and_scale_are_those_of_the_joint_normal_distribution() -> None:
    rng = np.random.default_rng(1)
    shape_SL, y_S, root = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=(5, 5))
    noise, mean_L, sd = root @ root.T + np.eye(5), np.array([0.5, 1.0, -1.0]), 0.7
    inferred = infer_scale(y_S, noise, shape_SL, mean_L, sd)
    density, scale = [], []
    for x, mean in zip(shape_SL.T, mean_L, strict=True):
        marginal = noise + sd**2 * np.outer(x, x)
        residual = y_S - mean * x
        density.append(-(np.linalg.slogdet(marginal)[1] + residual @ np.linalg.solve(marginal, residual)) / 2)
        scale.append(mean + sd**2 * x @ np.linalg.solve(marginal, residual))
    np.testing.assert_allclose(np.diff(inferred.log_evidence_L), np.diff(density), rtol=1e-9)
    np.testing.assert_allclose(inferred.scale_L, scale, rtol=1e-9)


def test_gold_at_the_peak_equals_the_conditional_of_the_joint_normal_distribution() -> None:
    d, gold_SP = np.array([0.5, 1.0, 1.7]), np.random.default_rng(2).normal(size=(3, 40)) + 0.5
    belief = posterior(d, gold_SP, np.zeros(len(LOG_D_L)), np.full(len(LOG_D_L), 0.8), 0.5)
    law, misfit, variance = 2 * len(LOG_PEAK_D) + 70, 2, 0.1**2
    peak_d = np.exp(LOG_D_L[law])
    x = np.append(d * (2 - d / peak_d) / peak_d, 1.0)  # best-of-n's law, at the points and at its peak
    time_ = np.append(d, peak_d)
    joint = 0.5**2 * np.outer(x, x) + variance * np.minimum(time_[:, None], time_)
    joint[:3, :3] += np.cov(gold_SP) / 40 + 0.01**2 * np.eye(3)
    gain = np.linalg.solve(joint[:3, :3], joint[:3, 3])
    assert belief.gold_FL[misfit, law] == pytest.approx(0.8 + gain @ (gold_SP.mean(axis=1) - 0.8 * x[:3]))
    assert belief.gold_sd_FL[misfit, law] ** 2 == pytest.approx(joint[3, 3] - gain @ joint[:3, 3])


def test_a_steep_fall_puts_the_stop_before_the_median_peak() -> None:
    grid = np.zeros((3, len(LOG_D_L)))
    weight, scale = grid.copy(), grid + 1.0
    sharp, smooth = 4 * len(LOG_PEAK_D) + 40, 4 * len(LOG_PEAK_D) + 60
    weight[0, sharp], weight[0, smooth] = 0.4, 0.6
    belief = Posterior(weight, scale, scale, grid + 0.1)
    d = np.exp(LOG_PEAK_D)
    expected = 0.4 * rise(d / np.exp(LOG_D_L[sharp]), 4.0) + 0.6 * rise(d / np.exp(LOG_D_L[smooth]), 4.0)
    assert belief.best_kl() == pytest.approx(d[expected.argmax()] ** 2)
    assert belief.best_kl() < belief.peak_kl([0.5])[0]


def sizes(exponent: float) -> dict[int, list[Curve]]:
    """Two curves each of four sizes whose peaks follow a trend."""
    d = np.linspace(0.0, 6.0, 30)
    return {
        params: [
            Curve.from_points(points(d, planted(*peak_of(params), exponent, d), prompts=1024, seed=params + seed))
            for seed in range(2)
        ]
        for params in (1000, 3000, 30_000, 100_000)
    }


def peak_of(params: int) -> tuple[float, float]:
    return 1.2 * (params / 1e3) ** 0.25, 0.5 + 0.35 * np.log10(params / 1e3)


@pytest.mark.parametrize(("method", "exponent"), [("best-of-n", 1.0), ("ppo", 0.0)])
def test_the_peak_is_predicted_from_the_first_half_of_the_way_with_a_prior_from_other_sizes(method, exponent) -> None:
    prior = Prior.from_curves(method, sizes(exponent), 10_000)
    peak_d, peak_gold = peak_of(10_000)
    d = np.linspace(0.0, peak_d / np.sqrt(2), 12)
    for seed in range(5):
        prediction = last(
            points(d, planted(peak_d, peak_gold, exponent, d), prompts=512, seed=100 + seed), method, prior
        )
        assert prediction.peak_kl == pytest.approx(peak_d**2, rel=0.25)
        assert prediction.peak_gold == pytest.approx(peak_gold, rel=0.06)
        assert prediction.p_past_peak < 0.05


def test_a_prior_from_other_sizes_narrows_both_intervals_and_survives_json() -> None:
    prior = Prior.from_curves("ppo", sizes(1.0), 10_000)
    d = np.linspace(0.0, 1.2, 8)
    run = points(d, planted(*peak_of(10_000), 1.0, d))
    alone, with_prior = last(run), last(run, prior=prior)
    assert (
        with_prior.peak_kl_interval[1] / with_prior.peak_kl_interval[0]
        < alone.peak_kl_interval[1] / alone.peak_kl_interval[0] / 2
    )
    assert np.diff(with_prior.peak_gold_interval) < np.diff(alone.peak_gold_interval) / 2
    assert last(run, prior=Prior.from_dict(json.loads(json.dumps(prior.to_dict())))) == with_prior


def test_one_curve_makes_a_prior_that_is_wider_for_more_distant_sizes() -> None:
    d = np.linspace(0.0, 5.0, 25)
    curve = Curve.from_points(points(d, planted(2.0, 0.8, 1.0, d), prompts=2048))
    near, far = (Prior.from_curves("ppo", {10_000: [curve]}, params) for params in (10_000, 1_000_000))
    np.testing.assert_allclose(near.mean_3[1:], [np.log(2.0), 0.8], atol=0.08)
    assert (np.diag(far.covariance_33) > 2 * np.diag(near.covariance_33)).all()
    with pytest.raises(ValueError, match="got no curves"):
        Prior.from_curves("ppo", {}, 10_000)


def test_a_run_with_more_agreement_than_expected_for_its_size_gets_a_later_peak() -> None:
    d = np.linspace(0.0, 5.0, 25)
    curves: dict[int, list[Curve]] = {}
    for i, params in enumerate((1000, 10_000, 100_000)):
        for j, better in enumerate((0.0, 0.1)):  # a better proxy agrees more, and peaks later and higher
            gold = planted(1.5 + 8 * better, 0.6 + 4 * better, 1.0, d)
            run = points(d, gold, prompts=4096, agreement_S=np.full(25, 0.6 + better), seed=10 * i + j)
            curves.setdefault(params, []).append(Curve.from_points(run))
    prior = Prior.from_curves("ppo", curves, 30_000)
    worse, better = prior.conditioned_on(np.log(0.6)), prior.conditioned_on(np.log(0.7))
    np.testing.assert_allclose(worse.mean_3[1:], [np.log(1.5), 0.6], atol=0.12)
    np.testing.assert_allclose(better.mean_3[1:], [np.log(2.3), 1.0], atol=0.12)
    assert prior.conditioned_on(float("nan")) is prior


def test_intervals_and_p_past_peak_are_calibrated_on_curves_drawn_from_the_weak_prior() -> None:
    """The posterior that `Forecast` computes at the last point of a run whose proxy is uninformative."""
    rng = np.random.default_rng(5)
    inside_kl, inside_gold, p_past, is_past = [], [], [], []
    for seed in range(200):
        peak_d, peak_gold = np.exp(rng.normal(np.log(2.5), 0.75)), abs(rng.normal(0.8, 0.5))
        exponent, reach = rng.choice(EXPONENTS), rng.uniform(1.0, 5.0)
        d = np.linspace(0.35, reach, 14)
        steps = np.diff(np.sort(np.concatenate([[0.0, peak_d], d])))
        times = np.cumsum(np.append(0.0, steps))
        misfit = 0.03 * np.cumsum(np.append(0.0, rng.normal(size=len(steps)) * np.sqrt(steps)))
        gold = planted(peak_d, peak_gold, exponent, d) + np.interp(d, times, misfit)
        run = points(d, gold, seed=1000 + seed)
        belief = posterior(d, np.stack([point.gold_P for point in run]), *Prior.weak().on_grid())
        low, high = belief.peak_kl([0.025, 0.975])
        inside_kl.append(low <= peak_d**2 <= high)
        low, high = belief.peak_gold([0.025, 0.975])
        inside_gold.append(low <= peak_gold + np.interp(peak_d, times, misfit) <= high)
        p_past.append(belief.probability_past(reach))
        is_past.append(peak_d < reach)
        if seed == 0:
            prediction = last(run)
            assert prediction.peak_gold_interval == (pytest.approx(low), pytest.approx(high))
            assert prediction.p_past_peak == pytest.approx(p_past[0])
    assert 0.9 <= np.mean(inside_kl) <= 1.0
    assert 0.9 <= np.mean(inside_gold) <= 1.0
    probability, past = np.array(p_past), np.array(is_past)
    assert past[probability < 0.1].mean() < 0.1
    assert past[probability > 0.9].mean() > 0.9
    assert probability.mean() == pytest.approx(past.mean(), abs=0.08)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 4.0])
def test_p_past_peak_is_low_well_before_the_peak_and_high_well_past_it(exponent: float) -> None:
    d = np.linspace(0.0, 6.0, 41)
    forecast = Forecast("ppo")
    p_past = [forecast.update(p).p_past_peak for p in points(d, planted(3.0, 1.0, exponent, d), prompts=512)]
    assert max(p for p, x in zip(p_past, d, strict=True) if 0.6 < x < 1.8) < 0.2
    assert min(p for p, x in zip(p_past, d, strict=True) if x > 5.4) > 0.95


def test_stopping_at_the_forecast_keeps_nearly_all_of_the_peak() -> None:
    d = np.linspace(0.0, 6.0, 41)
    for seed, exponent in enumerate([0.0, 0.5, 1.0, 2.0, 4.0]):
        gold = planted(2.5, 1.0, exponent, d)
        forecast = Forecast("ppo")
        stop = next(
            i
            for i, point in enumerate(points(d, gold, prompts=512, seed=seed))
            if point.kl >= forecast.update(point).loses_beyond_kl
        )
        assert gold[stop] > 0.9


def test_a_sudden_collapse_that_no_law_explains_counts_as_past_the_peak() -> None:
    d = np.linspace(0.0, 2.0, 9)
    prediction = last(points(d, np.append(0.5 * d[:-1], -3.0)))
    assert prediction.p_past_peak > 0.99
    assert prediction.loses_beyond_kl < d[-1] ** 2


def test_falling_agreement_brings_the_peak_nearer_while_gold_still_rises() -> None:
    d = np.linspace(0.35, 2.0, 12)
    gold = 0.5 * d
    steady, fallen = (points(d, gold, agreement_S=0.7 * (1 - (d / far) ** 3 / 2), seed=3) for far in (20.0, 2.0))
    assert last(fallen).peak_kl < last(steady).peak_kl / 2
    assert last(fallen).p_past_peak > last(steady).p_past_peak
    assert (log_likelihood("best-of-n", fallen, np.zeros(len(LOG_D_L))) == 0).all()
    ratio_L = log_likelihood("ppo", fallen, np.zeros(len(LOG_D_L)))
    assert ratio_L.min() >= np.log(0.1) - 1e-9  # bounded, so that gold can overrule it
    assert np.log(np.exp(ratio_L).mean()) == pytest.approx(0.0, abs=1e-9)


def test_agreement_is_the_correlation_for_a_policy_and_gold_per_distance_for_best_of_n() -> None:
    run = points([0.0, 0.5, 1.0, 2.0], [0.0, 0.3, 0.5, 0.7], agreement_S=[0.6, 0.6, 0.5, 0.1])
    near = [np.corrcoef(p.gold_P, p.proxy_P)[0, 1] for p in run[:3]]
    assert initial_agreement("ppo", run) == pytest.approx(np.log(np.mean(near)))
    slopes = [p.gold_P.mean() / d for p, d in zip(run[1:3], (0.5, 1.0), strict=True)]
    assert initial_agreement("best-of-n", run) == pytest.approx(np.log(np.mean(slopes)))
    assert np.isnan(initial_agreement("ppo", points([0.5], [0.3])))  # a constant proxy is uninformative


def awkward() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    d = np.linspace(0.0, 3.0, 8)
    return {
        "never leaves": (np.zeros(8), np.zeros(8)),
        "stands still": (np.full(8, 1.0), np.full(8, 0.4)),
        "only near the origin": (np.linspace(0.01, 0.29, 8), np.linspace(0, 0.1, 8)),
        "only falls": (d, -d),
        "straight": (d, 0.5 * d),
        "convex": (d, d**3),
        "enormous": (100 * d, 100 * d),
        "collapses": (d, np.where(d > 1, -50.0, d)),
        "comes back": (d * (3 - d), d * (3 - d) / 4),
    }


@pytest.mark.parametrize("name", awkward())
@pytest.mark.parametrize("method", ["ppo", "best-of-n"])
@pytest.mark.parametrize("with_prior", [True, False])
@pytest.mark.parametrize("noise", [NOISE, 0.0])
def test_predictions_are_never_infinite_and_intervals_contain_their_median(name, method, with_prior, noise) -> None:
    d, gold = awkward()[name]
    forecast = Forecast(method, Prior.from_dict(Prior.weak().to_dict()) if with_prior else None)
    for point in points(d, gold, prompts=8, noise=noise, agreement_S=np.full(8, 0.5)):
        prediction = forecast.update(point)
        numbers = np.hstack([np.ravel(value) for value in astuple(prediction)])
        assert np.isfinite(numbers[:-1]).all() or (not with_prior and np.isnan(numbers[:8]).all())
        assert 0 < prediction.p_fit <= 1 or math.isnan(prediction.p_fit)
        if with_prior:
            assert prediction.peak_kl_interval[0] <= prediction.peak_kl <= prediction.peak_kl_interval[1]
            assert prediction.peak_gold_interval[0] <= prediction.peak_gold <= prediction.peak_gold_interval[1]
            assert 0 <= prediction.p_past_peak <= 1


def test_without_a_prior_predictions_start_with_the_third_point_beyond_the_origin() -> None:
    forecast = Forecast("ppo")
    peak_kl = [forecast.update(p).peak_kl for p in points([0.0, 0.2, 0.5, 0.5, 0.8, 1.1], [0, 0.1, 0.3, 0.3, 0.4, 0.5])]
    assert np.isnan(peak_kl[:5]).all() and np.isfinite(peak_kl[5])


def test_predictions_are_deterministic_and_count_gold_scored_responses() -> None:
    run = points(np.linspace(0.0, 2.0, 6), np.linspace(0.0, 0.7, 6), prompts=128, agreement_S=np.full(6, 0.5))
    one, two = Forecast("ppo", samples_per_prompt=2), Forecast("ppo", samples_per_prompt=2)
    first = [one.update(point) for point in run]
    assert first[-1] == [two.update(point) for point in run][-1]
    assert [p.gold_responses for p in first] == [256 * n for n in range(1, 7)]
    assert [p.points for p in first] == list(range(1, 7))


def test_a_single_prompt_and_a_changed_number_of_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2\+ prompts"):
        Forecast("ppo").update(CurvePoint(0, 0.0, np.zeros(1), np.zeros(1)))
    forecast = Forecast("ppo")
    forecast.update(CurvePoint(0, 0.0, np.zeros(4), np.zeros(4)))
    with pytest.raises(ValueError, match="the same"):
        forecast.update(CurvePoint(1, 0.1, np.zeros(5), np.zeros(5)))


def test_the_sixtieth_point_on_512_prompts_costs_milliseconds() -> None:
    d = np.linspace(0.0, 5.0, 60)
    forecast, seconds = Forecast("ppo"), []
    for point in points(d, planted(2.0, 0.8, 1.0, d), prompts=512, agreement_S=np.full(60, 0.5)):
        start = time.process_time()
        forecast.update(point)
        seconds.append(time.process_time() - start)
    assert np.median(seconds[-10:]) < 0.05  # 5 ms on a quiet core


def test_a_long_run_is_thinned_to_evenly_spaced_points(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[np.ndarray] = []

    def record(d_S: np.ndarray, *arguments) -> Posterior:
        used.append(d_S)
        return posterior(d_S, *arguments)

    monkeypatch.setattr("mlproject.laws.forecast.posterior", record)
    forecast = Forecast("ppo")
    d = np.concatenate([[0.0], np.linspace(0.35, 5.0, 149)])
    for point in points(d, planted(2.0, 0.8, 1.0, d), prompts=8):
        prediction = forecast.update(point)
    assert max(len(d_S) for d_S in used) == MAX_POINTS
    assert (used[-1][0], used[-1][-1]) == (0.0, 5.0)
    assert np.diff(used[-1])[1:].max() < 2.01 * np.diff(used[-1])[1:].min()
    assert (prediction.points, prediction.gold_responses) == (150, 150 * 8)


@pytest.mark.parametrize("changes", [{"kl": math.nan}, {"kl": math.inf}, {"gold_P": np.array([1.0, np.nan])}])
def test_a_point_that_is_no_number_is_refused_by_name_and_leaves_the_forecast_as_it_was(changes):
    forecast = Forecast("ppo")
    fine = CurvePoint(3, 1.0, np.zeros(2), np.array([1.0, 2.0]))
    with pytest.raises(NotFiniteError, match=f"{'KL' if 'kl' in changes else 'gold'} at step 3: must be finite"):
        forecast.update(replace(fine, **changes))
    assert forecast.update(fine).points == 1
