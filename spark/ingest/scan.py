"""Reads lines of a ratings file into arrays: plain lines by scan.c, others by the rules."""

from ctypes import c_int64
from dataclasses import dataclass

import numpy as np

from spark.contracts.movielens import RATING_COLUMNS, Layout
from spark.contracts.movielens_lines import BLANKS, MAX_ID, MAX_LINE, decode, parse_rating
from spark.ingest.lines import BOM, LONGEST
from spark.ingest.rejects import STORED_CHARACTERS, Reject
from spark.runtime.native import array_of, function

_LF, _CR = 10, 13

_uint8, _int32, _int64 = array_of(np.uint8), array_of(np.int32), array_of(np.int64)
_read_lines = function(
    "read_lines",
    *(_uint8, c_int64, _uint8, c_int64, _int64, c_int64, c_int64, c_int64),
    *(_int32, _int32, _uint8, _int64, _int64, c_int64, _int64),
    returns=c_int64,
)


@dataclass
class Scanned:
    """The ratings of some lines.

    Attributes:
        users: int32, one per good line, in the order of the lines, like the other arrays.
        movies: int32.
        halves: uint8, half stars 1 to 10.
        times: int64, seconds since 1970; 0 in a file without timestamps.
        lines: number of lines of data, good or not.
        rejects: the malformed lines.
    """

    users: np.ndarray
    movies: np.ndarray
    halves: np.ndarray
    times: np.ndarray
    lines: int
    rejects: list[Reject]


def scan(data: np.ndarray, layout: Layout, is_start: bool) -> Scanned:
    """Read lines.

    Args:
        data: uint8, whole lines. Each ends with a line feed, a carriage return, or both; the last
            may end with `data`.
        layout: of the file.
        is_start: whether the first line is the first of the file.
    """
    lines = int(np.count_nonzero(data == _LF) + np.count_nonzero(data == _CR)) + 1
    users, movies = np.zeros((2, lines), np.int32)
    halves, times = np.zeros(lines, np.uint8), np.zeros(lines, np.int64)
    bad, bad_count = np.empty((3, lines), np.int64), np.zeros(1, np.int64)
    separator = np.frombuffer(layout.separator.encode(), np.uint8)
    columns = np.array([RATING_COLUMNS.index(each) for each in layout.columns])
    count = _read_lines(
        *(data, data.size, separator, separator.size, columns, columns.size, MAX_ID, MAX_LINE),
        *(users, movies, halves, times, bad, lines, bad_count),
    )
    good = np.ones(count, bool)
    rejects: list[Reject] = []
    skipped = 0
    is_header = is_start and layout.has_header
    for place, start, end in bad[:, : bad_count[0]].T.tolist():
        good[place] = False
        line = decode(data[start:end][:LONGEST].tobytes())
        if is_start and start == 0:
            line = line.removeprefix(BOM)
        if not line.strip(BLANKS):
            skipped += 1
        elif is_header:
            skipped += 1
            is_header = False
        elif isinstance(rated := parse_rating(line, layout), str):
            rejects.append(Reject(rated, line[:STORED_CHARACTERS]))
        else:
            users[place], movies[place], halves[place], times[place] = rated
            good[place] = True
    kept = slice(count) if good.all() else np.flatnonzero(good)
    of_good = users[kept], movies[kept], halves[kept], times[kept]
    return Scanned(*of_good, count - skipped, rejects)
