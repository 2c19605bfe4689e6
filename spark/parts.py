"""Writes parts of the output: gzip JSON Lines, with the size and checksum for the manifest."""

import hashlib
from collections.abc import Iterable

import deflate

from spark.contracts.manifest import Part
from spark.storage import child, write

COMPRESSION = 1  # the least; the next level takes half as long again and saves a thirtieth


def write_lines(output: str, name: str, lines: Iterable[str]) -> Part:
    """Write a part. The same lines give the same bytes on every attempt.

    Args:
        output: the run's prefix.
        name: of the part, below the prefix.
        lines: JSON texts.
    """
    text = [f"{line}\n" for line in lines]
    return write_text(output, name, len(text), "".join(text).encode())


def write_text(output: str, name: str, lines: int, text: bytes) -> Part:
    """Write a part whose text already exists.

    Args:
        output: the run's prefix.
        name: of the part, below the prefix.
        lines: how many.
        text: the lines, UTF-8, each with its line end.
    """
    blob = bytes(deflate.gzip_compress(text, COMPRESSION))  # several times as fast as zlib
    write(child(output, name), blob)
    return Part(name, lines, len(blob), hashlib.sha256(blob).hexdigest())
