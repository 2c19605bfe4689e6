"""How far the strengths that a run would tell are from what other users liked."""

import numpy as np
from scipy import sparse

from evaluation import models
from evaluation.splits import Split
from spark.contracts.strength import strength_of
from spark.engine.entries import MAX_HALVES
from spark.engine.top_k import NeighbourLists
from spark.ingest.chunks import RatingTable
from spark.self_evaluation.held_out import MAX_USERS
from spark.self_evaluation.strength import calibrate, log_odds, trials_of

BINS = 10


def strength_error(
    split: Split, whole: np.ndarray, raters: np.ndarray, seed: int
) -> dict[str, float]:
    """The mean absolute error of a measure's strengths, as `strength error`.

    Half of the test users, MAX_USERS at most, calibrate the strengths as a run does. The trials of
    the other half are put into BINS by their strength, with equally many co-likes, and their own
    odds say what it should be. Without enough users or co-likes there is no figure.

    Args:
        split: one whose test users are unknown to the measure.
        whole: all weights of the measure, float64 [movies, movies].
        raters: of the movies, among the other users.
        seed: of the random numbers.
    """
    users = np.random.default_rng(seed).permutation(split.liked.shape[0])[: 2 * MAX_USERS]
    liked = split.liked + split.hidden
    lists = _lists(models.top_k(whole, models.K))
    of_rows = raters[lists.movies]
    curves = calibrate(_likes(liked, users[::2]), lists, of_rows)
    if not curves:
        return {}
    rows = zip(of_rows.tolist(), lists.scores.tolist(), strict=True)
    strengths = np.array([strength_of(curves, of, score) for of, score in rows])
    trials = trials_of(_likes(liked, users[1::2]), lists)
    told = strengths[trials.rows]
    bins = _bins(told, trials.likes)
    weights = np.bincount(bins, trials.likes)
    expected = np.bincount(bins, told * trials.likes) / weights
    found = 100 * (1 - np.exp(-log_odds(trials, bins)))
    return {"strength error": float(np.average(np.abs(expected - found), weights=weights))}


def _likes(liked: sparse.csr_array, users: np.ndarray) -> RatingTable:
    """What some users liked, as ratings; the ids are indices."""
    user, movie = liked[users].nonzero()
    halves = np.full(user.size, MAX_HALVES, np.uint8)
    return RatingTable(user.astype(np.int32), movie.astype(np.int32), halves)


def _lists(kept: np.ndarray) -> NeighbourLists:
    """The kept weights as lists; the ids are indices."""
    movies, neighbours = (each.astype(np.int32) for each in np.nonzero(kept))
    none = np.zeros(movies.size, np.int32)
    return NeighbourLists(movies, neighbours, kept[movies, neighbours], none, none / 1)


def _bins(told: np.ndarray, likes: np.ndarray) -> np.ndarray:
    """The bin of each trial, from 0 without gaps; equal strengths are in one."""
    order = np.argsort(told, kind="stable")
    found = np.cumsum(likes[order])
    starts = told[order[np.searchsorted(found, np.arange(1, BINS) / BINS * found[-1])]]
    least = told[likes > 0].min()
    return np.searchsorted(np.unique(starts[starts > least]), told, side="right")
