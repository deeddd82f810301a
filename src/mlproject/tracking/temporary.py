"""The folder in which a command and its workers keep what is temporary: downloads, scratch files, those of libraries.

Its name says whose it is, so that the next command can remove the folder of a command that was killed. Free of MLflow.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.util import get_temp_dir
from pathlib import Path

from mlproject.tracking.processes import has_ended, process_space, this_host, this_process

_NAME = re.compile(r"mlproject-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<started>\d+)-\w+")
_SOCKETS = "sockets"
"""Link to the folder of the sockets by which processes talk, whose paths are limited to some 100 characters."""


@contextmanager
def temporary_folder() -> Iterator[None]:
    """Inside, all that this process makes by `tempfile` lies in a folder of its own, which is removed at the end.

    Folders of processes of this host that have ended are removed first.
    """
    variable = os.environ.get("TMPDIR")
    named = Path(tempfile.gettempdir())  # perhaps the folder of a command that has ended, told by its forkserver
    outside = next(folder for folder in (named, *named.parents) if folder.is_dir())
    sweep(outside)
    pid, started = this_process()
    folder = Path(tempfile.mkdtemp(prefix=f"mlproject-{_host()}-{pid}-{int(started)}-", dir=outside))
    if parent_process() is None:  # a child's sockets lie in its parent's folder, which may live on
        (folder / _SOCKETS).symlink_to(get_temp_dir())
    use_temporary_folder(str(folder))
    try:
        yield
    finally:
        tempfile.tempdir = str(outside)
        os.environ.pop("TMPDIR")
        os.environ.update({} if variable is None else {"TMPDIR": variable})
        shutil.rmtree(folder, ignore_errors=True)


def use_temporary_folder(folder: str) -> None:
    """Let this process, and those that it starts, make what is temporary in a folder."""
    tempfile.tempdir = os.environ["TMPDIR"] = folder


def sweep(outside: Path) -> None:
    """Remove the folders that commands of this user have left which were killed.

    Args:
        outside: the folder for all that is temporary on this machine.
    """
    for folder in outside.glob("mlproject-*"):
        name = _NAME.fullmatch(folder.name)
        if name is None or name["host"] != _host() or not has_ended(int(name["pid"]), int(name["started"])):
            continue
        with suppress(OSError):  # another command may be removing it
            if folder.lstat().st_uid != os.getuid():
                continue
            sockets = (folder / _SOCKETS).readlink()
            if sockets.parent == outside and sockets.name.startswith("pymp-"):
                shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    return hashlib.sha256(f"{this_host()} {process_space()}".encode()).hexdigest()[:8]
