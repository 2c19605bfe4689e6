"""Set-up works around broken tools of the machine, and reports a failure in one sentence."""

import importlib
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as make runs it, with uv already installed in `.venv-bootstrap`."""
    module = importlib.import_module("tools.setup.bootstrap")
    monkeypatch.setattr(module, "TOOLS", tmp_path / "tools")
    monkeypatch.setattr(module, "SAM", tmp_path / "sam")
    monkeypatch.setattr(module, "LOG", tmp_path / "log" / "setup.log")
    monkeypatch.setattr(module, "wheels", lambda: tmp_path / "sam" / "wheels" / "now")
    program(tmp_path / "tools" / "bin" / "uv", "echo uv 1.2.3")
    return module


def test_a_uv_on_path_is_used(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = program(tmp_path / "path" / "uv", "echo uv 1.2.3")
    monkeypatch.setenv("PATH", str(uv.parent))
    assert bootstrap.find_uv() == str(uv)


def test_a_uv_on_path_that_does_not_run_is_skipped(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = program(tmp_path / "path" / "uv", "echo 'uv: command not found' >&2; exit 127")
    monkeypatch.setenv("PATH", str(shim.parent))
    assert bootstrap.find_uv() == str(tmp_path / "tools" / "bin" / "uv")


def test_a_failed_installation_of_uv_is_one_sentence(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = program(tmp_path / "python", "echo 'no connection' >&2; exit 1")
    monkeypatch.setattr(bootstrap, "TOOLS", tmp_path / "empty")
    monkeypatch.setattr(bootstrap.sys, "executable", str(python))
    monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(
        bootstrap.SetupError, match=r"^this Python cannot create a venv; .*network\?"
    ):
        bootstrap.find_uv()
    assert (tmp_path / "log" / "setup.log").read_text() == "no connection\n"


# A fake `python -m pip download ... --dest FOLDER`; for Lambda it also runs `{then}`.
PIP = """
while [ $# -gt 1 ]; do [ "$1" = --dest ] && folder=$2; last=$1; shift; done
mkdir -p "$folder"
if [ "$last" = --python-version ]; then touch "$folder/lambda.whl"; {then}
else touch "$folder/machine.whl"; fi
"""


def test_the_functions_wheels_are_kept_for_this_machine_and_for_lambda(
    bootstrap: ModuleType, tmp_path: Path
) -> None:
    old = tmp_path / "sam" / "wheels" / "before"
    old.mkdir(parents=True)
    python = program(tmp_path / "sam" / "bin" / "python", PIP.format(then=":"))
    bootstrap.keep_wheels()
    kept = {path.name for path in bootstrap.wheels().iterdir()}
    assert kept == {"machine.whl", "lambda.whl"}
    assert not old.exists()
    python.unlink()
    bootstrap.keep_wheels()  # nothing is downloaded again


def test_an_incomplete_set_of_wheels_is_not_kept(bootstrap: ModuleType, tmp_path: Path) -> None:
    program(tmp_path / "sam" / "bin" / "python", PIP.format(then="exit 1"))
    with pytest.raises(bootstrap.SetupError, match=r"^the functions' dependencies could not be"):
        bootstrap.keep_wheels()
    assert not bootstrap.wheels().exists()


@pytest.mark.parametrize(
    "title", ["$9.99 (2008)", '"Great Performances" Cats (1998)', "Schindler's List", "a `id` b"]
)
def test_make_passes_a_title_on_unchanged(title: str) -> None:
    answer = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo", f"MOVIE={title}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    command = answer.stdout.splitlines()[-1]
    said = subprocess.run(
        ["sh", "-c", f'set -- {command}; for each do last=$each; done; printf %s "$last"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == title
