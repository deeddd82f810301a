"""The recommendation on studies whose truth is known: what it says is true, and what is true it finds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from tests.recommendation.planted import Truth, draw

from mlproject.recommendation.recommend import recommend
from mlproject.recommendation.stop import Progress
from mlproject.recommendation.trend import Direction

EQUAL = Truth([1.0] * 5)
ORDERED = Truth([0.4, 0.6, 0.8, 1.0, 1.2])
BEYOND_THE_EDGE = Truth([1.0] * 3, peak_d=8.0)
STILL = Truth([0.0] * 3, max_d=0.15, proxy=0.0)
FALLING = Truth([-1.0] * 3)
HEAVY_NOISE = Truth([0.3] * 5, sample_sd=3.0)


@dataclass
class Tally:
    """What was said over many planted studies.

    Attributes:
        excluded: share of studies that call a reward model worse than another although all are equal (or at all).
        right: share whose choice is the best.
        directions: share of each direction of the trend over size.
        progress: share of each progress, over settings.
        covered: share of gold intervals that contain the true gold at the stop.
    """

    excluded: float = 0.0
    right: float = 0.0
    directions: dict[Direction, float] = field(default_factory=dict)
    progress: dict[Progress, float] = field(default_factory=dict)
    covered: float = 0.0


def tally(truth: Truth, studies: int, seed: int = 0) -> Tally:
    rng, result = np.random.default_rng(seed), Tally()
    best = f"rm{int(np.argmax(truth.peaks))}"
    for _ in range(studies):
        said = recommend(draw(truth, rng))
        gaining = [each for each in said.evaluated if each.stop.is_recommended]
        if said.choice is not None:
            result.excluded += (len(gaining) > len(said.ties) + 1) / studies
            result.right += (said.choice.setting.rm == best) / studies
        for trend in said.trends:
            result.directions[trend.direction] = result.directions.get(trend.direction, 0.0) + 1 / studies
        for rm, each in enumerate(said.evaluated):
            share = 1 / studies / len(said.evaluated)
            progress, (low, high) = each.stop.progress, each.stop.gold_interval
            result.progress[progress] = result.progress.get(progress, 0.0) + share
            result.covered += share * (low <= truth.gold(rm, each.stop.step) <= high)
    return result


def test_a_true_order_is_found():
    found = tally(ORDERED, 10)
    assert found.right == pytest.approx(1.0) and found.excluded == pytest.approx(1.0)
    assert found.directions == {Direction.RISES: pytest.approx(1.0)}
    assert found.progress == {Progress.PEAKED: pytest.approx(1.0)}


def test_a_peak_beyond_the_edge_is_not_reached():
    assert tally(BEYOND_THE_EDGE, 10).progress.get(Progress.NOT_REACHED, 0) > 0.95


def test_a_policy_that_did_not_move_gets_no_recommendation():
    said = recommend(draw(STILL, np.random.default_rng(0)))
    assert said.choice is None and said.rms == []
    assert {each.stop.progress for each in said.evaluated} == {Progress.NOT_MOVED}


def test_gold_that_only_falls_gets_no_recommendation():
    said = recommend(draw(FALLING, np.random.default_rng(0)))
    assert said.choice is None
    assert {each.stop.progress for each in said.evaluated} == {Progress.NO_GAIN}


def test_of_equal_reward_models_the_preferred_one_is_chosen_and_the_others_are_named():
    settings = draw(EQUAL, np.random.default_rng(3))
    for preferred in ("rm1", "rm4"):
        said = recommend(settings, preferred)
        assert said.choice is not None and said.choice.setting.rm == preferred
        assert said.rms == ["rm0", "rm1", "rm2", "rm3", "rm4"]
    peaks = [tie.stop.gold for tie in recommend(settings, "rm1").ties]
    assert peaks == sorted(peaks, reverse=True)


def test_a_preferred_reward_model_that_is_worse_is_not_chosen():
    said = recommend(draw(ORDERED, np.random.default_rng(3)), preferred="rm0")
    assert said.choice is not None and said.choice.setting.rm == "rm4"


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth",
    [
        EQUAL,
        Truth([1.0] * 5, seeds=1),
        Truth([1.0] * 5, seed_sd=0.1),
        Truth([1.0] * 3, seeds=3, seed_sd=0.1),
        HEAVY_NOISE,
    ],
    ids=["two seeds", "one seed", "seeds differ", "three seeds differ", "heavy noise"],
)
def test_of_equal_reward_models_none_is_called_better(truth):
    said = tally(truth, 200)
    assert said.excluded <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert said.directions.get(Direction.UNCLEAR, 0) >= 0.95 - 2 * (0.05 * 0.95 / 200) ** 0.5
    assert said.covered >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth, progress",
    [(BEYOND_THE_EDGE, Progress.NOT_REACHED), (STILL, Progress.NOT_MOVED), (FALLING, Progress.NO_GAIN)],
    ids=["beyond the edge", "still", "falling"],
)
def test_progress_is_told_rightly(truth, progress):
    said = tally(truth, 200)
    assert said.progress.get(progress, 0) >= 0.95


@pytest.mark.slow
def test_power_on_true_orders():
    """How often a true order is found: steps of 0.2 always, steps of 0.05 mostly as a trend."""
    large, small = tally(ORDERED, 200), tally(Truth([1.0, 1.05, 1.1, 1.15, 1.2]), 200)
    assert large.right > 0.99 and large.directions.get(Direction.RISES, 0) > 0.99
    assert small.right > 0.5 and small.directions.get(Direction.FALLS, 0) == 0
