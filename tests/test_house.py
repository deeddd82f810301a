"""The plan of the house: who may import whom, and what lies at the top."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mlproject"
FLOORS = [  # from the ground up; a package imports from its own floor and from those below
    {"digest", "errors", "curve", "estimators", "py.typed", "__init__"},
    {"worlds", "models", "laws", "plotting"},
    {"preferences", "optimization"},
    {"config"},
    {"monitoring"},
    {"pipeline"},
    {"tracking"},
    {"execution"},
    {"registry", "report", "search"},
    {"experiments", "integrations"},
    {"cli"},
    {"__main__"},
]
TRACKERS = {"mlflow", "optuna"}
TRACKING = {"tracking", "execution", "registry", "report", "search"}  # the packages that may import them
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(path: Path) -> set[str]:
    """Modules that a file imports at run time, wherever in it; for the project's own, the full name."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            own = node.module == "mlproject"
            found |= {f"mlproject.{alias.name}" if own else str(node.module) for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path):
    own = [name.split(".")[1] for name in imports(path) if name.startswith("mlproject.")]
    above = {name for name in own if floor(name) > floor(room(path))}
    assert not above, f"{path.name} imports from a floor above: {above}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_tracking_knows_mlflow_and_optuna(path):
    trackers = {name.split(".")[0] for name in imports(path)} & TRACKERS
    assert not trackers or room(path) in TRACKING


def test_estimators_curve_and_laws_need_numpy_alone():
    for path in FILES:
        if room(path) in ("estimators", "curve", "laws"):
            foreign = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
            assert foreign <= {"numpy", "mlproject", "__future__"}, path


def test_files_are_short():
    long = {str(path.relative_to(PACKAGE)): n for path in FILES if (n := len(path.read_text().splitlines())) > 300}
    assert not long


def test_the_root_has_one_entry_that_mlflow_takes_for_its_project_file():
    # MLflow opens the first directory entry whose lower-cased name is mlproject; a folder of that name would do harm.
    assert [entry.name for entry in ROOT.iterdir() if entry.name.lower() == "mlproject"] == ["MLproject"]


def test_the_command_line_imports_nothing_heavy():
    code = (
        "import sys, mlproject.__main__; "
        "print([m for m in ('torch', 'transformers', 'mlflow', 'optuna', 'pandas', 'evaluate') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
