"""Ratings and content in one list: the fewer users rated a movie, the more its content counts."""

import numpy as np

from spark.engine.ranking import round_all
from spark.engine.top_k import NeighbourLists, joined, merge_top_k, pair_keys
from spark.measures.content import Content
from spark.runtime.places import are_first


def hybrid(
    by_ratings: NeighbourLists,
    by_content: NeighbourLists,
    content: Content,
    trust: float,
    count: int,
) -> NeighbourLists:
    """Blend two lists of neighbours: (1 - w) · ratings + w · content, w = trust / (trust + raters).

    Scores by ratings are divided by the movie's best score; so they are at most 1, like the
    similarity by content. For a neighbour that only one list has, the similarity by content is
    still computed, and the score by ratings is 0.

    Args:
        by_ratings: by movie and rank.
        by_content: by movie and rank; without co-raters.
        content: of all movies.
        trust: number of raters at which ratings and content have the same weight.
        count: most neighbours per movie.
    """
    both = joined([by_ratings, by_content])
    both = both.where(are_first(pair_keys(both)))
    strength = np.zeros(both.movies.size)
    if known := by_ratings.movies.size:
        begins = np.append(True, by_ratings.movies[1:] != by_ratings.movies[:-1])
        best = by_ratings.scores[begins][np.cumsum(begins) - 1]
        strength[:known] = by_ratings.scores / best
    weight = trust / (trust + content.raters_of(both.movies))
    similar = content.cosine(both.movies, both.neighbours)
    scores = (1 - weight) * strength + weight * similar
    round_all(scores)
    return merge_top_k([both._replace(scores=scores)], count)
