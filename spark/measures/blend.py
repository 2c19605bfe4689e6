"""Blend: what the same users like and rate, lifted by content; by content where few users rated.

    blend(i → j) = (w · E + F) · (1 + C) + c · C · t / (t + raters of i)

E is the weight by EASE if it is above 0, F the full cosine, and C the similarity by content; w, c
and t are the parameters `ease`, `content` and `trust`. EASE knows what users go on to like, the
full cosine what they rate alike, and content what people call similar: docs/quality.md has the
evidence.

EASE's matrix holds the most popular movies only. For a pair with another movie, F counts
WITHOUT_EASE times: w · E is about as large as F, so no list and no score falls sharply there.

Not all pairs are scored, only each movie's best neighbours by each of the three. CANDIDATES times
as many by EASE are taken as are kept; for a pair beyond them, E counts as 0.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from spark.engine.ranking import round_all
from spark.engine.top_k import NeighbourLists, joined, merge_top_k, pair_keys
from spark.runtime.places import are_first, places_in

if TYPE_CHECKING:  # it needs SciPy
    from spark.measures.content import Content

CANDIDATES = 2
WITHOUT_EASE = 1.75  # chosen by recall just before and after the limit: decision 0014


def by_ratings(ease: NeighbourLists, full_cosine: np.ndarray, weight: float) -> NeighbourLists:
    """Neighbours by EASE with w · E + F, rounded, as their score.

    Args:
        ease: by movie and rank.
        full_cosine: float64, F of each row.
        weight: w.
    """
    scores = weight * ease.scores + full_cosine
    round_all(scores)
    return ease._replace(scores=scores)


def blend(
    ease: NeighbourLists,
    full_cosine: NeighbourLists,
    by_content: NeighbourLists,
    content: "Content",
    in_ease: np.ndarray,
    parameters: Mapping[str, float],
    count: int,
) -> NeighbourLists:
    """Blend three lists of neighbours.

    Args:
        ease: from `by_ratings`.
        full_cosine: neighbours by the full cosine.
        by_content: neighbours by content, without co-raters.
        content: of all movies.
        in_ease: ids of the movies in EASE's matrix.
        parameters: `content`; and `trust`, the raters at which content alone counts half of that.
        count: most neighbours per movie.
    """
    ids = full_cosine.movies, full_cosine.neighbours
    known = np.logical_and(*(places_in(in_ease, each) >= 0 for each in ids))
    by_users = full_cosine._replace(scores=full_cosine.scores * np.where(known, 1, WITHOUT_EASE))
    unrated = by_content._replace(scores=np.zeros_like(by_content.scores))
    rows = joined([ease, by_users, unrated])
    rows = rows.where(are_first(pair_keys(rows)))  # of equal pairs EASE's, which has both scores
    similar = content.similarity(rows.movies, rows.neighbours)
    trust = parameters["trust"]
    alone = parameters["content"] * trust / (trust + content.raters_of(rows.movies))
    scores = rows.scores * (1 + similar) + similar * alone
    round_all(scores)
    rows = rows._replace(scores=scores)
    return merge_top_k([rows.where(scores > 0)], count)
