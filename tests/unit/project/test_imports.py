"""Every module has one name, and no function imports what its package does not carry."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.conftest import ROOT

FUNCTIONS = ["launcher", "monitor", "sweeper", "notifier", "indexer", "query", "control"]
ROOMS = ["spark", "cli", "local", "tools", "pictures", "evaluation", "benchmarks", "tests"]
# A room imports from itself and from those before it.
ORDER = ["spark", "functions", "tools", "local", "evaluation", "cli", "benchmarks", "pictures"]
ORDER += ["tests"]
RUNTIME = {"boto3", "botocore"}  # Lambda's own


@cache
def modules() -> dict[str, Path]:
    """The project's modules by the one name that each has: Lambda's root, or the project's."""
    found = {}
    for root, folders in ((ROOT / "functions", [ROOT / "functions"]),
                          (ROOT, [ROOT / room for room in ROOMS])):  # fmt: skip
        for path in (path for folder in folders for path in folder.rglob("*.py")):
            if "__pycache__" not in path.parts:
                name = ".".join(path.relative_to(root).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """The modules that a file names when it runs; those for type checkers alone do not count."""

    def visit(node: ast.AST) -> Iterator[str]:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                children: list[ast.AST] = list(node.orelse)
            case ast.Import(names=names):
                yield from (name.name for name in names)
                children = []
            case ast.ImportFrom(module=str(module), names=names):
                inner = [f"{module}.{name.name}" for name in names]
                yield from [each if each in modules() else module for each in inner]
                children = []
            case _:
                children = list(ast.iter_child_nodes(node))
        for child in children:
            yield from visit(child)

    yield from visit(ast.parse(path.read_text()))


def test_no_module_is_imported_under_a_second_name() -> None:
    # A second name is a path that a file of ours has from any folder on the way to it.
    ours = {path.resolve(): name for name, path in modules().items()}
    wrong = []
    for name, path in modules().items():
        for module in imported(path):
            parts = Path(*module.split("."))
            for root in (ROOT, ROOT / "functions", path.parent):
                for file in (root / parts.with_suffix(".py"), root / parts / "__init__.py"):
                    known = ours.get(file.resolve()) if file.is_file() else None
                    if known not in (None, module) and module not in modules():
                        wrong.append(f"{name} imports {known} as {module}")
    assert not wrong


def test_only_the_starts_of_the_jobs_processes_change_the_path() -> None:
    changing = re.compile(r"\bsys\.path(\[|\.(insert|append|extend|remove)|\s*\+?=[^=])")
    found = [name for name, path in modules().items() if changing.search(path.read_text())]
    assert sorted(found) == ["spark.runtime.bytecode", "spark.similarity_job"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_nothing_but_what_its_package_carries(function: str) -> None:
    lock = (ROOT / "functions" / "requirements.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
    distributions = packages_distributions()

    def is_carried(module: str) -> bool:
        top = module.partition(".")[0]
        names = {re.sub(r"[-_.]+", "-", each).lower() for each in distributions.get(top, [])}
        return top in sys.stdlib_module_names | RUNTIME or bool(names & locked)

    todo, seen, missing = [f"{function}.handler"], set(), set()
    while todo:
        name = todo.pop()
        seen.add(name)
        for module in imported(modules()[name]):
            if module in modules():
                packages = [module.rsplit(".", n)[0] for n in range(module.count(".") + 1)]
                todo += [each for each in packages if each not in seen]
            elif not is_carried(module):
                missing.add(f"{name}: {module}")
    assert not missing
    carried = {path.resolve() for path in (ROOT / "functions").rglob("*.py")}
    carried |= {path.resolve() for path in (ROOT / "spark").rglob("*.py")}
    assert {modules()[name].resolve() for name in seen} <= carried


def test_the_functions_import_of_the_job_its_contracts_alone() -> None:
    taken = {
        module
        for name, path in modules().items()
        if path.is_relative_to(ROOT / "functions")
        for module in imported(path)
        if module.startswith("spark.")
    }
    assert taken
    assert all(module.startswith("spark.contracts.") for module in taken), taken


def room_of(module: str) -> str:
    """The top-level room of a module."""
    return (
        "functions"
        if modules()[module].is_relative_to(ROOT / "functions")
        else module.split(".")[0]
    )


def test_imports_between_rooms_run_one_way() -> None:
    wrong = [
        f"{name} imports {module}"
        for name, path in modules().items()
        for module in imported(path)
        if module in modules() and ORDER.index(room_of(module)) > ORDER.index(room_of(name))
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        name: {each for each in imported(path) if each in modules() and each != name}
        for name, path in modules().items()
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
