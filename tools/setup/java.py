"""Finds the Java that runs Spark: the machine's own, or the one that bootstrap installed.

Standard library only and valid on Python 3.8, because bootstrap runs before `.venv` exists.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.paths import ROOT

SUPPORTED = (17, 21)
# The JAVA_HOME that bootstrap makes from the wheel.
OURS = ROOT / ".venv" / "jdk"


class NoJavaError(Exception):
    """There is no Java 17 or 21; the message says what to do."""


def java_home() -> Path:
    """Return the home of a Java 17 or 21: from JAVA_HOME, PATH or `.venv`, in this order.

    Raises:
        NoJavaError: there is none.
    """
    home = system_java() or (OURS if home_of(OURS / "bin" / "java") else None)
    if home is None:
        raise NoJavaError("Spark needs Java 17 or 21, but there is none: `make setup` installs one")
    return home


def system_java() -> Path | None:
    """Return the home of the machine's own Java 17 or 21, or None if it has none."""
    if os.environ.get("JAVA_HOME"):
        home = Path(os.environ["JAVA_HOME"])
        if home != OURS and home_of(home / "bin" / "java"):
            return home
    program = shutil.which("java")
    if program and (ROOT / ".venv") not in Path(program).resolve().parents:
        return home_of(Path(program))
    return None


def home_of(java: Path) -> Path | None:
    """Return the home that a `java` program reports, or None unless it is Java 17 or 21."""
    command = [str(java), "-XshowSettings:properties", "-version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r'version "(\d+)', answer.stderr)
    home = re.search(r"java\.home = (.+)", answer.stderr)
    if answer.returncode or not version or not home or int(version[1]) not in SUPPORTED:
        return None
    return Path(home[1].strip())
