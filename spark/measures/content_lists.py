"""Ranks movies by content alone, in tasks beside the cells."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from pyspark import SparkContext

from spark.engine.cells import CellLists
from spark.engine.shuffle import ranges_of
from spark.ingest.chunks import RatingTable
from spark.measures.content import Content, Ranking
from spark.measures.registry import BY_CONTENT
from spark.runtime.broadcast import broadcast
from spark.runtime.places import places_in


@dataclass(frozen=True)
class ContentRanking:
    """Ranks movies by content alone.

    Attributes:
        content: of the movies.
        shared: gets it in a task.
        rank: in a task, the neighbours of a range of movies, given its number.
    """

    content: Content
    shared: Callable[[], Content]
    rank: Callable[[int], Iterable[CellLists]]


def content_ranking(
    context: SparkContext,
    content: Content,
    left_out: RatingTable,
    of: np.ndarray,
    range_starts: np.ndarray,
    count: int,
) -> ContentRanking:
    """Prepare to rank all movies by content; of equally similar ones, by raters.

    Args:
        context: the Spark context.
        content: of the movies.
        left_out: all ratings of the held-out users.
        of: int32, ids of the movies whose neighbours are needed without those users, too.
        range_starts: see `compute_cells`.
        count: most neighbours per movie.
    """
    rankings = [Ranking(content.raters)]
    if of.size:
        is_needed = places_in(of, content.ids) >= 0
        rankings.append(Ranking(content.without(left_out).raters, is_needed))
    shared = broadcast(context, content)

    def rank(number: int) -> Iterator[CellLists]:
        movies = shared()
        places = np.flatnonzero(ranges_of(movies.ids, range_starts) == number)
        published, *tried = movies.neighbours(places, rankings, count)
        yield CellLists(BY_CONTENT, published, False)
        for lists in tried:
            yield CellLists(BY_CONTENT, lists, True)

    return ContentRanking(content, shared, rank)
