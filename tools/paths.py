"""The project's folder, for every program that works on its files.

Standard library only and valid on Python 3.8: `tools.setup.bootstrap` runs before `.venv` exists.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
