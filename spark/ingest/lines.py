"""The lines of a MovieLens file: where they begin, their text, and which of them hold data."""

import itertools
from collections.abc import Iterator

import numpy as np

from spark.contracts.movielens import Layout
from spark.contracts.movielens_files import HEAD, layout_of
from spark.contracts.movielens_lines import BLANKS, MAX_LINE, decode
from spark.storage import read

BOM = "\ufeff"
BLOCK = 2**24  # bytes of a file that are read at once, from beginning to end
STEP = 2**16  # bytes that are read at once beyond the end of a part
LONGEST = 4 * MAX_LINE + STEP  # bytes of a line that are read: more than a good line can have
ENDS = b"\n", b"\r"


def read_split(uri: str, start: int, stop: int) -> np.ndarray:
    """The bytes of the lines that begin in one part of a file, as uint8; the last can be cut.

    A line ends with a line feed, a carriage return, or both. Only the beginning of a line that is
    longer than any good line is read.

    Args:
        uri: of the file.
        start: byte offset at which the part begins.
        stop: byte offset at which it ends.
    """
    before = max(0, start - 1)
    data = read(uri, before, stop - before)
    if start > 0:
        # The line that contains the byte before the part belongs to an earlier part.
        first = _first_end(data)
        data = data[first:] if first >= 0 else b""
    last = max(data.rfind(end) for end in ENDS)
    more = [data]
    length = len(data) - 1 - last
    while data and 0 < length < LONGEST:
        step = read(uri, stop, STEP)
        end = _first_end(step)
        more.append(step if end < 0 else step[:end])
        if end >= 0 or not step:
            break
        length += len(step)
        stop += STEP
    return np.frombuffer(data if len(more) == 1 else b"".join(more), np.uint8)


def _first_end(data: bytes) -> int:
    """The offset of the first line end, or -1."""
    found = [place for end in ENDS if (place := data.find(end)) >= 0]
    return min(found, default=-1)


def read_layout(uri: str, usual: Layout) -> Layout:
    """The layout of a file, see `layout_of`.

    Raises:
        DatasetError: the file is not one of its format.
    """
    return layout_of(read(uri, 0, HEAD), usual)


def data_lines(uri: str, layout: Layout) -> Iterator[str]:
    """The lines of a file that hold data, without blank lines and the header."""
    is_header = layout.has_header
    for number, raw in enumerate(_raw_lines(uri)):
        line = decode(raw)
        if number == 0:
            line = line.removeprefix(BOM)
        if not line.strip(BLANKS):
            continue
        if not is_header:
            yield line
        is_header = False


def blocks(uri: str) -> Iterator[bytes]:
    """A file in blocks of whole lines, between which are line feeds; very long lines are cut."""
    rest = b""
    for start in itertools.count(0, BLOCK):
        block = read(uri, start, BLOCK)
        lines, end, rest = (rest + block).replace(b"\r", b"\n").rpartition(b"\n")
        if end:
            yield lines
        rest = rest[:LONGEST]
        if len(block) < BLOCK:
            break
    if rest:
        yield rest


def _raw_lines(uri: str) -> Iterator[bytes]:
    """All lines of a file; very long ones are cut."""
    for block in blocks(uri):
        yield from (line[:LONGEST] for line in block.split(b"\n"))
