"""The archive of Spark's classes: used where it fits, and nothing depends on it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.setup import class_archive
from tools.setup.java import NoJavaError, java_home


@pytest.fixture(autouse=True)
def unknown() -> None:
    """Options as a new process finds them."""
    class_archive.options.cache_clear()


def test_without_an_archive_java_starts_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_archive, "BUILD", tmp_path)
    assert class_archive.options() == ""


def test_without_a_java_there_is_no_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise NoJavaError

    monkeypatch.setattr(class_archive, "java_home", missing)
    class_archive.make()
    assert class_archive.options() == ""


def test_each_java_has_an_archive_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.1"')
    monkeypatch.setattr(class_archive, "java_home", lambda: tmp_path)
    first = class_archive.archive_path()
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.2"')
    assert class_archive.archive_path() != first


def test_java_says_nothing_about_an_archive_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_archive, "BUILD", tmp_path)
    path = class_archive.archive_path()
    assert path is not None
    path.write_bytes(b"cut off")
    java = java_home() / "bin" / "java"
    done = subprocess.run(
        [java, *class_archive.options().split(), "-version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == ""
    assert "warning" not in done.stderr.lower()


def test_set_up_has_made_an_archive_that_java_takes() -> None:
    path = class_archive.archive_path()
    if path is None or not path.exists():
        pytest.skip("this Java makes no archives")
    java = shutil.which("java", path=str(java_home() / "bin"))
    done = subprocess.run(
        [java, f"-XX:SharedArchiveFile={path}", "-Xlog:cds", "-version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(path) in done.stdout + done.stderr
