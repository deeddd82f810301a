"""Files that hold a table by columns, read as such: Parquet, Arrow, folders of `datasets`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mlproject.errors import UserError, first_line
from mlproject.worlds.files.shards import shards

if TYPE_CHECKING:
    import datasets
    import pyarrow

ARROW_ENDINGS = (".arrow", ".feather")
TABLE_ENDINGS = (".parquet", *ARROW_ENDINGS)

LARGEST, MOST_ROWS = 4 * 2**30, 10_000_000
"""Bytes and rows of a file that are read, after unpacking: a few kilobytes may stand for many gigabytes."""

_BATCH = 1000
"""Rows that are unpacked before their size is looked at."""

_LARGEST_COLUMN = 2**31 - 1
"""Bytes of text in a column of a batch; Arrow counts no more."""


def stored_table(path: Path) -> pyarrow.Table | None:
    """The table of an existing file or folder; None for a file that holds text.

    Raises:
        UserError: if it cannot be read.
    """
    if path.is_dir():
        parts = shards(path, TABLE_ENDINGS)
        return joined(path, parts) if parts else saved_dataset(path).with_format("arrow")[:]
    if path.suffix.lower() == ".parquet":
        return parquet_table(path)
    return arrow_table(path) if path.suffix.lower() in ARROW_ENDINGS else None


def joined(folder: Path, parts: list[Path]) -> pyarrow.Table:
    """The one table of several files.

    Raises:
        UserError: if one of them cannot be read, or their columns do not go together, or it is too large.
    """
    import pyarrow

    tables = [parquet_table(part) if part.suffix.lower() == ".parquet" else arrow_table(part) for part in parts]
    if sum(table.num_rows for table in tables) > MOST_ROWS or sum(table.nbytes for table in tables) > LARGEST:
        raise too_large(folder)
    for part, table in zip(parts, tables, strict=True):
        if set(table.column_names) != set(tables[0].column_names):
            odd = sorted(set(table.column_names) ^ set(tables[0].column_names))[0]
            raise UserError(
                f"{folder}: must hold one table in parts, but only one of {parts[0].name} and {part.name} has the "
                f"column {odd}. Name the file that you mean."
            )
    try:
        return pyarrow.concat_tables(tables, promote_options="permissive")
    except pyarrow.ArrowException as error:
        reason = first_line(error)
        raise UserError(f"{folder}: must hold one table in parts, with columns of one type ({reason}).") from None


def parquet_table(path: Path) -> pyarrow.Table:
    """The table of a Parquet file.

    Raises:
        UserError: if it cannot be read.
    """
    import pyarrow
    import pyarrow.parquet
    from pyarrow.types import is_large_string, is_string

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, stored = file.schema_arrow, file.metadata
        if sum(stored.row_group(i).total_byte_size for i in range(stored.num_row_groups)) > LARGEST:
            raise too_large(path)
        texts = [field.name for field in schema if is_string(field.type) or is_large_string(field.type)]
        with pyarrow.parquet.ParquetFile(
            path, metadata=stored, read_dictionary=texts
        ) as file:  # one text for all its rows
            return _within_limits(path, schema, file.iter_batches(_BATCH))
    except UserError:
        raise
    except (pyarrow.ArrowException, ValueError, OverflowError, MemoryError) as error:
        raise _not_parquet(path, error) from None


def arrow_table(path: Path) -> pyarrow.Table:
    """The table of a file of pandas or Arrow (`feather`), or of the stream that `datasets` keeps in its cache.

    Raises:
        UserError: if it cannot be read.
    """
    import pyarrow
    import pyarrow.feather

    try:
        try:
            table = pyarrow.feather.read_table(path)
        except pyarrow.ArrowException:
            with pyarrow.OSFile(str(path)) as file:
                table = pyarrow.ipc.open_stream(file).read_all()
        return _within_limits(path, table.schema, table.to_batches())
    except UserError:
        raise
    except (pyarrow.ArrowException, ValueError, OverflowError, MemoryError) as error:
        raise _not_arrow(path, error) from None


def _within_limits(path: Path, schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch]) -> pyarrow.Table:
    """The table of batches that are unpacked one after another.

    Raises:
        ValueError: if two columns have one name.
        UserError: if it is too large.
    """
    import pyarrow

    if len(set(schema.names)) < len(schema.names):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        raise ValueError(f"it has the column {twice[:40]!r} twice")
    kept: list[pyarrow.RecordBatch] = []
    size = rows = 0
    for stored in batches:
        decoded = [_decoded_size(column) for column in stored.columns]
        if max(decoded, default=0) > _LARGEST_COLUMN or size + sum(decoded) > LARGEST:
            raise too_large(path)
        batch = pyarrow.RecordBatch.from_arrays([_decoded(column) for column in stored.columns], schema.names)
        size, rows = size + batch.nbytes, rows + batch.num_rows
        if size > LARGEST or rows > MOST_ROWS:
            raise too_large(path)
        kept.append(batch)
    return pyarrow.Table.from_batches(kept, kept[0].schema if kept else schema)


def _decoded_size(column: pyarrow.Array) -> int:
    """Bytes that the texts of a column with a dictionary have once each is written out; 0 for other columns."""
    import pyarrow.compute as compute
    from pyarrow.types import is_large_string, is_string

    values = getattr(column, "dictionary", None)
    if values is None or not (is_string(values.type) or is_large_string(values.type)):
        return 0
    lengths = compute.binary_length(values).cast("int64").take(column.indices)
    return int(compute.sum(lengths).as_py() or 0)


def _decoded(column: pyarrow.Array) -> pyarrow.Array:
    """A column with the values themselves, where it holds numbers of entries of a dictionary."""
    return column.dictionary_decode() if hasattr(column, "dictionary_decode") else column


def too_large(path: Path) -> UserError:
    """The mistake of a file that holds more than is read."""
    return UserError(
        f"{path}: must hold at most {LARGEST // 2**30} GB of text, after unpacking, and {MOST_ROWS:,} rows. "
        "Use a part of it."
    )


def rows_of_table(path: Path, table: pyarrow.Table) -> list[dict]:
    """The rows of the table of a file, as objects.

    Raises:
        UserError: for values that Python has no object for: text that is not UTF-8, times out of range.
    """
    import pyarrow

    try:
        return table.to_pylist()
    except (pyarrow.ArrowException, ValueError, OverflowError, MemoryError) as error:
        refuse = _not_parquet if path.suffix.lower() == ".parquet" else _not_arrow
        raise refuse(path, error) from None


def saved_dataset(path: Path) -> datasets.Dataset:
    """A folder that `datasets` saved; of several splits `train`, or the only one.

    Raises:
        UserError: if it is no such folder, or has several splits without `train`.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        saved = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever datasets raises for files that are not its own
        reason = first_line(error)
        raise UserError(f"{path}: must be a folder saved by datasets ({reason}). Use save_to_disk.") from None
    if isinstance(saved, datasets.DatasetDict):
        if "train" not in saved and len(saved) > 1:
            raise UserError(f"{path}: must have a split train, not {', '.join(saved)}. Save the one that you mean.")
        if not saved:
            raise UserError(f"{path}: must have a split, but has none. Save a dataset with rows.")
        saved = saved["train"] if "train" in saved else next(iter(saved.values()))
    if len(saved) > MOST_ROWS:
        raise too_large(path)
    return saved


def _not_parquet(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: must be Parquet ({first_line(error)}). Write the file again.")


def _not_arrow(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: must be an Arrow file ({first_line(error)}). Write the file again.")
