"""Which kind of file lies there, and its reader."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd

from mlproject.errors import UserError, first_line
from mlproject.options.paths import exists
from mlproject.report.logs.columns import COLUMNS
from mlproject.report.logs.delimited import SCALAR_COLUMNS, read_delimited, recognised
from mlproject.report.logs.json_log import read_json, read_json_lines
from mlproject.report.logs.log import Log
from mlproject.report.logs.tensorboard import EVENTS, event_files, read_events

LARGEST = 512 * 2**20
"""Bytes of text that are read, after unpacking."""

RUN_URI = "runs:/"
"""How MLflow writes a run id as a location."""

TRAINER_STATE = "trainer_state.json"

_UNPACK: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TEXT = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".log")
_KINDS = "a CSV, TSV, Parquet, JSON or JSON Lines file (.gz too), trainer_state.json, or a folder of TensorBoard events"


def is_path(curve: str) -> bool:
    """Whether the user's text names files, so that it can be read without a tracking server."""
    if curve.startswith(RUN_URI):
        return False
    return bool(Path(curve).suffix) or "/" in curve or "," in curve or exists(curve)


def read_logs(curve: str, source: str) -> tuple[list[Log], dict[str, str]]:
    """Read one file or folder, or several with commas between, each perhaps with what it holds (`kl=a.csv,gold=b.csv`).

    Args:
        curve: the user's text.
        source: the option and its value, for messages.

    Returns:
        the logs, and the columns that the text itself names by meaning.

    Raises:
        UserError: one line: no such file, or one that cannot be read.
    """
    if re.match(r"\w+://", curve):
        raise UserError("curve: must be a file, a folder or an MLflow run id, not a URL. Download the file.")
    parts = [curve] if exists(curve) or "," not in curve else [part.strip() for part in curve.split(",")]
    logs: list[Log] = []
    columns: dict[str, str] = {}
    for part in parts:
        meaning, equals, path = part.partition("=")
        if not equals or meaning not in COLUMNS or exists(part):
            meaning, path = "", part
        log = _read(Path(path), source if len(parts) == 1 else f"curve={path}")
        if meaning:
            values = [str(name) for name in log.table.columns if name != log.step]
            if len(values) != 1:
                raise UserError(f"{source}: {path} has {len(values)} columns. Give columns={meaning}=COLUMN instead.")
            # two downloads of TensorBoard may have one name: what they mean tells them apart
            log = Log(log.name, log.kind, log.table.rename(columns={values[0]: meaning}), log.step, log.lines)
            columns[meaning] = meaning
        logs.append(log)
    if len(logs) == 1 and logs[0].kind == "a TensorBoard scalar":
        raise UserError(
            f"{source}: holds one scalar ({', '.join(sorted(SCALAR_COLUMNS))}). "
            "Give the others too: curve=kl=FILE,gold=FILE."
        )
    return logs, columns


def _read(path: Path, source: str) -> Log:
    if not exists(path):
        raise UserError(f"{source}: no such file. Give {_KINDS}, or an MLflow run id.")
    if path.is_dir():
        return _read_folder(path, source)
    if not path.is_file():
        raise UserError(f"{source}: is not a regular file. Give {_KINDS}.")
    if EVENTS in path.name:
        return read_events(path, source)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in _UNPACK else ""
    suffix = suffixes[-1] if suffixes else ""
    if suffix == ".parquet" and not packing:
        return _read_parquet(path, source)
    if suffix not in _TEXT:
        hint = " Export the history as CSV." if suffix == ".wandb" else " Convert the file."
        raise UserError(f"{source}: must be {_KINDS}, or an MLflow run id.{hint}")
    text = _text(path, packing, source)
    name = path.name.removesuffix(packing)
    if not text.strip():
        raise UserError(f"{source}: is empty. Give a log with three steps or more.")
    if suffix in (".jsonl", ".ndjson"):
        return read_json_lines(name, text, source)
    if suffix == ".json":
        return read_json(name, text, source)
    if suffix in (".log", ".txt") and text.lstrip().startswith("{"):
        return read_json_lines(name, text, source)
    return read_delimited(name, text, source)


def _read_folder(path: Path, source: str) -> Log:
    """A trainer's output folder (its newest checkpoint's state), or TensorBoard events."""
    states = list(path.glob(TRAINER_STATE)) or list(path.glob(f"checkpoint-*/{TRAINER_STATE}"))
    if states:
        newest = max(states, key=lambda state: int(re.sub(r"\D", "", state.parent.name) or 0) if len(states) > 1 else 0)
        log = _read(newest, source)
        note = f"read from {newest.relative_to(path)}"
        return Log(log.name, log.kind, log.table, log.step, log.lines, log.decimal_comma, (note, *log.notes))
    if event_files(path):
        return read_events(path, source)
    raise UserError(f"{source}: is a folder without {TRAINER_STATE} and without TensorBoard events. Give {_KINDS}.")


def _read_parquet(path: Path, source: str) -> Log:
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # pandas and pyarrow raise many kinds of errors for a malformed file
        raise UserError(f"{source}: cannot be read ({first_line(error)}). Give a Parquet table.") from None
    if any(name is not None for name in table.index.names):  # a step that was the index of the table that was saved
        table = table.reset_index()
    return recognised(path.name, table, None, [])


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    """The content of a file, to a little beyond `LARGEST`."""
    total = 0
    while total <= LARGEST and (piece := file.read(2**20)):
        total += len(piece)
        yield piece


def _text(path: Path, packing: str, source: str) -> str:
    try:
        with _UNPACK[packing](path, "rb") if packing else path.open("rb") as file:
            content = b"".join(_pieces(file))
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise UserError(f"{source}: cannot be read ({first_line(error)}). Give a whole file.") from None
    if len(content) > LARGEST:
        raise UserError(
            f"{source}: is larger than {LARGEST // 2**20} MB. Keep the columns of KL and gold, and the step."
        )
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{source}: cannot be read as text ({encoding}). Save it as UTF-8.") from None
    if "\0" in text:
        raise UserError(f"{source}: cannot be read as text (it holds zero bytes). Give a table or a log.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
