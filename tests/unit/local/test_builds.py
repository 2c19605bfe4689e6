"""SAM builds the local cloud's functions again only if something has changed."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from local import cloud
from local.access import Access

ACCESS = Access("http://127.0.0.1:1", "http://127.0.0.1:2", "secret")
BUILT = "Resources:\n  {name}:\n    Properties:\n      CodeUri: {name}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one function, whose code is in two folders, one of them linked."""
    for name in ("functions/query/handler.py", "spark/engine.py", "requirements/sam.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first")
    (tmp_path / "template.yaml").write_text("first")
    (tmp_path / "functions" / "spark").symlink_to("../spark")
    monkeypatch.setattr(cloud, "ROOT", tmp_path)
    monkeypatch.setattr(cloud, "BUILDS", tmp_path / "builds")
    return tmp_path


@pytest.fixture
def sam(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Plays `sam build`; returns the folders it was to build in."""
    built = []

    def run(command: Sequence[str], *_: object) -> None:
        folder = Path(command[command.index("--build-dir") + 1])
        (folder / "QueryFunction").mkdir(parents=True)
        code = (project / "functions" / "query" / "handler.py").read_text()
        (folder / "QueryFunction" / "handler.py").write_text(code)
        (folder / "template.yaml").write_text(BUILT.format(name="QueryFunction"))
        built.append(folder)

    monkeypatch.setattr(cloud, "_run", run)
    return built


def test_what_has_not_changed_is_not_built_again(project: Path, sam: list[Path]) -> None:
    first = cloud._build(ACCESS, project)
    (project / "functions" / "__pycache__").mkdir()
    (project / "functions" / "__pycache__" / "handler.pyc").write_text("compiled")
    assert cloud._build(ACCESS, project) == first
    assert len(sam) == 1
    assert [*first.parent.iterdir()] == [first]


@pytest.mark.parametrize(
    "changed",
    ["functions/query/handler.py", "spark/engine.py", "requirements/sam.txt", "template.yaml"],
)
def test_what_has_changed_is_built_again(project: Path, sam: list[Path], changed: str) -> None:
    first = cloud._build(ACCESS, project)
    (project / changed).write_text("second")
    assert cloud._build(ACCESS, project) != first
    assert len(sam) == 2


@pytest.mark.usefixtures("sam")
def test_all_functions_are_deployed_from_one_archive_of_the_code(project: Path) -> None:
    build = cloud._build(ACCESS, project)
    expected = BUILT.format(name="QueryFunction").replace(": QueryFunction", ": functions.zip")
    assert (build / "deploy.yaml").read_text() == expected
    with zipfile.ZipFile(build / "functions.zip") as archive:
        assert archive.read("handler.py") == b"first"


@pytest.mark.usefixtures("sam")
def test_a_build_of_yesterday_goes_with_the_next(project: Path) -> None:
    old = cloud._build(ACCESS, project)
    os.utime(old, (0, 0))
    (project / "template.yaml").write_text("second")
    new = cloud._build(ACCESS, project)
    assert [*new.parent.iterdir()] == [new]


def test_two_clouds_that_build_at_once_share_the_faster_build(
    project: Path, sam: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = cloud._run

    def slowly(*arguments: object) -> None:
        monkeypatch.setattr(cloud, "_run", play)
        cloud._build(ACCESS, project)  # the other
        play(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cloud, "_run", slowly)
    build = cloud._build(ACCESS, project)
    assert len(sam) == 2
    assert [*build.parent.iterdir()] == [build]
