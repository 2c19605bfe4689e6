"""The lines of `neighbours/`: each movie with its neighbours by every measure.

A line has the movie; `others`, the movies that are neighbours of it; and `neighbours`, by measure
the rows, best first. A row has the index of a movie in `others`, the score, the number of
co-raters, and their cosine. `neighbour_lines.neighbours_of` reads a line.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping

import deflate
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spark import arrow
from spark.contracts.index_items import COMPRESSION, LINE_BYTES
from spark.contracts.manifest import NEIGHBOURS, Part
from spark.engine.top_k import NeighbourLists, distinct, pair_keys
from spark.ingest.movies import Catalogue
from spark.parts import write_text

ROWS_PER_PART = 400_000  # at most; the indexer loads such a part in a few seconds
MOVIES_AT_ONCE = 200  # whose lines are built together


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
    text = b"".join(_text_of(lists, catalogue, begin, end))
    return write_text(output, name, end - begin, text)


def _text_of(
    lists: Mapping[str, NeighbourLists], catalogue: Catalogue, begin: int, end: int
) -> Iterator[pa.Buffer]:
    """The lines of a range of movies, as the UTF-8 buffers that Arrow holds."""
    about = arrow.texts(catalogue.about)
    for start in range(begin, end, MOVIES_AT_ONCE):
        stop = min(start + MOVIES_AT_ONCE, end)
        of = catalogue.ids[start:stop]
        mine = {measure: rows.between(of[0], of[-1]) for measure, rows in lists.items()}
        lines = _lines(mine, catalogue, about, start, stop)
        if pc.max(pc.binary_length(lines)).as_py() > LINE_BYTES:
            lines = arrow.texts(
                line if _fits(line) else _shortened(mine, catalogue, about, place)
                for place, line in enumerate(lines.to_pylist(), start)
            )
        yield lines.buffers()[2][: pc.sum(pc.binary_length(lines)).as_py()]


def _fits(text: str) -> bool:
    """Whether a line fits into an item of the index."""
    return len(deflate.zlib_compress(text.encode(), COMPRESSION)) <= LINE_BYTES


def _shortened(
    lists: Mapping[str, NeighbourLists], catalogue: Catalogue, about: pa.StringArray, place: int
) -> str:
    """A movie's line with as many of the best neighbours by each measure as fit."""
    movie = catalogue.ids[place]
    mine = {measure: rows.between(movie, movie) for measure, rows in lists.items()}
    longest = max(rows.movies.size for rows in mine.values())

    def with_best(count: int) -> str:
        best = {name: rows.where(slice(count)) for name, rows in mine.items()}
        return _lines(best, catalogue, about, place, place + 1)[0].as_py()

    fits = bisect_left(range(longest + 1), True, key=lambda count: not _fits(with_best(count)))
    return with_best(fits - 1)


def _lines(
    lists: Mapping[str, NeighbourLists],
    catalogue: Catalogue,
    about: pa.StringArray,
    begin: int,
    end: int,
) -> pa.StringArray:
    """The lines of some movies. Arrow builds them many times faster than Python.

    Args:
        lists: of these movies.
        catalogue: all movies.
        about: of the catalogue.
        begin: index of the first movie.
        end: index after the last one.
    """
    of = catalogue.ids[begin:end]
    pairs = [pair_keys(rows) for rows in lists.values()]
    together = np.concatenate(pairs)
    keys = distinct(together)
    place = np.searchsorted(keys, together)  # faster than the inverse that `unique` returns
    first = np.searchsorted(keys, of.astype(np.int64) << 32)
    others = np.searchsorted(catalogue.ids, keys & (2**32 - 1))
    texts_of_others = _concatenated(
        "{", about.take(arrow.numbers(others)), ',"ratings":', _text(catalogue.ratings[others]), "}"
    )
    columns: list[pa.Array | str] = [
        "{",
        about[begin:end],
        ',"ratings":',
        _text(catalogue.ratings[begin:end]),
        ',"others":[',
        _joined(texts_of_others, first),
        '],"neighbours":{',
    ]
    ends = np.cumsum([each.size for each in pairs])
    for (measure, rows), places in zip(lists.items(), np.split(place, ends), strict=False):
        starts = np.searchsorted(rows.movies, of)
        offset = np.repeat(first, np.diff(np.append(starts, rows.movies.size)))
        cosines = pc.fill_null(_text(rows.cosines, np.isnan(rows.cosines)), arrow.text("null"))
        row = _text(places - offset), _text(rows.scores), _text(rows.co_raters), cosines
        texts = _concatenated("[", pc.binary_join_element_wise(*row, arrow.text(",")), "]")
        columns += [f'"{measure}":[', _joined(texts, starts), "],"]
    columns[-1] = "]}}\n"
    return _concatenated(*columns)


def _text(values: np.ndarray, are_null: np.ndarray | None = None) -> pa.Array:
    """Numbers as JSON; a double as the shortest decimal that reads back as the same double."""
    return pc.cast(arrow.numbers(values, are_null), pa.string())


def _concatenated(*parts: pa.Array | str) -> pa.Array:
    """Texts joined element by element."""
    columns = (arrow.text(part) if isinstance(part, str) else part for part in parts)
    return pc.binary_join_element_wise(*columns, arrow.text(""))


def _joined(texts: pa.Array, starts: np.ndarray) -> pa.Array:
    """Texts joined by commas, from each start to the next."""
    offsets = arrow.numbers(np.append(starts, len(texts)).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), arrow.text(","))
