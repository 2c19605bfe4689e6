"""Splits into training and hidden ratings: random or the latest ones of users, or whole users."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

HIDDEN = 0.2  # share of the ratings, or of the users
MAX_TEST_USERS = 10_000  # their recall has a standard error below half a point


@dataclass(frozen=True)
class Split:
    """One split. All matrices are sparse and have the same movies as columns.

    Attributes:
        train: float64 [users, movies], half stars: what models learn from.
        liked: the visible liked movies of the test users, from which their lists are made: float64
            [test users, movies], ones.
        seen: all their visible movies, which are left out of their lists.
        hidden: their hidden liked movies.
        are_new: whether models learn nothing from the test users.
    """

    train: sparse.csr_array
    liked: sparse.csr_array
    seen: sparse.csr_array
    hidden: sparse.csr_array
    are_new: bool = False


def by_rating(halves: sparse.csr_array, like: int, seed: int) -> Split:
    """Hide each rating with probability HIDDEN.

    Args:
        halves: [users, movies], half stars.
        like: half stars from which on a movie counts as liked.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    rest, hidden = _hide(halves, random)
    return _split_of(rest, rest, hidden, like, random)


def by_user(halves: sparse.csr_array, like: int, seed: int) -> Split:
    """Strong generalisation: models learn nothing from the test users, a share HIDDEN of all users.

    Each of their ratings is hidden with probability HIDDEN. Their lists are made from the others.
    Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018.

    Args:
        halves: see `by_rating`.
        like: see `by_rating`.
        seed: see `by_rating`.
    """
    random = np.random.default_rng(seed)
    held_out = random.random(halves.shape[0]) < HIDDEN
    rest, hidden = _hide(halves[held_out], random)
    split = _split_of(halves[~held_out], rest, hidden, like, random)
    return replace(split, are_new=True)


def by_time(halves: sparse.csr_array, times: np.ndarray, like: int, seed: int) -> Split:
    """Hide the latest ratings of each user: a share HIDDEN of them, rounded down.

    The limit is per user, not one date for everybody: few MovieLens users rate on both sides of any
    date. So models learn from ratings by other users that are later than a hidden one (Ji et al., A
    Critical Study on Data Leakage in Recommender System Offline Evaluation, TOIS 2023).

    Args:
        halves: see `by_rating`.
        times: of the ratings, int64, in the order of `halves.data`. If they are equal, the order is
            random: MovieLens shows pages of movies, and users rate several at once.
        like: see `by_rating`.
        seed: see `by_rating`.
    """
    random = np.random.default_rng(seed)
    sizes = np.diff(halves.indptr)
    users = np.repeat(np.arange(sizes.size), sizes)
    order = np.lexsort((random.random(halves.nnz), times, users))
    place = np.arange(halves.nnz) - halves.indptr[users]  # among the user's ratings, by time
    is_hidden = np.empty(halves.nnz, bool)
    is_hidden[order] = place >= (sizes - (sizes * HIDDEN).astype(int))[users]
    rest, hidden = _parted(halves, is_hidden)
    return _split_of(rest, rest, hidden, like, random)


def rated_at_least(halves: sparse.csr_array, least: int) -> sparse.csr_array:
    """The ratings of at least a number of half stars."""
    kept = halves.copy()
    kept.data[kept.data < least] = 0
    kept.eliminate_zeros()
    return kept


def _hide(
    halves: sparse.csr_array, random: np.random.Generator
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Visible and hidden ratings, chosen at random."""
    return _parted(halves, random.random(halves.nnz) < HIDDEN)


def _parted(
    halves: sparse.csr_array, is_hidden: np.ndarray
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Visible and hidden ratings.

    Args:
        halves: all of them.
        is_hidden: bool, in the order of `halves.data`.
    """
    parts = []
    for kept in (~is_hidden, is_hidden):
        part = halves.copy()
        part.data = np.where(kept, part.data, 0)
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]


def _split_of(
    train: sparse.csr_array,
    rest: sparse.csr_array,
    hidden: sparse.csr_array,
    like: int,
    random: np.random.Generator,
) -> Split:
    """A split by at most MAX_TEST_USERS users who have a hidden liked movie."""
    hidden = _ones(rated_at_least(hidden, like))
    users = np.flatnonzero(np.diff(hidden.indptr) > 0)
    if users.size > MAX_TEST_USERS:
        users = np.sort(random.choice(users, MAX_TEST_USERS, replace=False))
    liked, seen = _ones(rated_at_least(rest, like)), _ones(rest)
    return Split(train, liked[users], seen[users], hidden[users])


def _ones(halves: sparse.csr_array) -> sparse.csr_array:
    ones = halves.copy()
    ones.data = np.ones_like(ones.data)
    return ones
