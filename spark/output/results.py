"""Writes the files of a run besides the neighbours: titles, quality, failure, and the manifest."""

import hashlib
import json

from spark.contracts.manifest import (
    FAILURE,
    MANIFEST,
    NEIGHBOURS,
    QUALITY,
    REJECTS,
    SIMILAR_USERS,
    SIMILARITIES,
    TITLES,
    Manifest,
    Part,
)
from spark.contracts.quality import Quality
from spark.ingest.movies import Catalogue
from spark.parts import write_lines
from spark.storage import child, delete, delete_unfinished, write

SCRATCH = "scratch"  # below the prefix: files that the job needs only while it runs
WRITABLE = ".writable"  # an object that only shows whether it can be written
FOLDERS = SIMILARITIES, SIMILAR_USERS, NEIGHBOURS, TITLES, REJECTS


class OutputError(Exception):
    """Nothing can be written at the output; the message says why."""


def prepare(output: str) -> None:
    """Delete what an earlier attempt wrote, the manifest first; foreign files stay.

    Raises:
        OutputError: nothing can be written here.
    """
    try:
        for name in (MANIFEST, FAILURE, QUALITY, *FOLDERS, SCRATCH):
            delete(child(output, name))
        write(child(output, WRITABLE), b"")
        delete(child(output, WRITABLE))
    except OSError as error:
        raise OutputError(f"cannot write the result to {output}: {error}") from error


def tidy(output: str) -> None:
    """Delete the scratch folder and the unfinished files of writers that died."""
    delete(child(output, SCRATCH))
    for name in FOLDERS:
        delete_unfinished(child(output, name))


def write_titles(catalogue: Catalogue, output: str) -> Part:
    """Write the titles catalogue as one part, by ascending movie id."""
    rated = zip(catalogue.about, catalogue.ratings.tolist(), strict=True)
    lines = (f'{{{about},"ratings":{ratings}}}' for about, ratings in rated)
    return write_lines(output, f"{TITLES}/part-00000.json.gz", lines)


def write_quality(quality: Quality, output: str) -> Part:
    """Write quality.json."""
    blob = quality.to_json().encode()
    write(child(output, QUALITY), blob)
    return Part(QUALITY, 1, len(blob), hashlib.sha256(blob).hexdigest())


def write_manifest(manifest: Manifest, output: str) -> None:
    """Write the manifest. It says that the result is complete, so it is written last."""
    write(child(output, MANIFEST), manifest.to_json().encode())


def write_failure(output: str, error: str, message: str, report: list[dict[str, str]]) -> None:
    """Write why the job failed.

    Args:
        output: the run's prefix.
        error: kind of error.
        message: one sentence for a person.
        report: samples of rejected lines, each with `file`, `defect` and `line`.
    """
    failure = {"error": error, "message": message, "report": report}
    text = json.dumps(failure, indent=2, ensure_ascii=False)
    write(child(output, FAILURE), text.encode())
