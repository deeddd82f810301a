"""Files that the package brings along and that a reviewed copy replaces: gates, the model card's template, experiments.

A copy in the current folder wins over one in the checkout that the package was installed from (an editable install),
and both win over the package's own, which is what a wheel has.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from mlproject.options.paths import is_there

DEFAULTS = Path(__file__).parent / "defaults"
_CHECKOUT = Path(__file__).parents[3]


def folders(folder_name: str) -> list[Path]:
    """The folders of that name, those first that win.

    Args:
        folder_name: `model_registry` or `experiments`.

    Returns:
        in the current folder, in the checkout, and in the package, as far as they exist.
    """
    candidates = (Path.cwd() / folder_name, _CHECKOUT / folder_name, DEFAULTS / folder_name)
    return [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]


def packaged_or_local(folder_name: str, file_name: str) -> Path:
    """The file of that name that wins; a copy that differs from the package's own is named on standard error.

    Args:
        folder_name: `model_registry` or `experiments`.
        file_name: of a file in it.

    Raises:
        FileNotFoundError: if neither a local folder nor the package has such a file.
    """
    packaged = DEFAULTS / folder_name / file_name
    for folder in folders(folder_name):
        path = folder / file_name
        if is_there(path):
            if not packaged.is_file() or path.read_bytes() != packaged.read_bytes():
                _announce(path)
            return path
    raise FileNotFoundError(packaged)


@cache
def _announce(path: Path) -> None:
    print(f"mlproject: using {path} instead of the copy in the package", file=sys.stderr, flush=True)
