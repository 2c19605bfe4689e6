"""The lines of `neighbours/`: each movie with its neighbours by every measure.

A line has the movie; `others`, the movies that are neighbours of it; and `neighbours`, by measure
the rows, best first. A row has the index of a movie in `others`, the score, the number of
co-raters, and their cosine. `neighbour_lines.neighbours_of` reads a line. The loop is in
neighbours.c.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from ctypes import Structure, byref, c_char_p, c_int64, c_void_p
from typing import NamedTuple

import deflate
import numpy as np

from spark.contracts.index_items import COMPRESSION, LINE_BYTES
from spark.contracts.manifest import NEIGHBOURS, Part
from spark.engine.top_k import NeighbourLists
from spark.ingest.movies import Catalogue
from spark.parts import write_text
from spark.runtime.native import array_of, function
from spark.runtime.places import places_in

ROWS_PER_PART = 400_000  # at most; the indexer loads such a part in a few seconds
MOVIES_AT_ONCE = 200  # whose lines are built together
# The most bytes that a row takes, and a movie and a measure of it beside their own texts.
ROW_BYTES, MOVIE_BYTES, MEASURE_BYTES = 80, 80, 2


class _Movies(Structure):
    """Movies of neighbours.c."""

    _fields_ = (("starts", c_void_p), ("about", c_char_p), ("ratings", c_void_p))


class _Rows(Structure):
    """Rows of neighbours.c."""

    _fields_ = (
        ("before", c_char_p),
        *((name, c_void_p) for name in ("starts", "others", "scores", "co_raters", "cosines")),
    )


_int32, _int64, _uint8 = array_of(np.int32), array_of(np.int64), array_of(np.uint8)
_write_lines = function(
    "write_lines",
    *(c_void_p, c_int64, c_int64, c_void_p, c_int64, _int32, _int32, _uint8, _int64),
)


def part_starts(catalogue: Catalogue, most: int, cores: int) -> np.ndarray:
    """The ids with which the parts of `neighbours/` begin, int32; parts are as equal as possible.

    Args:
        catalogue: all movies.
        most: neighbours that a movie can have, over all measures.
        cores: number of cores that write parts and should finish at the same time.
    """
    parts = math.ceil(catalogue.ids.size * min(1, most / ROWS_PER_PART)) or 1
    if parts > 1:
        parts = min(math.ceil(parts / cores) * cores, catalogue.ids.size)
    return np.array([part[0] for part in np.array_split(catalogue.ids, parts)], np.int32)


def range_of(catalogue: Catalogue, number: int, range_starts: np.ndarray) -> tuple[int, int]:
    """The indices in the catalogue at which a range of movies begins and ends."""
    bounds = [*range_starts[number : number + 2], 2**31]
    begin, end, *_ = np.searchsorted(catalogue.ids, bounds).tolist()
    return begin, end


def write_part(
    lists: Mapping[str, NeighbourLists],
    number: int,
    catalogue: Catalogue,
    range_starts: np.ndarray,
    output: str,
) -> Part:
    """Write a part: every movie of a range of ids with its neighbours, best first.

    Args:
        lists: by measure, the neighbours of the range's movies, by movie and rank.
        number: of the range.
        catalogue: all movies.
        range_starts: from `part_starts`.
        output: the run's prefix.
    """
    name = f"{NEIGHBOURS}/part-{number:05d}.json.gz"
    begin, end = range_of(catalogue, number, range_starts)
    text = b"".join(_lines(lists, _texts(catalogue), begin, end))
    return write_text(output, name, end - begin, text)


class MovieTexts(NamedTuple):
    """What the lines say of all movies.

    Attributes:
        ids: int32, ascending.
        about: of the catalogue, in UTF-8, one after another.
        starts: int64 [movies + 1], where each movie's text begins.
        ratings: int64, how many users rated each.
    """

    ids: np.ndarray
    about: bytes
    starts: np.ndarray
    ratings: np.ndarray


def _texts(catalogue: Catalogue) -> MovieTexts:
    about = [text.encode() for text in catalogue.about]
    starts = np.cumsum([0, *map(len, about)])
    return MovieTexts(catalogue.ids, b"".join(about), starts, catalogue.ratings.astype(np.int64))


def _lines(
    lists: Mapping[str, NeighbourLists], movies: MovieTexts, begin: int, end: int
) -> Iterator[np.ndarray | bytes]:
    """The lines of a range of movies, in pieces."""
    for start in range(begin, end, MOVIES_AT_ONCE):
        stop = min(start + MOVIES_AT_ONCE, end)
        mine = _between(lists, movies.ids[start], movies.ids[stop - 1])
        text, ends = _text_of(mine, movies, start, stop)
        if np.diff(ends, prepend=0).max() <= LINE_BYTES:
            yield text
            continue
        for place, line in enumerate(text.tobytes().splitlines(keepends=True), start):
            yield line if _fits(line) else _shortened(mine, movies, place)


def _between(
    lists: Mapping[str, NeighbourLists], first: np.int32, last: np.int32
) -> dict[str, NeighbourLists]:
    return {measure: rows.between(first, last) for measure, rows in lists.items()}


def _fits(line: bytes) -> bool:
    """Whether a line fits into an item of the index."""
    return len(deflate.zlib_compress(line, COMPRESSION)) <= LINE_BYTES


def _shortened(lists: Mapping[str, NeighbourLists], movies: MovieTexts, place: int) -> bytes:
    """A movie's line with as many of the best neighbours by each measure as fit."""
    mine = _between(lists, movies.ids[place], movies.ids[place])
    longest = max(rows.movies.size for rows in mine.values())

    def with_best(count: int) -> bytes:
        best = {name: rows.where(slice(count)) for name, rows in mine.items()}
        return _text_of(best, movies, place, place + 1)[0].tobytes()

    fits = bisect_left(range(longest + 1), True, key=lambda count: not _fits(with_best(count)))
    return with_best(fits - 1)


def _text_of(
    lists: Mapping[str, NeighbourLists], movies: MovieTexts, begin: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """The lines of some movies, in UTF-8, uint8; and where each ends, int64.

    A double is the shortest decimal that reads back as the same double.

    Args:
        lists: of these movies; at least one.
        movies: all movies.
        begin: index of the first movie.
        end: index after the last one.
    """
    of = movies.ids[begin:end]
    sizes = np.diff(movies.starts) + MOVIE_BYTES
    room, kept, measures = int(sizes[begin:end].sum()), [], (_Rows * len(lists))()
    for place, (measure, rows) in enumerate(lists.items()):
        before = f'"{measure}":['.encode()
        starts = np.append(np.searchsorted(rows.movies, of), rows.movies.size)
        others = places_in(movies.ids, rows.neighbours)
        room += int(sizes[others].sum()) + ROW_BYTES * others.size
        room += (len(before) + MEASURE_BYTES) * of.size
        columns = zip(rows[2:], (np.float64, np.int32, np.float64), strict=True)
        arrays = starts, others, *(np.ascontiguousarray(*each) for each in columns)
        measures[place] = _Rows(before, *(each.ctypes.data for each in arrays))
        kept.append((before, arrays))  # C gets their addresses
    all_movies = _Movies(movies.starts.ctypes.data, movies.about, movies.ratings.ctypes.data)
    places, distinct = np.full(movies.ids.size, -1, np.int32), np.empty(movies.ids.size, np.int32)
    text, ends = np.empty(room, np.uint8), np.empty(of.size, np.int64)
    _write_lines(
        byref(all_movies), begin, of.size, byref(measures), len(lists), places, distinct, text, ends
    )
    return text[: ends[-1]], ends
