"""Reads lines of a ratings file into arrays: plain lines by compiled code, others by the rules."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from spark.contracts.movielens import (
    BLANKS,
    FORMATS,
    MAX_ID,
    MAX_LINE,
    RATING_COLUMNS,
    Layout,
    decode,
    parse_rating,
)
from spark.ingest.lines import BOM, LONGEST
from spark.ingest.rejects import STORED_CHARACTERS, Reject

_LF, _CR = 10, 13
_ZERO, _NINE, _FIVE, _POINT = 48, 57, 53, 46
_DIGITS = 18
_USER, _MOVIE, _RATING, _TIMESTAMP = range(len(RATING_COLUMNS))


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
    most = int(np.count_nonzero(data == _LF) + np.count_nonzero(data == _CR)) + 1
    places = np.empty((2, most), np.int64)
    count = _bounds(data, places)
    places = places[:, :count]
    numbers = np.zeros((len(RATING_COLUMNS), count), np.int64)
    good = np.empty(count, np.bool_)
    separator = np.frombuffer(layout.separator.encode(), np.uint8)
    columns = np.array([RATING_COLUMNS.index(each) for each in layout.columns])
    _plain_lines(data, places, separator, columns, numbers, good)
    rejects: list[Reject] = []
    skipped = 0
    is_header = is_start and layout.has_header
    for place in np.flatnonzero(~good):
        line = decode(data[slice(*places[:, place])][:LONGEST].tobytes())
        if is_start and places[0, place] == 0:
            line = line.removeprefix(BOM)
        if not line.strip(BLANKS):
            skipped += 1
        elif is_header:
            skipped += 1
            is_header = False
        elif isinstance(rated := parse_rating(line, layout), str):
            rejects.append(Reject(rated, line[:STORED_CHARACTERS]))
        else:
            numbers[:, place] = rated
            good[place] = True
    if not good.all():
        numbers = numbers[:, good]
    kinds = np.int32, np.int32, np.uint8, np.int64
    users, movies, halves, times = (
        column.astype(kind) for column, kind in zip(numbers, kinds, strict=True)
    )
    return Scanned(users, movies, halves, times, count - skipped, rejects)


@njit(nogil=True, cache=True)
def _bounds(data, places):
    """Find where each non-empty line begins and ends; returns the number of lines."""
    count, start = 0, 0
    for place in range(data.size):
        if data[place] == _LF or data[place] == _CR:
            if place > start:
                places[0, count], places[1, count] = start, place
                count += 1
            start = place + 1
    if data.size > start:
        places[0, count], places[1, count] = start, data.size
        count += 1
    return count


@njit(nogil=True, cache=True)
def _integer(data, start, end):
    """The whole number that begins at `start`, and its end; -1 if there is none.

    Its fraction may be zeros, as pandas writes the integers of a column with gaps.
    """
    value, place = 0, start
    while place < end and _ZERO <= data[place] <= _NINE:
        value = value * 10 + (data[place] - _ZERO)
        place += 1
    if place == start or place - start > _DIGITS:
        return -1, start
    if place < end and data[place] == _POINT:
        place += 1
        while place < end and data[place] == _ZERO:
            place += 1
    return value, place


@njit(nogil=True, cache=True)
def _half_stars(data, start, end):
    """The rating that begins at `start`, in half stars, and its end; 0 if there is none."""
    if start >= end or not _ZERO <= data[start] <= _FIVE:
        return 0, start
    halves, place = 2 * (data[start] - _ZERO), start + 1
    if place < end and data[place] == _POINT:
        place += 1
        if place == end or (data[place] != _ZERO and data[place] != _FIVE):
            return 0, start
        if data[place] == _FIVE:
            halves += 1
        place += 1
        while place < end and data[place] == _ZERO:
            place += 1
    return (halves, place) if 1 <= halves <= 10 else (0, start)


@njit(nogil=True, cache=True)
def _after_separator(data, place, end, separator):
    """Where the column after a separator begins, or -1 if `place` has no separator."""
    if place + separator.size > end:
        return -1
    for offset in range(separator.size):
        if data[place + offset] != separator[offset]:
            return -1
    return place + separator.size


@njit(nogil=True, cache=True)
def _plain_lines(data, places, separator, columns, numbers, good):
    """Read each line that has only numbers and separators; `good` receives which ones did."""
    for line in range(places.shape[1]):
        good[line] = False
        place, end = places[0, line], places[1, line]
        if end - place > MAX_LINE:
            continue
        for number in range(columns.size):
            if number > 0:
                place = _after_separator(data, place, end, separator)
                if place < 0:
                    break
            column = columns[number]
            if column == _RATING:
                value, place = _half_stars(data, place, end)
                if value == 0:
                    break
            else:
                value, place = _integer(data, place, end)
                if value < 0 or (column != _TIMESTAMP and value > MAX_ID):
                    break
            numbers[column, line] = value
        else:
            good[line] = place == end


def warm_up() -> None:
    """Compile everything for the types that are used."""
    line = np.frombuffer(b"1::1::1::1", np.uint8)
    scan(line, FORMATS[0].ratings_layout, is_start=False)
