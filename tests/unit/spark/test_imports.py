"""The rooms of the job: imports run one way, and the contracts depend on nothing."""

import ast
import re
import sys
from pathlib import Path

import pytest

import spark
from tests.conftest import ROOT

SOURCES = sorted((ROOT / "spark").rglob("*.py"))


def rooms() -> dict[str, int]:
    """The rooms and their rank, as the package's docstring lists them; single modules too."""
    ranks = {}
    for rank, room, text in re.findall(
        r"^(\d)\. (\w+): ((?:.|\n(?!\d\.|\n))*)", spark.__doc__ or "", re.M
    ):
        names = re.findall(r"(\w+)\.py", text)
        ranks |= dict.fromkeys(names or [room], int(rank))
    return ranks


def imported(source: str) -> set[str]:
    """The modules that a source imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from spark import storage` names a module, `from spark.storage import read` does not.
            is_package = node.module == "spark"
            names |= {f"spark.{a.name}" for a in node.names} if is_package else {node.module}
    return names


def backward(path: str, source: str) -> list[str]:
    """The imports of a source that come from a later room."""
    ranks = rooms()
    room = path.removeprefix("spark/").split("/")[0].removesuffix(".py")
    of_job = [name.split(".")[1] for name in imported(source) if name.startswith("spark.")]
    return sorted(name for name in of_job if ranks[name] > ranks[room])


def test_every_module_of_the_job_is_in_a_room_that_the_package_lists() -> None:
    found = {path.relative_to(ROOT / "spark").parts[0].removesuffix(".py") for path in SOURCES}
    assert found - {"__init__"} == set(rooms())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_from_its_own_room_and_earlier_ones(path: Path) -> None:
    if path.name == "__init__.py":
        assert not {name for name in imported(path.read_text()) if name.startswith("spark")}
        return
    assert backward(path.relative_to(ROOT).as_posix(), path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "from spark.measures.ease import ease",
        "import spark.measures.ease",
        "from spark import job",
        "def late() -> None:\n    from spark.output import results",
    ],
)
def test_an_arrow_that_runs_back_is_found_wherever_it_stands(line: str) -> None:
    assert backward("spark/engine/kernel.py", line)
    assert not backward("spark/engine/kernel.py", "from spark.ingest.chunks import Chunk")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "spark" / "contracts").glob("*.py")), ids=lambda path: path.stem
)
def test_contracts_import_the_standard_library_and_each_other_only(path: Path) -> None:
    others = {name for name in imported(path.read_text()) if not name.startswith("spark.contracts")}
    names = {name.split(".")[0] for name in others}
    assert names <= sys.stdlib_module_names
