"""Which Java runs Spark: one that is there, or the wheel's that bootstrap installed.

Imports the standard library only and runs on old Pythons too: bootstrap asks it before there is an
environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.paths import ROOT

SUPPORTED = (17, 21)
# Where bootstrap puts the wheel's Java, in the shape of a JAVA_HOME.
OURS = ROOT / ".venv" / "jdk"


class NoJavaError(Exception):
    """No Java 17 or 21; the message says what to do."""


def java_home() -> Path:
    """The home of a Java 17 or 21: JAVA_HOME's, PATH's, or the one in `.venv`, in this order.

    Raises:
        NoJavaError: there is none.
    """
    home = system_java() or (OURS if home_of(OURS / "bin" / "java") else None)
    if home is None:
        raise NoJavaError("Spark needs Java 17 or 21 and there is none: `make setup` brings one")
    return home


def system_java() -> Path | None:
    """The home of the machine's own Java 17 or 21, or None where it has none."""
    if os.environ.get("JAVA_HOME"):
        home = Path(os.environ["JAVA_HOME"])
        if home != OURS and home_of(home / "bin" / "java"):
            return home
    program = shutil.which("java")
    if program and (ROOT / ".venv") not in Path(program).resolve().parents:
        return home_of(Path(program))
    return None


def home_of(java: Path) -> Path | None:
    """The home that a `java` program reports, or None where it is no Java 17 or 21."""
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
