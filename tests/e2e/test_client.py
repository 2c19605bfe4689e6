"""The typed client: generated from the deployed API's document, installed, and used against it."""

import json
import re
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT
from tests.e2e.test_api import RUNS, Api, api  # noqa: F401
from tools import client
from tools.setup import environments

pytestmark = pytest.mark.e2e

PROGRAM = Path(__file__).with_name("client_program.py")
EXAMPLE = re.compile(r"^## A typed client$.*?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def wheel(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The client's wheel, made from the document that the deployed API serves."""
    document = api.ask("/openapi.json").content
    try:
        return client.make(document, tmp_path_factory.mktemp("wheel"))
    except environments.UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the client and what it needs, and nothing of the project."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    environments.install(folder, ROOT / "requirements" / "client.txt")
    python = folder / "bin" / "python"
    environments.uv("pip", "install", "--quiet", "--no-deps", "--python", str(python), str(wheel))
    return python


@pytest.fixture(scope="module")
def example() -> str:
    """The program in docs/api.md."""
    (found,) = EXAMPLE.findall((ROOT / "docs" / "api.md").read_text())
    return found


def run(python: Path, *arguments: str, **environment: str) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(
        [python, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_gets_by_the_client_what_the_api_answers(api: Api, python: Path) -> None:  # noqa: F811
    told = json.loads(run(python, str(PROGRAM), api.cloud.api_url))
    found = api.ask("/movies?title=movie+5&limit=3").body
    similar = api.ask("/movies/5/similar?limit=4&genre=comedy&measure=ease").body
    recommended = api.ask(
        "/recommendations",
        "POST",
        {"liked": [5], "disliked": [9], "limit": 5},
        Content_Type="application/json",
    ).body
    assert told["found"] == found
    assert told["similar"] == similar
    assert told["recommended"] == recommended
    assert told["titles"] == [row["title"] for row in similar["similar"]]
    assert len(told["titles"]) == 4
    assert told["because"] == [[5]] * 5
    assert told["unknown"] == [404, api.ask("/movies/999999/similar").body]
    assert told["unknown"][1]["detail"] == f"no movie 999999 in run {RUNS[0]}"
    assert told["invalid"] == [400, api.ask("/movies/5/similar?limit=51").body]
    assert told["invalid"][1]["errors"][0]["parameter"] == "limit"


def test_the_example_in_the_documents_runs(api: Api, python: Path, example: str) -> None:  # noqa: F811
    known = example.replace("toy story", "movie 3 of run 0")
    assert known != example
    rows = api.ask("/movies/3/similar?limit=5").body["similar"]
    lines = [f"{row['rank']} {row['title']} {row['score']}" for row in rows]
    assert run(python, "-c", known, API_URL=api.cloud.api_url).splitlines() == lines
    problem = api.ask("/similar?title=toy+story").body["detail"]
    assert run(python, "-c", example, API_URL=api.cloud.api_url) == f"{problem}\n"


def test_mypy_accepts_the_programs_and_sees_their_errors(
    wheel: Path, python: Path, example: str, tmp_path: Path
) -> None:
    assert "similar_titles_client/py.typed" in ZipFile(wheel).namelist()
    program = PROGRAM.read_text()
    assert complaints(python, tmp_path, program) == []
    assert complaints(python, tmp_path, example) == []
    for right, wrong, kind in [
        ("row.title for", "row.titel for", "attr-defined"),
        ("limit=4", 'limit="4"', "arg-type"),
        ("liked=[movie_id]", "likes=[movie_id]", "call-arg"),
        ("liked=[movie_id]", "liked=movie_id", "arg-type"),
        ("assert isinstance(found, Movies), found", "", "union-attr"),
    ]:
        assert program.count(right) == 1
        found = complaints(python, tmp_path, program.replace(right, wrong))
        assert any(line.endswith(f"[{kind}]") for line in found), (wrong, found)


def complaints(python: Path, folder: Path, program: str) -> list[str]:
    """The errors that mypy finds in a program."""
    path = folder / "program.py"
    path.write_text(program)
    command = [ROOT / ".venv" / "bin" / "mypy", "--strict", "--config-file=", "--no-pretty"]
    command += ["--cache-dir", folder / "cache", "--python-executable", python, path]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if ": error: " in line]
