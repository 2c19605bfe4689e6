"""What is learnt from and what is hidden: random ratings of every user, or users as a whole."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

HIDDEN = 0.2  # share of the ratings, or of the users
MOST_JUDGED = 10_000  # users: the standard error is below half a point then


@dataclass(frozen=True)
class Split:
    """One split. All matrices are sparse, and have the same movies as columns.

    Attributes:
        train: float64 [users, movies], half stars: all that a measure may learn from.
        liked: of the users that are judged the movies that they liked and that are not hidden, of
            which their list is made: float64 [judged users, movies], ones.
        seen: all that they rated and that is not hidden, which is not in their list.
        hidden: what they liked and is hidden.
    """

    train: sparse.csr_array
    liked: sparse.csr_array
    seen: sparse.csr_array
    hidden: sparse.csr_array


def by_rating(halves: sparse.csr_array, like: int, seed: int) -> Split:
    """Hide each rating with the probability HIDDEN.

    Args:
        halves: [users, movies], half stars.
        like: half stars from which a movie is liked.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    rest, hidden = _parted(halves, random)
    return _judged(rest, rest, hidden, like, random)


def by_user(halves: sparse.csr_array, like: int, seed: int) -> Split:
    """Strong generalisation: judge a share HIDDEN of the users, of whom nothing was learnt.

    Of each of their ratings is hidden with the probability HIDDEN, the rest their list is made of.
    Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018.

    Args:
        halves: see `by_rating`.
        like: see there.
        seed: see there.
    """
    random = np.random.default_rng(seed)
    held_out = random.random(halves.shape[0]) < HIDDEN
    rest, hidden = _parted(halves[held_out], random)
    return _judged(halves[~held_out], rest, hidden, like, random)


def only(halves: sparse.csr_array, least: int) -> sparse.csr_array:
    """The ratings of at least so many half stars."""
    kept = halves.copy()
    kept.data[kept.data < least] = 0
    kept.eliminate_zeros()
    return kept


def _parted(
    halves: sparse.csr_array, random: np.random.Generator
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """All ratings, apart: those that stay and those that are hidden."""
    is_hidden = random.random(halves.nnz) < HIDDEN
    parts = []
    for kept in (~is_hidden, is_hidden):
        part = halves.copy()
        part.data = np.where(kept, part.data, 0)
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]


def _judged(
    train: sparse.csr_array,
    rest: sparse.csr_array,
    hidden: sparse.csr_array,
    like: int,
    random: np.random.Generator,
) -> Split:
    """The split by which those users are judged, MOST_JUDGED at most, who like a hidden movie."""
    hidden = _ones(only(hidden, like))
    judged = np.flatnonzero(np.diff(hidden.indptr) > 0)
    if judged.size > MOST_JUDGED:
        judged = np.sort(random.choice(judged, MOST_JUDGED, replace=False))
    liked, seen = _ones(only(rest, like)), _ones(rest)
    return Split(train, liked[judged], seen[judged], hidden[judged])


def _ones(halves: sparse.csr_array) -> sparse.csr_array:
    ones = halves.copy()
    ones.data = np.ones_like(ones.data)
    return ones
