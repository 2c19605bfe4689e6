"""Writes what a run computed: gzip JSON Lines, and the manifest that vouches for them."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence

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
from spark.ingest.rejects import Reject
from spark.storage import child, delete, delete_unfinished, write

SCRATCH = "scratch"  # below the prefix: what the job needs while it works
FOLDERS = SIMILARITIES, SIMILAR_USERS, NEIGHBOURS, TITLES, REJECTS
COMPRESSION = 2  # of gzip: 6, its default, takes three times as long for a seventh less


def clear(output: str) -> None:
    """Remove what an earlier attempt left, the manifest first; what is not ours stays."""
    for name in (MANIFEST, FAILURE, QUALITY, *FOLDERS, SCRATCH):
        delete(child(output, name))


def tidy(output: str) -> None:
    """Remove what the job needed while it worked, and what of its writers has died half way."""
    delete(child(output, SCRATCH))
    for name in FOLDERS:
        delete_unfinished(child(output, name))


def write_lines(output: str, name: str, lines: Iterable[str]) -> Part:
    """Write a part: the same lines give the same bytes, on every attempt.

    Args:
        output: the run's prefix.
        name: of the part below it.
        lines: JSON texts.
    """
    text = [f"{line}\n" for line in lines]
    return write_text(output, name, len(text), "".join(text).encode())


def write_text(output: str, name: str, lines: int, text: bytes) -> Part:
    """Write a part of which the text is there.

    Args:
        output: the run's prefix.
        name: of the part below it.
        lines: how many.
        text: the lines, UTF-8, each with its end.
    """
    blob = gzip.compress(text, COMPRESSION, mtime=0)
    write(child(output, name), blob)
    return Part(name, lines, len(blob), hashlib.sha256(blob).hexdigest())


def write_titles(catalogue: Catalogue, output: str) -> Part:
    """Write the titles catalogue, one part, by rising movie id."""
    rated = zip(catalogue.about, catalogue.ratings.tolist(), strict=True)
    lines = (f'{{{about},"ratings":{ratings}}}' for about, ratings in rated)
    return write_lines(output, f"{TITLES}/part-00000.json.gz", lines)


def write_rejects(output: str, file: str, source: int, rejects: Sequence[Reject]) -> None:
    """Write rejected lines, each with its file and defect.

    Args:
        output: the run's prefix.
        file: name of the file in which they stand.
        source: which part of the file they come from.
        rejects: the lines.
    """
    lines = (json.dumps(reject.to_record(file), ensure_ascii=False) for reject in rejects)
    write_lines(output, f"{REJECTS}/{file}-{source:05d}.json.gz", lines)


def write_quality(quality: Quality, output: str) -> Part:
    """Write what a run found out about itself."""
    blob = quality.to_json().encode()
    write(child(output, QUALITY), blob)
    return Part(QUALITY, 1, len(blob), hashlib.sha256(blob).hexdigest())


def write_manifest(manifest: Manifest, output: str) -> None:
    """Write the manifest, which says that all else is there: last of all."""
    write(child(output, MANIFEST), manifest.to_json().encode())


def write_failure(output: str, error: str, message: str, report: list[dict[str, str]]) -> None:
    """Write why the job could not compute.

    Args:
        output: the run's prefix.
        error: its kind.
        message: one sentence for a person.
        report: samples of rejected lines, each with `file`, `defect` and `line`.
    """
    failure = {"error": error, "message": message, "report": report}
    text = json.dumps(failure, indent=2, ensure_ascii=False)
    write(child(output, FAILURE), text.encode())
