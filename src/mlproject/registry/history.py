"""The history of the alias `champion`, read from the promotion runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient

from mlproject.names import Action, Outcome, Tag
from mlproject.registry.lock import (
    complete_moves,
    promotion_runs,
)


@dataclass(frozen=True)
class Move:
    """One move of the alias.

    Attributes:
        number: position among all promotions and rollbacks of the model (see `mlproject.registry.lock`).
        when: start of the run, UTC.
        action: `promote` or `rollback`.
        from_version: version that lost the alias; empty if there was none.
        to_version: version that got the alias.
        who: who asked, as `USER@HOST`.
        why: reason given; empty for promotions.
        run_id: id of the promotion run.
    """

    number: int
    when: datetime
    action: str
    from_version: str
    to_version: str
    who: str
    why: str
    run_id: str

    def __str__(self) -> str:
        start = f"version {self.from_version} -> " if self.from_version else ""
        why = f": {self.why}" if self.why else ""
        when = self.when.strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{when}  {self.action:<8}  {start}version {self.to_version}  by {self.who}{why}  (run {self.run_id})"


def history(client: MlflowClient, name: str) -> list[Move]:
    """All moves of the alias `champion`, oldest first."""
    complete_moves(client, name)
    moves = [
        Move(
            number=int(tags[Tag.PROMOTION_TURN]),
            when=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
            action=tags[Tag.PROMOTION_ACTION],
            from_version=tags.get(Tag.PROMOTION_FROM, ""),
            to_version=tags[Tag.PROMOTION_TO],
            who=tags.get(Tag.PROMOTION_WHO, "unknown"),
            why=tags.get(Tag.PROMOTION_WHY, ""),
            run_id=run.info.run_id,
        )
        for run in promotion_runs(client, name)
        for tags in [run.data.tags]
        if tags.get(Tag.PROMOTION_OUTCOME) in (Outcome.PROMOTED, Outcome.ROLLED_BACK)
    ]
    return sorted(moves, key=lambda move: move.number)


def previous_champion(moves: Sequence[Move], current: str) -> str | None:
    """The champion before the current one, not counting champions that were rolled back; None if there was none.

    Args:
        moves: all moves, oldest first.
        current: version that is champion now.
    """
    champions: list[str] = []
    for move in moves:
        if move.action == Action.ROLLBACK and move.to_version in champions:
            del champions[_last_index(champions, move.to_version) + 1 :]
        elif not champions or champions[-1] != move.to_version:
            if move.from_version and move.from_version not in champions[-1:]:
                champions.append(move.from_version)
            champions.append(move.to_version)
    earlier = champions[: _last_index(champions, current)] if current in champions else champions
    return earlier[-1] if earlier else None


def _last_index(versions: Sequence[str], version: str) -> int:
    return len(versions) - 1 - list(reversed(versions)).index(version)
