"""The history lists the moves of the alias, and knows the previous champion."""

from datetime import UTC, datetime

import pytest
from tests.registry.planted import promoting

from mlproject.names import Action, Outcome, Tag
from mlproject.registry.history import Move, history, previous_champion
from mlproject.registry.lock import promotion_runs

NAME = "reward-model"


def moves(*steps):
    """The moves of (action, from_version, to_version)."""
    return [Move(i, None, *step, "me", "", "") for i, step in enumerate(steps)]


@pytest.mark.parametrize(
    ("steps", "current", "expected"),
    [
        ([], "1", None),
        ([("promote", "", "1")], "1", None),
        ([("promote", "", "1"), ("promote", "1", "2")], "2", "1"),
        ([("promote", "", "1"), ("promote", "1", "2"), ("rollback", "2", "1")], "1", None),
        ([("promote", "", "1"), ("promote", "1", "2"), ("rollback", "2", "1"), ("promote", "1", "3")], "3", "1"),
        ([("promote", "", "1"), ("promote", "1", "2"), ("promote", "2", "1")], "1", "2"),
        ([("promote", "", "1"), ("promote", "1", "2"), ("promote", "2", "1"), ("promote", "1", "3")], "3", "1"),
        ([("promote", "", "1"), ("promote", "1", "2")], "9", "2"),  # 9 was set by hand
        ([("promote", "8", "1")], "1", "8"),  # 8 was set by hand before
    ],
)
def test_the_previous_champion_is_not_one_that_was_rolled_back(steps, current, expected):
    assert previous_champion(moves(*steps), current) == expected


def test_a_move_is_printed_with_time_versions_requester_and_reason():
    when = datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)
    promoted = Move(1, when, Action.PROMOTE, "", "4", "ada@lab", "", "run1")
    rolled_back = Move(2, when, Action.ROLLBACK, "4", "3", "ada@lab", "it likes lists", "run2")
    assert str(promoted) == "2026-11-26 01:02:03 UTC  promote   version 4  by ada@lab  (run run1)"
    assert str(rolled_back) == (
        "2026-11-26 01:02:03 UTC  rollback  version 4 -> version 3  by ada@lab: it likes lists  (run run2)"
    )


def test_a_promotion_that_was_killed_after_the_alias_moved_is_in_the_history(plant, tmp_path):
    client = plant({("3k", 0): 1.2}).client()
    promoting(tmp_path)
    [run] = promotion_runs(client, NAME)
    client.delete_tag(run.info.run_id, Tag.PROMOTION_OUTCOME)  # as a kill right after the move leaves it
    client.set_terminated(run.info.run_id, "KILLED")
    [move] = history(client, NAME)
    assert (move.action, move.from_version, move.to_version) == (Action.PROMOTE, "", "1")
    [run] = promotion_runs(client, NAME)
    assert (run.info.status, run.data.tags[Tag.PROMOTION_OUTCOME]) == ("FINISHED", Outcome.PROMOTED)
