"""Who was champion when: read from the promotion runs, which are the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient

from mlproject.names import Action, Outcome, Tag
from mlproject.registry.lock import (
    promotions,
    settle_moved,
)


@dataclass(frozen=True)
class Move:
    """One move of the alias.

    Attributes:
        turn: counts all promotions and rollbacks of the model.
        when: UTC.
        action: `promote` or `rollback`.
        left, came: version that lost the alias (empty where there was none), and that got it.
        who, why: of the one who asked.
        run_id: of the promotion run.
    """

    turn: int
    when: datetime
    action: str
    left: str
    came: str
    who: str
    why: str
    run_id: str

    def __str__(self) -> str:
        left = f"version {self.left} -> " if self.left else ""
        why = f": {self.why}" if self.why else ""
        when = self.when.strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{when}  {self.action:<8}  {left}version {self.came}  by {self.who}{why}  (run {self.run_id})"


def history(client: MlflowClient, name: str) -> list[Move]:
    """All moves of the champion's alias, the oldest first."""
    settle_moved(client, name)
    moves = [
        Move(
            turn=int(tags[Tag.PROMOTION_TURN]),
            when=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
            action=tags[Tag.PROMOTION_ACTION],
            left=tags.get(Tag.PROMOTION_FROM, ""),
            came=tags[Tag.PROMOTION_TO],
            who=tags.get(Tag.PROMOTION_WHO, "unknown"),
            why=tags.get(Tag.PROMOTION_WHY, ""),
            run_id=run.info.run_id,
        )
        for run in promotions(client, name)
        for tags in [run.data.tags]
        if tags.get(Tag.PROMOTION_OUTCOME) in (Outcome.PROMOTED, Outcome.ROLLED_BACK)
    ]
    return sorted(moves, key=lambda move: move.turn)


def previous_holder(moves: Sequence[Move], current: str) -> str | None:
    """The version that was champion before the present one, rollbacks undone; None where there was none.

    Args:
        moves: the oldest first.
        current: version that is champion now.
    """
    line: list[str] = []
    for move in moves:
        if move.action == Action.ROLLBACK and move.came in line:
            del line[_last(line, move.came) + 1 :]
        elif not line or line[-1] != move.came:
            line += [move.left] * bool(move.left and move.left not in line[-1:]) + [move.came]
    earlier = line[: _last(line, current)] if current in line else line
    return earlier[-1] if earlier else None


def _last(line: Sequence[str], version: str) -> int:
    return len(line) - 1 - list(reversed(line)).index(version)
