"""Movies' best neighbours by one measure, and how they are merge_top_k."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spark.engine.compiled_code import compiled


class NeighbourLists(NamedTuple):
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


EMPTY = NeighbourLists(
    *(np.empty(0, kind) for kind in (np.int32, np.int32, float, np.int32, float))
)


def distinct(values: np.ndarray) -> np.ndarray:
    """The distinct integers among some, ascending."""
    return np.unique(values, return_counts=True)[0]  # sorts; without counts it hashes: 6x as slow


def concatenate(some: Iterable[NeighbourLists]) -> NeighbourLists:
    """All rows, by movie; those of a movie as they were."""
    columns = [np.concatenate(each) for each in zip(EMPTY, *some, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return NeighbourLists(*(column[order] for column in columns))


def sorted_lists(ids: np.ndarray, best: tuple[np.ndarray, ...]) -> NeighbourLists:
    """The best of some movies, see `kernel.empty_top_k`, as rows: by movie and rank."""
    compiled("spark.engine.kernel").sort_best_first(best)
    sizes, _, scores, numbers, neighbours, cosines = best
    kept = np.arange(scores.shape[1]) < sizes[:, None]
    of = np.repeat(ids, sizes)
    return NeighbourLists(of, neighbours[kept], scores[kept], numbers[kept], cosines[kept])


def merge_top_k(found: Sequence[NeighbourLists], count: int) -> NeighbourLists:
    """Of what was found for some movies by one measure, the best of each, by movie and rank."""
    kernel = compiled("spark.engine.kernel")
    rows = NeighbourLists(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    ids = distinct(rows.movies)
    of = np.searchsorted(ids, rows.movies)  # faster than what `unique` has for this
    best = kernel.empty_top_k(ids.size, count)
    kernel.offer_all(best, of, rows.scores, rows.co_raters, rows.neighbours, rows.cosines)
    return sorted_lists(ids, best)


def top_k_of_rows(
    own: np.ndarray, scores: np.ndarray, others: np.ndarray, raters: np.ndarray, count: int
) -> NeighbourLists:
    """The best neighbours of some movies by scores of all, without co-raters and cosine.

    Args:
        own: ids of the movies, int32, which are not their own neighbours.
        scores: float64 [movies, others]; what is not above 0 makes no neighbour.
        others: ids, int32.
        raters: how many users rated each of them: the more of those with equal scores come first.
        count: at most so many of each movie.
    """
    kernel, ranking = compiled("spark.engine.kernel"), compiled("spark.engine.ranking")
    best = kernel.empty_top_k(own.size, count)
    ranking.offer_rows(best, scores, own, others, raters.astype(np.int32))
    rows = sorted_lists(own, best)
    return rows._replace(co_raters=np.zeros_like(rows.co_raters))
