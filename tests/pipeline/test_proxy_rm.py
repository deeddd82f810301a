"""Halves of the comparisons."""

from __future__ import annotations

import pandas as pd
import pytest

from mlproject.pipeline.proxy_rm import half_of


@pytest.mark.parametrize("count", [10, 11])
def test_the_halves_share_no_comparison_and_leave_none_out(count: int) -> None:
    table = pd.DataFrame({"pair": range(count)})
    train, test = (half_of(table, half).pair.tolist() for half in ("train", "test"))
    assert train + test == list(range(count))
    assert abs(len(train) - len(test)) <= 1
    assert half_of(table, "").pair.tolist() == list(range(count))
