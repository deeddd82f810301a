"""Mistakes in what a command is given that are seen without the heavy imports, and answered at once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlproject.errors import UserError
from mlproject.models.sizes import SIZES, is_checkpoint
from mlproject.options.paths import exists, expanded
from mlproject.options.series import parse_series
from mlproject.rewards.source import FORMS, is_reward

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_FILE = re.compile(r"[^,=]+\.(csv|tsv|txt|json|jsonl|ndjson|log|parquet)(\.gz|\.bz2|\.xz)?")


def check_arguments(arguments: Mapping[str, str]) -> None:
    """Refuse a file that does not exist, checkpoints that are no series, and a proxy that nothing could be.

    Args:
        arguments: values of the entry point's own parameters, by name.

    Raises:
        UserError: for the first mistake.
    """
    curve = arguments.get("curve", "")
    if _FILE.fullmatch(curve) and not exists(curve):
        raise UserError(f"curve={curve}: no such file. Give the path of a log, or an MLflow run id.")
    samples = arguments.get("samples", "")
    if samples and not exists(expanded(samples)):
        raise UserError(f"samples={samples}: no such file. Give the path of a table, or of a folder saved by datasets.")
    if "checkpoints" in arguments:
        parse_series(arguments["checkpoints"])
    proxy = "" if samples else arguments.get("proxy", "")  # with samples it is the name of a column
    if proxy and not (
        proxy in SIZES
        or is_checkpoint(proxy)
        or is_reward(proxy)
        or proxy.startswith("models:/")
        or _RUN_ID.fullmatch(proxy)
    ):
        raise UserError(
            f"proxy={proxy}: must be a size ({', '.join(SIZES)}), a checkpoint (./FOLDER or OWNER/NAME), {FORMS}, a "
            "run id, or models:/NAME@ALIAS."
        )
