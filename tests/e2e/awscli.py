"""The AWS CLI, as requirements/awscli.txt locks it, in a folder of its own."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import ROOT

LOCK = ROOT / "requirements" / "awscli.txt"
# What uv says where the package index is not reached.
OFFLINE = ("dns error", "Failed to fetch", "client error (Connect)", "network connectivity")


class UnavailableError(Exception):
    """It cannot be had on this machine; the message says why."""


def installed() -> Path:
    """The folder that has the program `aws`; fetched from the package index once.

    Raises:
        UnavailableError: the index is not reached.
    """
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    folder = ROOT / "build" / f"awscli-{lock}"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "awscli"
            _uv("venv", "--quiet", "--relocatable", "--python", str(_python()), str(made))
            sync = ["pip", "sync", "--quiet", "--require-hashes", "--python"]
            _uv(*sync, str(made / "bin" / "python"), str(LOCK))
            made.rename(folder)
    return folder / "bin"


def _python() -> Path:
    return ROOT / ".venv" / "bin" / "python"


def _uv(*arguments: str) -> None:
    command = [str(_python().with_name("uv")), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and any(words in done.stderr for words in OFFLINE):
        raise UnavailableError("the AWS CLI is fetched by uv, which cannot reach its index")
    if done.returncode:
        raise RuntimeError(f"uv could not install the AWS CLI:\n{done.stderr[-2000:]}")
