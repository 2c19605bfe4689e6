"""Each movie with its neighbours, as users see them.

A line has the movie, `others`, which are the movies that it names, and `neighbours`: of each
measure the rows, best first, each a place in `others`, the score, the co-raters and their cosine.
`lists.neighbours_of` reads it.
"""

import math
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spark.contracts.manifest import NEIGHBOURS, Part
from spark.engine.top_k import NeighbourLists, distinct
from spark.ingest.movies import Catalogue
from spark.output.results import write_text

ROWS_PER_PART = 400_000  # at most: a part is a few seconds' work for the indexer
MOVIES_AT_ONCE = 200  # whose lines are made in one go
# What a line may have as the index keeps it, compressed: DynamoDB takes 400 KB of an item.
LINE_BYTES = 390_000


def part_starts(catalogue: Catalogue, most: int, cores: int) -> np.ndarray:
    """The ids with which the parts of `neighbours/` begin, int32: as even as may be.

    Args:
        catalogue: all movies.
        most: neighbours that a movie can have, by all measures.
        cores: that write parts at once, and are to end together.
    """
    parts = math.ceil(catalogue.ids.size * min(1, most / ROWS_PER_PART)) or 1
    if parts > 1:
        parts = min(math.ceil(parts / cores) * cores, catalogue.ids.size)
    return np.array([part[0] for part in np.array_split(catalogue.ids, parts)], np.int32)


def range_of(catalogue: Catalogue, number: int, first: np.ndarray) -> tuple[int, int]:
    """The places in the catalogue at which a range of movies begins and ends."""
    begin, end, *_ = np.searchsorted(catalogue.ids, [*first[number : number + 2], 2**31]).tolist()
    return begin, end


def write_part(
    lists: Mapping[str, NeighbourLists],
    number: int,
    catalogue: Catalogue,
    first: np.ndarray,
    out: str,
) -> Part:
    """Write a part: every movie of a range of ids with its neighbours, best first.

    Args:
        lists: by measure, the neighbours of the range's movies, by movie and rank.
        number: of the range.
        catalogue: all movies.
        first: from `part_starts`.
        out: the run's prefix.
    """
    name = f"{NEIGHBOURS}/part-{number:05d}.json.gz"
    begin, end = range_of(catalogue, number, first)
    return write_text(out, name, end - begin, b"".join(_text_of(lists, catalogue, begin, end)))


def _text_of(
    lists: Mapping[str, NeighbourLists], catalogue: Catalogue, begin: int, end: int
) -> Iterator[pa.Buffer]:
    """The lines of a range of movies, as the UTF-8 that Arrow has of them anyway."""
    for start in range(begin, end, MOVIES_AT_ONCE):
        stop = min(start + MOVIES_AT_ONCE, end)
        of = catalogue.ids[start:stop]
        mine = {measure: _between(rows, of[0], of[-1]) for measure, rows in lists.items()}
        lines = _lines(mine, catalogue, start, stop)
        if pc.max(pc.binary_length(lines)).as_py() > LINE_BYTES:
            lines = pa.array(
                line if _fits(line) else _shortened(mine, catalogue, place)
                for place, line in enumerate(lines.to_pylist(), start)
            )
        yield lines.buffers()[2][: pc.sum(pc.binary_length(lines)).as_py()]


def _fits(text: str) -> bool:
    """Whether a line fits into an item of the index; see functions/index_table.py."""
    return len(zlib.compress(text.encode())) <= LINE_BYTES


def _shortened(lists: Mapping[str, NeighbourLists], catalogue: Catalogue, place: int) -> str:
    """A movie's line with as many neighbours by each measure, the best ones, as fit."""
    movie = catalogue.ids[place]
    mine = {measure: _between(rows, movie, movie) for measure, rows in lists.items()}
    longest = max(rows.movies.size for rows in mine.values())

    def with_first(count: int) -> str:
        cut = {
            name: NeighbourLists(*(column[:count] for column in rows))
            for name, rows in mine.items()
        }
        return _lines(cut, catalogue, place, place + 1)[0].as_py()

    fits = bisect_left(range(longest + 1), True, key=lambda count: not _fits(with_first(count)))
    return with_first(fits - 1)


def _between(rows: NeighbourLists, first: int, last: int) -> NeighbourLists:
    """The rows of the movies from one id to another."""
    begin, end = np.searchsorted(rows.movies, [first, last + 1])
    return NeighbourLists(*(column[begin:end] for column in rows))


def _lines(
    lists: Mapping[str, NeighbourLists], catalogue: Catalogue, begin: int, end: int
) -> pa.StringArray:
    """Lines of some movies. Arrow puts them together: many times Python's own speed."""
    of, about = catalogue.ids[begin:end], pa.array(catalogue.about)
    pairs = [_keys(rows) for rows in lists.values()]
    together = np.concatenate(pairs)
    keys = distinct(together)
    place = np.searchsorted(keys, together)  # faster than what `unique` has for this
    first = np.searchsorted(keys, of.astype(np.int64) << 32)
    named = about.take(pa.array(np.searchsorted(catalogue.ids, keys & (2**32 - 1))))
    columns: list[pa.Array | str] = [
        "{",
        about[begin:end],
        ',"ratings":',
        _text(catalogue.ratings[begin:end]),
        ',"others":[',
        _joined(_concatenated("{", named, "}"), first),
        '],"neighbours":{',
    ]
    ends = np.cumsum([each.size for each in pairs])
    for (measure, rows), places in zip(lists.items(), np.split(place, ends), strict=False):
        starts = np.searchsorted(rows.movies, of)
        offset = np.repeat(first, np.diff(np.append(starts, rows.movies.size)))
        cosines = pc.fill_null(_text(pa.array(rows.cosines, mask=np.isnan(rows.cosines))), "null")
        row = _text(places - offset), _text(rows.scores), _text(rows.co_raters), cosines
        texts = _concatenated("[", pc.binary_join_element_wise(*row, ","), "]")
        columns += [f'"{measure}":[', _joined(texts, starts), "],"]
    columns[-1] = "]}}\n"
    return _concatenated(*columns)


def _keys(rows: NeighbourLists) -> np.ndarray:
    """Movie and neighbour of each row as one number, int64."""
    return rows.movies.astype(np.int64) << 32 | rows.neighbours


def _text(numbers: np.ndarray | pa.Array) -> pa.Array:
    """Numbers as JSON has them; a double as the shortest decimal that stands for it."""
    return pc.cast(pa.array(numbers), pa.string())


def _concatenated(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _joined(texts: pa.Array, starts: np.ndarray) -> pa.Array:
    """Texts joined by commas, from each start to the next."""
    offsets = pa.array(np.append(starts, len(texts)), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ",")
