"""Spark runs on the machine's own Java 17 or 21, otherwise on the wheel's."""

import importlib
import subprocess
from pathlib import Path

import pytest

from tools.setup import java


def fake_java(home: Path, version: str) -> Path:
    """Create a Java home whose program answers `java -XshowSettings:properties -version`."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    output = f'    java.home = {home}\\nopenjdk version "{version}" 2025-01-01'
    program.write_text(f"#!/bin/sh\nprintf '{output}\\n' >&2\n")
    program.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/no/such/folder")
    monkeypatch.setattr(java, "OURS", tmp_path / "ours")


@pytest.mark.parametrize("version", ["17.0.15", "21.0.8", "21"])
def test_java_home_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    home = fake_java(tmp_path / "home", version)
    other = fake_java(tmp_path / "other", "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", f"{other}/bin:/bin:/usr/bin")
    assert java.java_home() == home


def test_an_unsuitable_java_home_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "home", "11.0.2")))
    home = fake_java(tmp_path / "other", "17.0.1")
    monkeypatch.setenv("PATH", f"{home}/bin:/bin:/usr/bin")
    assert java.java_home() == home


def test_the_wheels_java_is_the_last_resort_and_without_it_an_error_says_what_to_do(
    tmp_path: Path,
) -> None:
    with pytest.raises(java.NoJavaError, match="make setup"):
        java.java_home()
    home = fake_java(tmp_path / "ours", "21.0.8")
    assert java.java_home() == home
    assert java.system_java() is None


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["--add-modules=jdk.incubator.vector", "-Da=b c", "Main"], ["-Da=b c", "Main"]),
        (["-Xmx1g", "--add-modules", "jdk.incubator.vector", "Main"], ["-Xmx1g", "Main"]),
        (["--add-modules", "java.sql", "Main"], ["--add-modules", "java.sql", "Main"]),
        (["Main", "jdk.incubator.vector"], ["Main", "jdk.incubator.vector"]),
    ],
)
def test_the_wrapper_drops_only_the_module_that_the_wheel_lacks(
    tmp_path: Path, given: list[str], passed: list[str]
) -> None:
    bootstrap = importlib.import_module("tools.setup.bootstrap")
    real = tmp_path / "real"
    real.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    wrapper = tmp_path / "java"
    wrapper.write_text(bootstrap.JAVA_WRAPPER.replace("{java}", str(real)))
    for program in (real, wrapper):
        program.chmod(0o755)
    answer = subprocess.run([wrapper, *given], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == passed
