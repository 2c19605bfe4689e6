"""Tools with an environment of their own, because their dependencies differ from the project's."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from tools.paths import ROOT

PYTHON = ROOT / ".venv" / "bin" / "python"
# What uv prints if it cannot reach the package index.
OFFLINE = ("dns error", "Failed to fetch", "client error (Connect)", "network connectivity")


class UnavailableError(Exception):
    """The tool cannot be installed here; the message says why."""


def programs(name: str) -> Path:
    """The folder with the programs that `requirements/NAME.txt` locks; they are installed once.

    Raises:
        UnavailableError: the package index cannot be reached.
    """
    lock = ROOT / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = ROOT / "build" / f"{name}-{digest}"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / name
            install(made, lock, "--relocatable")
            made.rename(folder)
    return folder / "bin"


def install(folder: Path, lock: Path, *options: str) -> None:
    """Make an environment with exactly what a lock file has.

    Args:
        folder: the environment's, which must not exist.
        lock: a file of requirements with hashes.
        options: further ones of `uv venv`.

    Raises:
        UnavailableError: the package index cannot be reached.
    """
    uv("venv", "--quiet", "--python", str(PYTHON), *options, str(folder))
    sync = ["pip", "sync", "--quiet", "--require-hashes", "--python"]
    uv(*sync, str(folder / "bin" / "python"), str(lock))


def uv(*arguments: str) -> None:
    """Run the project's uv.

    Raises:
        UnavailableError: the package index cannot be reached.
        RuntimeError: uv failed for another reason.
    """
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [str(PYTHON.with_name("uv")), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and any(words in done.stderr for words in OFFLINE):
        raise UnavailableError("uv cannot reach the package index")
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
