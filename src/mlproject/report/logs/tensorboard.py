"""TensorBoard's event files: the scalars of one run."""

from __future__ import annotations

from pathlib import Path

from mlproject.errors import UserError, first_line
from mlproject.report.logs.log import Log, log_of_series

EVENTS = "tfevents"
"""In the name of every event file."""


def event_files(folder: Path) -> list[Path]:
    """Event files in a folder and down to two levels below it, in the order of their names, which begin with the time
    of their start."""
    levels = (f"*{EVENTS}*", f"*/*{EVENTS}*", f"*/*/*{EVENTS}*")
    return sorted(path for level in levels for path in folder.glob(level) if path.is_file())


def read_events(path: Path, source: str) -> Log:
    """Read all scalars of an event file, or of a folder of them.

    Several files in one folder are one run that was resumed. Of several folders, the metrics of each carry its name
    (`train/loss`); the same metric in all of them means several runs.

    Args:
        path: file or folder.
        source: the option and its value, for messages.

    Raises:
        UserError: one line: without the package tensorboard, without scalars, or for several runs.
    """
    try:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        raise UserError(
            f"{source}: TensorBoard's event files need the package tensorboard. "
            "Run `pip install 'mlproject[tensorboard]'`, or download the scalars as CSV."
        ) from None
    files = [path] if path.is_file() else event_files(path)
    folders = list(dict.fromkeys(file.parent for file in files))
    by_folder: dict[Path, dict[str, list[tuple[int, float]]]] = {folder: {} for folder in folders}
    for file in files:
        series = by_folder[file.parent]
        try:
            for event in LegacyEventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.HasField("simple_value"):
                        series.setdefault(value.tag, []).append((event.step, value.simple_value))
                    elif value.metadata.plugin_data.plugin_name == "scalars" or value.tag in series:
                        number = make_ndarray(value.tensor)
                        if number.size == 1:
                            series.setdefault(value.tag, []).append((event.step, float(number.reshape(-1)[0])))
        except Exception as error:  # a damaged file: protobuf and the loader raise many kinds of errors
            raise UserError(
                f"{source}: {file.name} cannot be read ({first_line(error)}). Give an event file."
            ) from None
    used = {folder: series for folder, series in by_folder.items() if series}
    if not used:
        raise UserError(f"{source}: holds no scalars. Give the folder of one run's event files.")
    if len(used) == 1:
        return log_of_series(path.name, "TensorBoard events", next(iter(used.values())))
    names = {folder: str(folder.relative_to(path)) for folder in used}
    shared = set.intersection(*(set(series) for series in used.values()))
    if shared:
        raise UserError(
            f"{source}: holds {len(used)} runs ({', '.join(sorted(names.values())[:5])}), all with {min(shared)}. "
            "Give the folder of one."
        )
    merged = {
        tag if folder == path else f"{names[folder]}/{tag}": points
        for folder, series in used.items()
        for tag, points in series.items()
    }
    return log_of_series(path.name, "TensorBoard events", merged)
