"""The KL budget of a registered version: found by its tags, warned about once, summed up in one line."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.curve import Curve, CurvePoint
from mlproject.registry.kl_budget import KLBudget, KLBudgetWarning, kl_budget_of

BUDGET = KLBudget(4.0, "reward-model version 2")


def curve(*kl: float) -> Curve:
    gold = [np.full(3, 1.0 - 0.1 * value) for value in kl]
    return Curve.from_points(CurvePoint(2 * i, value, np.zeros(3), gold[i]) for i, value in enumerate(kl))


@pytest.fixture(scope="module")
def client(store):
    client = store.client()
    client.create_registered_model("reward-model")
    for tags in ({"kl_budget.ppo": "4.25"}, {}, {"kl_budget.ppo": "much"}, {"kl_budget.ppo": "0"}):
        client.create_model_version("reward-model", "file:///nowhere", tags=tags)
    client.set_registered_model_alias("reward-model", "champion", "1")
    return client


def test_the_budget_of_a_version_is_the_one_of_the_method(client) -> None:
    for proxy in ("models:/reward-model/1", "models:/reward-model@champion"):
        assert kl_budget_of(client, proxy, "ppo") == KLBudget(4.25, "reward-model version 1")
    assert kl_budget_of(client, "models:/reward-model/1", "best-of-n") is None


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_version_without_a_usable_budget_has_none(client, version: int) -> None:
    assert kl_budget_of(client, f"models:/reward-model/{version}", "ppo") is None


@pytest.mark.parametrize("proxy", ["13k", "0" * 32, "some/folder"])
def test_a_proxy_that_is_no_version_has_no_budget(client, proxy: str) -> None:
    assert kl_budget_of(client, proxy, "ppo") is None


def test_a_run_is_warned_once_at_the_first_point_above_the_budget_and_is_never_ended(capsys) -> None:
    warning = KLBudgetWarning(BUDGET)
    messages = []
    for point in curve(1.0, 4.0, 4.5, 3.0, 9.0):
        assert warning(point) is None
        messages.append(capsys.readouterr().err)
    assert [bool(message) for message in messages] == [False, False, True, False, False]
    assert "KL 4.5 at step 4 is beyond the budget of 4 nats of reward-model version 2" in messages[2]
    assert len(messages[2].splitlines()) == 1


def test_a_curve_is_summed_up_by_where_it_passed_the_budget_and_what_that_did_to_gold() -> None:
    assert BUDGET.summary(curve(1.0, 4.0)) == "KL stayed within the budget of 4 nats of reward-model version 2"
    line = BUDGET.summary(curve(1.0, 5.0, 8.0))
    assert line.endswith("was passed at step 2; gold 0.50 there, 0.20 at the end (8 nats)")
