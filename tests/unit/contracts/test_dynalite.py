"""Starting dynalite: tests skip with a reason if it is unavailable, and fail if it is broken."""

from pathlib import Path

import pytest

from tests.unit import dynalite
from tests.unit.dynalite import UnavailableError


def program(path: Path, script: str) -> None:
    """Make a program."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found, with a node in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder / "node", "echo v20.1.0")
    program(folder / "npm", "exit 0")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(dynalite, "ROOT", tmp_path)
    return folder


@pytest.mark.parametrize("name", ["node", "npm"])
def test_without_node_and_npm_it_is_said_what_is_missing(programs: Path, name: str) -> None:
    (programs / name).unlink()
    with pytest.raises(UnavailableError, match="dynalite needs node 20 or later, and npm"):
        dynalite.installed()


def test_an_old_node_is_reported(programs: Path) -> None:
    program(programs / "node", "echo v18.20.4")
    with pytest.raises(UnavailableError, match=r"here is v18\.20\.4"):
        dynalite.installed()


def test_without_a_network_it_is_said_so(programs: Path) -> None:
    program(programs / "npm", "echo npm error code ENOTFOUND >&2; exit 1")
    with pytest.raises(UnavailableError, match="cannot reach its registry"):
        dynalite.installed()


def test_a_package_that_is_not_the_locked_one_is_an_error(programs: Path) -> None:
    program(programs / "npm", "echo npm error code EINTEGRITY >&2; exit 1")
    with pytest.raises(RuntimeError, match="EINTEGRITY"):
        dynalite.installed()


def test_it_is_fetched_once(programs: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    program(programs / "npm", f'echo "$@" >>{calls}')
    assert dynalite.installed() == dynalite.installed()
    assert calls.read_text().splitlines() == ["ci --ignore-scripts --no-audit --no-fund"]
