"""Lines of `neighbours/` as the job writes them."""

import json
from collections.abc import Mapping
from typing import Any


def as_text(line: Mapping[str, Any]) -> bytes:
    """A line as JSON, with its line end."""
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"
