"""The figures of quality.json, from the held-out ratings and the lists of the other users."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spark.contracts.quality import Figures, Quality
from spark.engine.top_k import NeighbourLists, distinct
from spark.ingest.chunks import RatingTable
from spark.runtime.places import places_in
from spark.self_evaluation.held_out import HeldOutRatings
from spark.self_evaluation.metrics import capped_recall

if TYPE_CHECKING:  # an import of SciPy takes a good part of a second
    from scipy.sparse import csr_array

MIN_USERS = 30
K = 20  # movies in a user's list
USERS_AT_ONCE = 64  # whose scores of all movies are in memory at once
DIGITS = 6  # of a figure; more would depend on the order in which LAPACK adds
POPULAR_ONE_IN = 10  # rated movies

# Maps the half stars of some users, [users, movies], to scores of all movies for each of them.
type Offer = Callable[["csr_array"], np.ndarray]


def evaluate(
    measure: str,
    held_out: HeldOutRatings,
    lists: Mapping[str, NeighbourLists],
    popular: np.ndarray,
) -> Quality:
    """Evaluate the lists of some measures.

    Args:
        measure: the one that is compared with the live run's.
        held_out: the ratings of the held-out users.
        lists: by measure, from the other users' ratings, by movie and rank; at least for the movies
            that the held-out users have visibly rated.
        popular: ids of all rated movies, by falling number of raters among the other users.
    """
    hidden = _counts(held_out.relevant.users)
    users = np.intersect1d(held_out.relevant.users, held_out.visible.users)
    relevant = np.array([hidden[user] for user in users.tolist()], int)
    count, total = int(users.size), int(relevant.sum())
    if count < MIN_USERS:
        return Quality(measure, count, total, None, {})
    listed = (column for each in lists.values() for column in (each.movies, each.neighbours))
    ids = distinct(np.concatenate([popular, held_out.movies, *listed]))
    matrices = _by_user(held_out.visible, users, ids), _by_user(held_out.relevant, users, ids)
    popularity = np.zeros(ids.size)
    popularity[np.searchsorted(ids, popular)] = np.arange(popular.size, 0, -1)

    def recalls_of(offer: Offer) -> np.ndarray:
        return capped_recall(_hits(*matrices, offer), relevant, K)

    by_popularity = recalls_of(lambda known: np.tile(popularity, (known.shape[0], 1)))
    if not by_popularity.any():
        return Quality(measure, count, total, None, {})
    most_rated = popular[: math.ceil(popular.size / POPULAR_ONE_IN)]
    figures = {}
    for name, each in lists.items():
        recalls = recalls_of(_by_lists(each, ids))
        lift = recalls.mean() / by_popularity.mean()
        # The standard error of a ratio of means over the same users, by linearisation.
        error = np.std(recalls - lift * by_popularity, ddof=1) / math.sqrt(users.size)
        are_popular = np.isin(each.neighbours, most_rated)
        figures[name] = Figures(
            recall=_rounded(recalls.mean()),
            lift=_rounded(lift),
            lift_error=_rounded(error / by_popularity.mean()),
            popularity_share=_rounded(are_popular.sum() / max(1, are_popular.size)),
        )
    return Quality(measure, count, total, _rounded(by_popularity.mean()), figures)


def _rounded(figure: float) -> float:
    return round(float(figure), DIGITS)


def _counts(users: np.ndarray) -> dict[int, int]:
    ids, counts = np.unique(users, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def _by_lists(lists: NeighbourLists, ids: np.ndarray) -> Offer:
    """Scores by the lists of a measure: the sum over a user's movies, each times its half stars."""
    scores = _matrix(ids, ids, lists.movies, lists.neighbours, lists.scores)

    def offer(known: "csr_array") -> np.ndarray:
        found: np.ndarray = (known @ scores).toarray()
        return found

    return offer


def _hits(known: "csr_array", relevant: "csr_array", offer: Offer) -> np.ndarray:
    """Which places of the users' lists hold a relevant movie, bool [users, K].

    Args:
        known: what they have visibly rated, [users, movies].
        relevant: what a good list finds, [users, movies].
        offer: movies.
    """
    hits = np.zeros((known.shape[0], K), bool)
    for start in range(0, known.shape[0], USERS_AT_ONCE):
        some = slice(start, start + USERS_AT_ONCE)
        offered, wanted = offer(known[some]), relevant[some].toarray() > 0
        offered[known[some].nonzero()] = 0
        user, place, movie = _first(offered)
        hits[start + user, place] = wanted[user, movie]
    return hits


def _by_user(ratings: RatingTable, users: np.ndarray, ids: np.ndarray) -> "csr_array":
    """The half stars of some users, sparse [users, movies].

    Args:
        ratings: by user and movie.
        users: ids, ascending.
        ids: of the movies, ascending.
    """
    theirs = ratings.where(np.isin(ratings.users, users))
    return _matrix(users, ids, theirs.users, theirs.movies, theirs.halves.astype(float))


def _matrix(
    row_ids: np.ndarray, column_ids: np.ndarray, rows: np.ndarray, columns: np.ndarray,
    values: np.ndarray,
) -> "csr_array":  # fmt: skip
    """A sparse matrix from its values and the ids of their rows and columns."""
    from scipy.sparse import csr_array

    at: Any = values, (places_in(row_ids, rows), places_in(column_ids, columns))
    return csr_array(at, shape=(row_ids.size, column_ids.size))


def _first(offered: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first K movies of each user with a score above 0; of equal ones, the smaller id first.

    Args:
        offered: scores, [users, movies], movies by id.

    Returns:
        User, place and movie of each, all int64.
    """
    # The K-th best of the best movies of many groups is not better than the K-th best movie.
    groups = np.arange(0, offered.shape[1], max(1, offered.shape[1] // (K * K)))
    best, count = np.maximum.reduceat(offered, groups, axis=1), min(K, groups.size)
    least = np.partition(best, -count, axis=1)[:, -count, None]
    user, movie = np.nonzero((offered > 0) & (offered >= least))
    order = np.lexsort((movie, -offered[user, movie], user))
    user, movie = user[order], movie[order]
    place = np.arange(user.size) - np.searchsorted(user, user)
    is_shown = place < K
    return user[is_shown], place[is_shown], movie[is_shown]
