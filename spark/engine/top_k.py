"""Neighbour lists by one measure, and how the best neighbours are selected."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spark.engine.kernel import TopK, empty_top_k, offer_all, sort_best_first
from spark.engine.ranking import offer_rows
from spark.runtime.places import places_in


class NeighbourLists(NamedTuple):
    """The neighbours of some movies by one measure, one row per neighbour.

    Attributes:
        movies: int32, ids.
        neighbours: int32, ids.
        scores: float64, by the measure.
        co_raters: int32; 0 if the two movies were not compared.
        cosines: float64, over the co-raters; NaN if there are none.
    """

    movies: np.ndarray
    neighbours: np.ndarray
    scores: np.ndarray
    co_raters: np.ndarray
    cosines: np.ndarray

    def where(self, which: np.ndarray | slice) -> "NeighbourLists":
        """Some of the rows, given by a mask, their indices or a range."""
        return NeighbourLists(*(column[which] for column in self))

    def between(self, first: np.int32, last: np.int32) -> "NeighbourLists":
        """The rows of the movies from one id to another, inclusive; the movies must ascend."""
        begin = np.searchsorted(self.movies, first)  # copies no ids, for both are of one type
        return self.where(slice(begin, np.searchsorted(self.movies, last, "right")))


EMPTY = NeighbourLists(
    *(np.empty(0, kind) for kind in (np.int32, np.int32, float, np.int32, float))
)


def distinct(values: np.ndarray) -> np.ndarray:
    """The distinct integers, ascending."""
    return np.unique(values, return_counts=True)[0]  # sorts; without counts it hashes: 6x slower


def pair_keys(lists: NeighbourLists) -> np.ndarray:
    """Movie and neighbour of each row as one number, int64."""
    return lists.movies.astype(np.int64) << 32 | lists.neighbours


def joined(some: Iterable[NeighbourLists]) -> NeighbourLists:
    """All rows, one list after the other; at least one list is needed."""
    return NeighbourLists(*map(np.concatenate, zip(*some, strict=True)))


def concatenate(some: Iterable[NeighbourLists]) -> NeighbourLists:
    """All rows, by movie; the order within a movie is unchanged."""
    rows = joined([EMPTY, *some])
    return rows.where(np.argsort(rows.movies, kind="stable"))


def sorted_lists(ids: np.ndarray, best: TopK) -> NeighbourLists:
    """Top-k lists as neighbour lists, by movie and rank."""
    sort_best_first(best)
    used = np.arange(best.neighbours.shape[1]) < best.sizes[:, None]
    rows = best.neighbours[used]
    columns = (np.ascontiguousarray(rows[name]) for name in ("id", "score", "co_raters", "cosine"))
    return NeighbourLists(np.repeat(ids, best.sizes), *columns)


def merge_top_k(found: Sequence[NeighbourLists], count: int) -> NeighbourLists:
    """The best `count` neighbours of each movie from several lists, by movie and rank."""
    rows = joined(found)
    ids = distinct(rows.movies)
    best = empty_top_k(ids.size, count)
    movie = places_in(ids, rows.movies)
    offer_all(best, movie, rows.scores, rows.co_raters, rows.neighbours, rows.cosines)
    return sorted_lists(ids, best)


def top_k_of_rows(
    own: np.ndarray,
    scores: np.ndarray,
    others: np.ndarray,
    raters: np.ndarray,
    count: int,
    is_needed: np.ndarray | None = None,
) -> NeighbourLists:
    """The best neighbours of some movies, given the scores of all; without co-raters and cosine.

    Args:
        own: ids of the movies, int32. A movie is not its own neighbour.
        scores: float64 [movies, others]; only scores above 0 make a neighbour.
        others: ids, int32.
        raters: users who rated each of them; of equal scores the one with more raters comes first.
        count: most neighbours per movie.
        is_needed: bool, per movie: whether its list is needed; None if all are.
    """
    best = empty_top_k(own.size, count)
    if is_needed is not None:
        best.least[~is_needed] = np.inf
    offer_rows(best, scores, own, others, raters.astype(np.int32))
    rows = sorted_lists(own, best)
    return rows._replace(co_raters=np.zeros_like(rows.co_raters))
