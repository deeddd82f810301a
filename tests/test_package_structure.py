"""The structure of the package: who may import whom, how large its parts are, and what lies at the top."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from mlproject.optimization import METHODS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mlproject"
LAYERS = [  # from the ground up; a package imports from its own layer and from those below
    {"names", "digest", "errors", "strict_json", "file_lock", "curve", "estimators", "options", "__init__"},
    {"worlds", "models", "rewards", "laws", "plotting", "resume"},
    {"preferences", "optimization", "config", "cures", "recommendation"},
    {"monitoring"},
    {"pipeline", "samples"},
    {"tracking"},
    {"execution"},
    {"registry", "report", "search"},
    {"experiments", "integrations"},
    {"cli"},
    {"__main__"},
]
RE_EXPORTS = {"monitor", "warning"}
"""Old places of documented imports, kept for one release; they import from anywhere and nobody imports them."""
TRACKERS = {"mlflow", "optuna"}
TRACKING = {"tracking", "execution", "registry", "report", "search"}
"""Packages that may import the trackers."""
SLOW_LIBRARIES = {"accelerate", "transformers"}
"""Imported over `models/libraries.py`, so that a command that trains nothing does without them."""
LARGEST_SHARE = 0.15
"""Of the package's lines, in any one of its packages."""
LOOSE_MODULES = 5
FILES = sorted(path for path in PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def module_of(path: Path) -> str:
    return ".".join(("mlproject", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


MODULES = {module_of(path): path for path in FILES}


@cache
def imports(path: Path, for_types: bool = False) -> frozenset[str]:
    """Modules that a file imports, wherever in it, by their full names; those for type checkers only where asked."""
    names: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if is_type_checking(node) and not for_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in MODULES else str(node.module))
        todo += ast.iter_child_nodes(node)
    return frozenset(names)


def circles(for_types: bool) -> list[list[str]]:
    """Modules that import each other, directly or over others (Tarjan's strongly connected components)."""
    graph = {
        module: [name for name in imports(path, for_types) if name in MODULES and name != module]
        for module, path in MODULES.items()
        if package_of(path) != "__init__"  # the public face names everything, lazily
    }
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in graph:
                continue
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            cut = stack.index(module)
            component = stack[cut:]
            del stack[cut:]
            if len(component) > 1:
                components.append(sorted(component))

    for module in graph:
        if module not in index:
            visit(module)
    return components


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path):
    if package_of(path) in RE_EXPORTS or is_re_export(path):
        return
    packages = [name.split(".")[1] for name in imports(path) if name.startswith("mlproject.")]
    above = {name for name in packages if layer(name) > layer(package_of(path))}
    assert not above, f"{path.name} imports from a layer above: {above}"


def is_re_export(path: Path) -> bool:
    """Whether a module only hands on what has moved elsewhere (with a DeprecationWarning)."""
    text = path.read_text()
    return "DeprecationWarning" in text and "moved to" in text and len(text.splitlines()) < 40


def test_no_file_imports_in_a_circle():
    assert circles(for_types=True) == [], "imports for type checkers count too"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_tracking_packages_know_mlflow_and_optuna(path):
    trackers = {name.split(".")[0] for name in imports(path)} & TRACKERS
    assert not trackers or package_of(path) in TRACKING


def test_libraries_that_only_training_needs_are_imported_where_it_begins():
    direct = {path for path in FILES if {name.split(".")[0] for name in imports(path)} & SLOW_LIBRARIES}
    of_their_own = {"execution/preload.py", "integrations/trainer_callback.py", "registry/pyfunc_scorer.py"}
    assert {str(path.relative_to(PACKAGE)) for path in direct} == of_their_own
    reached, todo = set(), ["mlproject.cli.commands"]
    while todo:
        reached |= set(todo)
        todo = [name for module in todo for name in imports(MODULES[module]) if name in MODULES and name not in reached]
    assert {module_of(path) for path in direct} & reached == set(), "no command imports them with itself"


def test_estimators_curve_and_laws_need_numpy_alone():
    for path in FILES:
        if package_of(path) in ("estimators", "curve", "laws", "names"):
            foreign = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
            assert foreign <= {"numpy", "mlproject", "__future__"}, path


def test_no_code_asks_for_the_name_of_a_method():
    """What differs between methods is declared by them (`mlproject.optimization.Method`)."""
    asking = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare | ast.MatchValue)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and part.value in METHODS
    }
    assert asking == {"laws/forms.py"}, "which knows best-of-n where no method is registered"
    templates = [text.read_text() for suffix in ("html", "jinja") for text in PACKAGE.rglob(f"*.{suffix}")]
    assert len(templates) > 3
    assert not [name for text in templates for name in METHODS if f'== "{name}"' in text or f"== '{name}'" in text]


def test_files_are_short():
    long = {str(path.relative_to(PACKAGE)): n for path in FILES if (n := len(path.read_text().splitlines())) > 300}
    assert not long


def test_no_package_holds_more_than_its_share_of_the_lines():
    lines: dict[str, int] = {}
    for path in FILES:
        lines[package_of(path)] = lines.get(package_of(path), 0) + len(path.read_text().splitlines())
    total = sum(lines.values())
    assert {name: count for name, count in lines.items() if count > LARGEST_SHARE * total} == {}


def test_few_modules_stand_outside_of_a_package():
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"} - RE_EXPORTS
    assert len(loose) <= LOOSE_MODULES, loose


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
