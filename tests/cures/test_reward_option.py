"""The option `reward`: which chains there are, and what is said of those that cannot be."""

from __future__ import annotations

import pytest

from mlproject.config.schema import load_config
from mlproject.cures import parse_reward, written
from mlproject.errors import UserError


def test_a_chain_is_read_in_its_order_and_has_one_spelling() -> None:
    for text in ("worst-case,par,clip", "worst-case+par+clip", " worst-case + par,clip "):
        assert load_config("smoke", {"reward": text}).reward == "worst-case+par+clip"
    assert [cure.name for cure in parse_reward("mean+ceiling")] == ["mean", "ceiling"]
    assert parse_reward("single") == ()
    assert written(()) == load_config("smoke", {}).reward == "single"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("best", "but best is none"),
        ("mean,", "but nothing is none"),
        ("", "but nothing is none"),
        ("single,par", "but single is none"),
        ("mean,worst-case", "mean and worst-case both do"),
        ("par,mean", "must shape after mean"),
        ("par,par", "must name each cure once"),
    ],
)
def test_a_chain_that_cannot_be_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load_config("smoke", {"reward": text})
    assert str(caught.value).startswith(f"reward={text}: must ")
    assert "\n" not in str(caught.value)
