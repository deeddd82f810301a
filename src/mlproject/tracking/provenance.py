"""Where results come from: run, date, command and commit."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from mlflow import MlflowClient

from mlproject.names import Tag

_CHECKOUT = Path(__file__).parents[3]
"""Of this package, where it is not installed from a wheel."""


@cache
def commit() -> str:
    """Commit of the code, with `-dirty` where files differ from it; empty where the code is no git checkout."""
    if not (_CHECKOUT / ".git").exists():
        return ""
    command = ["git", "-C", str(_CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def provenance(client: MlflowClient, run_id: str) -> dict[str, str]:
    """Run id, date, command and commit of a command's run, as text by label.

    Args:
        client: of the tracking server.
        run_id: of the run of the command.
    """
    run = client.get_run(run_id)
    facts = {
        "Run": run_id,
        "Date": f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC",
        "Command": run.data.tags.get(Tag.COMMAND, ""),
        "Commit": run.data.tags.get(Tag.COMMIT, ""),
    }
    return {label: text for label, text in facts.items() if text}
