"""Movies' best neighbours by one measure, and how they are chosen."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spark.engine.compiled_code import compiled


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


def distinct(values: np.ndarray) -> np.ndarray:
    """The distinct integers among some, ascending."""
    return np.unique(values, return_counts=True)[0]  # sorts; without counts it hashes: 6x as slow


def joined(some: Iterable[Best]) -> Best:
    """All rows, by movie; those of a movie as they were."""
    columns = [np.concatenate(each) for each in zip(NONE, *some, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Best(*(column[order] for column in columns))


def rows_of(ids: np.ndarray, best: tuple[np.ndarray, ...]) -> Best:
    """The best of some movies, see `kernel.no_best`, as rows: by movie and rank."""
    compiled("spark.engine.kernel").put_in_order(best)
    sizes, _, scores, numbers, neighbours, cosines = best
    kept = np.arange(scores.shape[1]) < sizes[:, None]
    of = np.repeat(ids, sizes)
    return Best(of, neighbours[kept], scores[kept], numbers[kept], cosines[kept])


def chosen(found: Sequence[Best], count: int) -> Best:
    """Of what was found for some movies by one measure, the best of each, by movie and rank."""
    kernel = compiled("spark.engine.kernel")
    rows = Best(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    ids = distinct(rows.movies)
    of = np.searchsorted(ids, rows.movies)  # faster than what `unique` has for this
    best = kernel.no_best(ids.size, count)
    kernel.offer_all(best, of, rows.scores, rows.co_raters, rows.neighbours, rows.cosines)
    return rows_of(ids, best)


def best_of_rows(
    own: np.ndarray, scores: np.ndarray, others: np.ndarray, raters: np.ndarray, count: int
) -> Best:
    """The best neighbours of some movies by scores of all, without co-raters and cosine.

    Args:
        own: ids of the movies, int32, which are not their own neighbours.
        scores: float64 [movies, others]; what is not above 0 makes no neighbour.
        others: ids, int32.
        raters: how many users rated each of them: the more of those with equal scores come first.
        count: at most so many of each movie.
    """
    kernel, ranking = compiled("spark.engine.kernel"), compiled("spark.engine.ranking")
    best = kernel.no_best(own.size, count)
    ranking.offer_rows(best, scores, own, others, raters.astype(np.int32))
    rows = rows_of(own, best)
    return rows._replace(co_raters=np.zeros_like(rows.co_raters))
