"""Curves: unbiased peaks, paired drops, and files that restore what was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlproject.curve import Curve, CurvePoint, mean_and_se


def curve_of(gold_SP: np.ndarray, human: bool = False) -> Curve:
    points = len(gold_SP)
    return Curve(
        steps_S=np.arange(1, points + 1) * 10,
        kl_S=np.linspace(0.0, 8.0, points),
        proxy_SP=2 * gold_SP,
        gold_SP=gold_SP,
        human_SP=gold_SP - 1 if human else None,
    )


def test_peak_gold_is_unbiased_under_pure_noise_and_the_maximum_is_not() -> None:
    rng = np.random.default_rng(0)
    peaks, maxima = [], []
    for _ in range(400):
        curve = curve_of(rng.normal(size=(30, 100)))
        peaks.append(curve.peak().gold)
        maxima.append(curve.gold_S.max())
    peak, se = mean_and_se(np.array(peaks))
    assert abs(peak) < 3.5 * se
    assert np.mean(maxima) > 15 * se


def test_the_peak_is_where_gold_is_highest() -> None:
    height_S = np.array([0.0, 0.6, 1.0, 0.7])
    noise_SP = np.random.default_rng(0).normal(scale=0.1, size=(4, 1000))
    peak = curve_of(height_S[:, None] + noise_SP).peak()
    assert (peak.step, peak.kl) == (30, pytest.approx(16 / 3))
    assert abs(peak.gold - 1.0) < 4 * peak.gold_se
    assert peak.gold_se == pytest.approx(0.1 / np.sqrt(1000), rel=0.1)


def test_the_drop_after_the_peak_is_paired_over_prompts() -> None:
    """Prompts differ far more than points do: only a paired standard error sees the drop."""
    rng = np.random.default_rng(0)
    prompt_P = rng.normal(scale=5.0, size=200)
    gold_SP = np.array([0.0, 1.0, 0.8])[:, None] + prompt_P + rng.normal(scale=0.05, size=(3, 200))
    drop, se = curve_of(gold_SP).drop_after_peak()
    assert drop == pytest.approx(0.2, abs=4 * se)
    assert se == pytest.approx(0.05 * np.sqrt(2 / 200), rel=0.2)


def test_a_curve_that_only_rises_has_no_drop() -> None:
    gold_SP = np.arange(5.0)[:, None] + np.zeros((5, 6))
    assert curve_of(gold_SP).drop_after_peak() == (0.0, 0.0)


def test_a_single_prompt_has_a_peak_and_an_unknown_standard_error() -> None:
    peak = curve_of(np.array([[0.0], [2.0], [1.0]])).peak()
    assert peak.gold == 2.0
    assert np.isnan(peak.gold_se)


@pytest.mark.parametrize("human", [False, True])
def test_a_curve_is_read_back_as_it_was_saved(tmp_path: Path, human: bool) -> None:
    curve = curve_of(np.random.default_rng(0).normal(size=(5, 7)), human)
    curve.save(tmp_path / "curve.npz")
    loaded = Curve.load(tmp_path / "curve.npz")
    for name in ("steps_S", "kl_S", "proxy_SP", "gold_SP"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(curve, name))
    if human:
        np.testing.assert_array_equal(loaded.human_SP, curve.human_SP)
    else:
        assert loaded.human_SP is None


def test_a_stream_of_points_and_its_curve_agree() -> None:
    curve = curve_of(np.random.default_rng(0).normal(size=(5, 7)), human=True)
    points = list(curve)
    again = Curve.from_points(points)
    assert len(again) == 5
    np.testing.assert_array_equal(again.human_SP, curve.human_SP)
    np.testing.assert_allclose([point.gold for point in points], curve.gold_S)
    np.testing.assert_allclose([point.proxy for point in points], curve.proxy_S)
    np.testing.assert_allclose([point.human for point in points], curve.human_S)
    np.testing.assert_allclose([point.sqrt_kl**2 for point in points], curve.kl_S)


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        Curve.from_points([])


def test_an_estimate_of_kl_below_zero_has_distance_zero() -> None:
    assert CurvePoint(1, -0.01, np.zeros(2), np.zeros(2)).sqrt_kl == 0.0


def test_statistics_that_every_point_has_survive_in_memory_and_on_disk(tmp_path: Path) -> None:
    values_S = [0.5, -1.25, 3.0]
    points = [
        CurvePoint(i, float(i), np.ones(2), np.zeros(2), statistics={"rm_gap.3k": value, **({"odd": 1.0} if i else {})})
        for i, value in enumerate(values_S)
    ]
    curve = Curve.from_points(points)
    curve.save(tmp_path / "curve.npz")
    for each in (curve, Curve.load(tmp_path / "curve.npz")):
        assert {name: values.tolist() for name, values in each.statistics_S.items()} == {"rm_gap.3k": values_S}
        assert [point.statistics for point in each] == [{"rm_gap.3k": value} for value in values_S]


def test_a_file_without_statistics_still_loads(tmp_path: Path) -> None:
    gold_SP = np.ones((2, 3))
    np.savez_compressed(
        tmp_path / "old.npz", steps_S=np.arange(2), kl_S=np.arange(2.0), proxy_SP=gold_SP, gold_SP=gold_SP
    )
    curve = Curve.load(tmp_path / "old.npz")
    assert (curve.statistics_S, curve.human_SP) == ({}, None)
    assert curve.gold_SP.tolist() == gold_SP.tolist()


def test_the_old_name_of_the_statistics_still_works_and_says_so():
    point = CurvePoint(0, 0.0, np.zeros(2), np.zeros(2), statistics={"length": 3.0})
    with pytest.warns(DeprecationWarning, match=r"signs is now CurvePoint\.statistics"):
        assert point.signs == {"length": 3.0}


def test_statistics_of_any_name_are_read_back(tmp_path):
    names = ["length", "test_rm.org/model:v2 (8B)", "test_rm./a", "test_rm.\ud800\0", "n" * 400]
    points = [CurvePoint(step, 1.0, np.zeros(2), np.zeros(2), statistics=dict.fromkeys(names, step)) for step in (0, 1)]
    Curve.from_points(points).save(tmp_path / "curve.npz")
    statistics_S = Curve.load(tmp_path / "curve.npz").statistics_S
    assert {name: values_S.tolist() for name, values_S in statistics_S.items()} == {name: [0.0, 1.0] for name in names}
