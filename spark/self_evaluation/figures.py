"""The figures of quality.json, from the held-out ratings and the lists of the other users."""

import math
from collections.abc import Mapping

import numpy as np

from spark.contracts.quality import Figures, Quality
from spark.engine.top_k import NeighbourLists
from spark.self_evaluation.held_out import HeldOutRatings
from spark.self_evaluation.metrics import capped_recall

MIN_USERS = 30
K = 20  # movies in a user's list
DIGITS = 6  # of a figure; more would depend on the order in which LAPACK adds
POPULAR_ONE_IN = 10  # rated movies


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
    by_popularity = capped_recall(_hits(held_out, users, None, popular), relevant, K)
    if not by_popularity.any():
        return Quality(measure, count, total, None, {})
    most_rated = popular[: math.ceil(popular.size / POPULAR_ONE_IN)]
    figures = {}
    for name, each in lists.items():
        recalls = capped_recall(_hits(held_out, users, each, popular), relevant, K)
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


def _hits(
    held_out: HeldOutRatings, users: np.ndarray, lists: NeighbourLists | None, popular: np.ndarray
) -> np.ndarray:
    """Which places of the users' lists hold a relevant movie, bool [users, K].

    Args:
        held_out: see `evaluate`.
        users: ids, ascending.
        lists: by one measure; None for the most rated movies.
        popular: see `evaluate`.
    """
    hits = np.zeros((users.size, K), bool)
    visible, relevant = held_out.visible, held_out.relevant
    bounds = [
        np.searchsorted(each.users, users, side=side)
        for each in (visible, relevant)
        for side in ("left", "right")
    ]
    for user, (start, end, first, last) in enumerate(zip(*bounds, strict=True)):
        known = visible.movies[start:end]
        if lists is None:
            best = popular[: K + known.size]
        else:
            best = _by_score(lists, known, visible.halves[start:end])
        best = best[~np.isin(best, known)][:K]
        hits[user, : best.size] = np.isin(best, relevant.movies[first:last])
    return hits


def _by_score(lists: NeighbourLists, known: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """The neighbours of a user's movies, best first: by the sum of their scores, then by id."""
    starts = np.searchsorted(lists.movies, known)
    lengths = np.searchsorted(lists.movies, known, side="right") - starts
    ends = np.cumsum(lengths)
    rows = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
    ids, place = np.unique(lists.neighbours[rows], return_inverse=True)
    sums = np.bincount(place, lists.scores[rows] * np.repeat(halves, lengths), ids.size)
    return ids[np.argsort(-sums, kind="stable")]
