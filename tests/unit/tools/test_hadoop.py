"""The jars of YARN are exactly the locked ones, and missing programs are reported."""

import hashlib
from pathlib import Path

import pytest

from tools.setup import hadoop
from tools.setup.hadoop import HadoopError, check, missing

CONTENT = {"a.jar": b"a", "b.jar": b"b"}


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two locked jars."""
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in CONTENT.items())
    )
    monkeypatch.setattr(hadoop, "LOCK", lock)
    folder = tmp_path / "jars"
    folder.mkdir()
    for name, body in CONTENT.items():
        (folder / name).write_bytes(body)
    return folder


def test_the_locked_jars_are_accepted(jars: Path) -> None:
    check(jars)


@pytest.mark.parametrize(("name", "body"), [("b.jar", b"other"), ("c.jar", b"more")])
def test_a_jar_that_is_not_locked_is_refused_by_name(jars: Path, name: str, body: bytes) -> None:
    (jars / name).write_bytes(body)
    with pytest.raises(HadoopError, match=f"{name} differs from requirements/yarn.sha256"):
        check(jars)


def test_a_missing_jar_is_reported(jars: Path) -> None:
    (jars / "a.jar").unlink()
    with pytest.raises(HadoopError, match=r"a\.jar"):
        check(jars)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sys.platform", "darwin", "needs Linux"),
        ("system_java", lambda: None, "needs a JDK 17"),
        ("shutil.which", lambda name: None if name == "mvn" else name, "downloaded by Maven"),
    ],
)
def test_a_missing_program_is_reported_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, said: str
) -> None:
    usual = {
        "sys.platform": "linux",
        "system_java": lambda: Path("/java"),
        "shutil.which": lambda name: name,
    }
    monkeypatch.setattr(hadoop, "ROOT", tmp_path)  # no jars downloaded yet
    for each, what in usual.items():
        monkeypatch.setattr(f"tools.setup.hadoop.{each}", what)
    assert missing() is None
    monkeypatch.setattr(f"tools.setup.hadoop.{name}", value)
    assert said in str(missing())
