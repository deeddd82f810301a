"""Parameters that only some runs have."""

from __future__ import annotations

import pytest

from mlproject.pipeline.run_params import RunParams


def test_a_run_of_the_plain_case_stores_none_of_them():
    assert RunParams().to_params() == {}


@pytest.mark.parametrize(
    "run_params, stored",
    [
        (RunParams(round=3), {"round": 3}),
        (
            RunParams(2, "current", "all", ("a-rm-1", "a-rm-2"), 4.5),
            {
                "kl_budget": 4.5,
                "round": 2,
                "rounds_from": "current",
                "rounds_data": "all",
                "witnesses": "a-rm-1,a-rm-2",
            },
        ),
        (RunParams(kl_budget=0.0), {"kl_budget": 0.0}),
    ],
)
def test_what_is_stored_is_read_back(run_params, stored):
    assert run_params.to_params() == stored
    assert RunParams.from_params(stored | {"seed": 1}) == run_params


@pytest.mark.parametrize("start, from_earlier", [("current", True), ("initial", False), ("", False)])
def test_only_rounds_from_current_continue_the_earlier_policy(start, from_earlier):
    assert RunParams(2, start).starts_from_earlier is from_earlier
