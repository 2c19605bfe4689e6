"""Movies' best neighbours by one measure."""

from typing import NamedTuple

import numpy as np


class Best(NamedTuple):
    """Neighbours of movies by one measure, one row for each.

    Attributes:
        movies: int32, ids.
        neighbours: int32, ids.
        scores: float64, by the measure.
        co_raters: int32; 0 where the two movies were not compared.
        cosines: float64, over the co-raters; no number where there are none.
    """

    movies: np.ndarray
    neighbours: np.ndarray
    scores: np.ndarray
    co_raters: np.ndarray
    cosines: np.ndarray


NONE = Best(*(np.empty(0, kind) for kind in (np.int32, np.int32, float, np.int32, float)))


def rows_of(ids: np.ndarray, best: tuple[np.ndarray, ...]) -> Best:
    """The best of some movies as rows, by movie and in their order."""
    sizes, scores, numbers, neighbours, cosines = best
    kept = np.arange(scores.shape[1]) < sizes[:, None]
    of = np.repeat(ids, sizes)
    return Best(of, neighbours[kept], scores[kept], numbers[kept], cosines[kept])
