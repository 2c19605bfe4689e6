"""Each movie with its neighbours, as users see them.

A line has the movie, `others`, which are the movies that it names, and `neighbours`: of each
measure the rows, best first, each a place in `others`, the score, the co-raters and their cosine.
`index.neighbours_of` in functions/ reads it.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from best import Best
from manifest import NEIGHBOURS, Part
from movies import Catalogue
from results import write_lines

ROWS_PER_PART = 400_000  # at most: a part is a few seconds' work for the indexer
MOVIES_AT_ONCE = 200  # whose lines are made in one go


def bounds(catalogue: Catalogue, most: int) -> np.ndarray:
    """The ids with which the parts of `neighbours/` begin, int32: as even as may be.

    Args:
        catalogue: all movies.
        most: neighbours that a movie can have, by all measures.
    """
    parts = max(1, math.ceil(catalogue.ids.size * most / ROWS_PER_PART))
    return np.array([part[0] for part in np.array_split(catalogue.ids, parts)], np.int32)


def write_part(
    lists: Mapping[str, Best], number: int, catalogue: Catalogue, first: np.ndarray, out: str
) -> Part:
    """Write a part: every movie of a range of ids with its neighbours, best first.

    Args:
        lists: by measure, the neighbours of the range's movies, by movie and rank.
        number: of the range.
        catalogue: all movies.
        first: from `bounds`.
        out: the run's prefix.
    """
    begin, end = np.searchsorted(catalogue.ids, [first[number], *first[number + 1 :][:1], 2**31])[
        :2
    ]
    name = f"{NEIGHBOURS}/part-{number:05d}.json.gz"
    return write_lines(out, name, _lines(lists, catalogue, int(begin), int(end)))


def _lines(lists: Mapping[str, Best], catalogue: Catalogue, begin: int, end: int) -> Iterator[str]:
    for start in range(begin, end, MOVIES_AT_ONCE):
        stop = min(start + MOVIES_AT_ONCE, end)
        of = catalogue.ids[start:stop]
        mine = {measure: _between(rows, of[0], of[-1]) for measure, rows in lists.items()}
        yield from _texts(mine, catalogue, start, stop)


def _between(rows: Best, first: int, last: int) -> Best:
    """The rows of the movies from one id to another."""
    begin, end = np.searchsorted(rows.movies, [first, last + 1])
    return Best(*(column[begin:end] for column in rows))


def _texts(lists: Mapping[str, Best], catalogue: Catalogue, begin: int, end: int) -> list[str]:
    """Lines of some movies. Arrow puts them together: many times Python's own speed."""
    of, about = catalogue.ids[begin:end], pa.array(catalogue.about)
    pairs = [_keys(rows) for rows in lists.values()]
    keys, place = np.unique(np.concatenate(pairs), return_inverse=True)
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
    columns[-1] = "]}}"
    return _concatenated(*columns).to_pylist()


def _keys(rows: Best) -> np.ndarray:
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
