"""Each movie with its neighbours, as users see them.

A line has the movie, `others`, which are the movies that it names, and `neighbours`: of each
measure the rows, best first, each a place in `others`, the score, the co-raters and their cosine.
`index.neighbours_of` in functions/ reads it.
"""

import math
from collections.abc import Iterator

import numpy as np

from engine import Best
from manifest import NEIGHBOURS, Part
from movies import Catalogue
from results import write_lines

MOVIES_PER_PART = 2000  # a part is a few seconds' work for the indexer


def bounds(catalogue: Catalogue) -> np.ndarray:
    """The ids with which the parts of `neighbours/` begin, int32: as even as may be."""
    parts = max(1, math.ceil(catalogue.ids.size / MOVIES_PER_PART))
    return np.array([part[0] for part in np.array_split(catalogue.ids, parts)], np.int32)


def write_part(best: Best, number: int, catalogue: Catalogue, first: np.ndarray, out: str) -> Part:
    """Write a part: every movie of a range of ids with its neighbours, best first.

    Args:
        best: the neighbours of the range's movies.
        number: of the range.
        catalogue: all movies.
        first: from `bounds`.
        out: the run's prefix.
    """
    begin, end = np.searchsorted(catalogue.ids, [first[number], *first[number + 1 :][:1], 2**31])[
        :2
    ]
    name = f"{NEIGHBOURS}/part-{number:05d}.json.gz"
    return write_lines(out, name, _lines(best, catalogue, int(begin), int(end)))


def _lines(best: Best, catalogue: Catalogue, begin: int, end: int) -> Iterator[str]:
    places = np.searchsorted(catalogue.ids, best.neighbours).tolist()
    scores, numbers = best.scores.tolist(), best.co_raters.tolist()
    of = catalogue.ids[begin:end]
    starts = np.searchsorted(best.movies, of).tolist()
    ends = np.searchsorted(best.movies, of, side="right").tolist()
    about = catalogue.about
    ratings = catalogue.ratings[begin:end].tolist()
    for movie, rated, start, stop in zip(about[begin:end], ratings, starts, ends, strict=True):
        others = ",".join(f"{{{about[places[k]]}}}" for k in range(start, stop))
        rows = ",".join(
            f"[{k - start},{scores[k]!r},{numbers[k]},{scores[k]!r}]" for k in range(start, stop)
        )
        yield (
            f'{{{movie},"ratings":{rated},"others":[{others}],"neighbours":{{"cosine":[{rows}]}}}}'
        )
