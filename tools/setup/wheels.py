"""The folder of the functions' wheels, with which `sam build` needs no network.

Standard library only and valid on Python 3.8, because bootstrap fills the folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tools.paths import ROOT

LOCK = ROOT / "functions" / "requirements.txt"


def wheels() -> Path:
    """Return the folder for the wheels of the functions' current lock file."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    return ROOT / ".venv-sam" / "wheels" / digest
