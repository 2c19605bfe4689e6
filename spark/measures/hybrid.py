"""Ratings and content in one list: the fewer users rated a movie, the more its content counts."""

import numpy as np

from spark.engine.compiled_code import compiled
from spark.engine.top_k import NeighbourLists, merge_top_k
from spark.measures.content import Content


def hybrid(
    by_ratings: NeighbourLists,
    by_content: NeighbourLists,
    content: Content,
    trust: float,
    count: int,
) -> NeighbourLists:
    """Blend two lists of neighbours: (1 - w) · ratings + w · content, w = trust / (trust + raters).

    What ratings say is a score by them divided by the movie's best, so that it is 1 at most as the
    similarity by content is. Of a neighbour that only one list has the other part is still known by
    content, and 0 by ratings.

    Args:
        by_ratings: by movie and rank.
        by_content: by movie and rank; without co-raters.
        content: what is known of all movies.
        trust: so many ratings of a movie weigh as much as its content.
        count: at most so many neighbours of each movie.
    """
    known = _pairs(by_ratings)
    more = ~np.isin(_pairs(by_content), known)
    both = NeighbourLists(
        *(np.append(a, b[more]) for a, b in zip(by_ratings, by_content, strict=True))
    )
    strength = np.zeros(both.movies.size)
    if known.size:
        begins = np.append(True, by_ratings.movies[1:] != by_ratings.movies[:-1])
        best = by_ratings.scores[begins][np.cumsum(begins) - 1]
        strength[: known.size] = by_ratings.scores / best
    weight = trust / (trust + content.raters_of(both.movies))
    alike = content.similarity(both.movies, both.neighbours)
    scores = (1 - weight) * strength + weight * alike
    compiled("spark.engine.ranking").round_all(scores)
    return merge_top_k([both._replace(scores=scores)], count)


def _pairs(rows: NeighbourLists) -> np.ndarray:
    """Movie and neighbour of each row as one number, int64."""
    return rows.movies.astype(np.int64) << 32 | rows.neighbours
