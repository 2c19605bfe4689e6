"""Where the functions' dependencies are kept, so that building them needs no network.

Imports the standard library only and runs on old Pythons too: bootstrap fills the folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tools.paths import ROOT

LOCK = ROOT / "functions" / "requirements.txt"


def wheels() -> Path:
    """The folder with the wheels of what the functions' lock file says now."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    return ROOT / ".venv-sam" / "wheels" / digest
