"""What a run of the job in this process has written."""

import gzip
import json
from pathlib import Path
from typing import Any

from spark import job
from spark.contracts.manifest import Manifest


def run(dataset: Path, output: Path, *arguments: str) -> int:
    """Run the job in this process."""
    return job.main(["--dataset", str(dataset), "--output", str(output), *arguments])


def read_lines(output: Path, *names: str) -> list[dict[str, Any]]:
    """The JSON Lines of parts."""
    blobs = (gzip.decompress((output / name).read_bytes()) for name in names)
    return [json.loads(line) for blob in blobs for line in blob.splitlines()]


def manifest_of(output: Path) -> Manifest:
    """The manifest that the job wrote."""
    return Manifest.from_json((output / "manifest.json").read_text())
