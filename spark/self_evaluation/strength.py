"""Strength: what a score means to people, 0 to 100, calibrated on what held-out users liked.

    strength = 100 · (1 - 1 / r)

r says how many times as high as by chance the odds are that a user who likes a movie also likes its
neighbour: the strength is 0 at chance, 50 at twice the odds, 90 at ten times. So strengths can be
compared across movies and measures.

**Whose likes.** The evaluated lists use no rating of the held-out users, so all their likes count,
not only the hidden ones: RELEVANT_MIN half stars or more.

**Chance.** Users who like many movies like any movie more often, and popular movies are liked more
often by any user. By chance the odds of a user and a movie are therefore x · y, a factor of the
user times one of the movie, chosen so that each has as many likes as in the data, on average
(Saracco et al., Randomizing bipartite networks, Scientific Reports 2015; in psychology, the Rasch
model).

**Odds.** Numbers of co-likes cannot be compared: if half of the users like a movie, those who like
another one cannot like it more than twice as often. Most co-likes are of popular movies, so by
numbers a score hardly matters: 1.5 to 1.8 times as many as by chance by `blend` on ml-1m, from the
lowest to the highest scores.

**How.** Each user who likes a movie is a trial of each neighbour on its list. The trials are
grouped by score. Each group has the r at which as many likes are expected as are observed; all
lists count alike, however many users like their movie. The strengths are made monotone in the score
by isotonic regression and are interpolated between the groups.

A score means less on the list of a popular movie, because liking what everybody likes says little
of a user. So there are BANDS such curves, for movies with few to many raters.

Imports NumPy and SciPy only.
"""

from typing import NamedTuple

import numpy as np

from spark.contracts.strength import Curve
from spark.engine.top_k import NeighbourLists
from spark.ingest.chunks import RatingTable
from spark.runtime.places import places_in

MIN_USERS = 30
BANDS = 4  # with equally many co-likes
MIN_OF_BAND = 1000  # co-likes
# Of co-likes the group of the highest scores has MIN_OF_GROUP, and each other one twice as many as
# the next higher one, up to MAX_OF_GROUP: people see the first neighbours, so theirs differ.
MIN_OF_GROUP = 200
MAX_OF_GROUP = 1 / 8  # of the band
MIN_GROUPS = 3
MOST = 99.0  # 100 would mean that all who like the one like the other
SCORE_DIGITS = 4  # significant ones
STEPS = 500  # at most, to find the factors of chance
PRECISION = 1e-9  # of these, and of the logarithm of r
MAX_LOG_ODDS = 12.0  # of r
STEPS_OF_ODDS = 40  # at most, to find it


class Trials(NamedTuple):
    """Whether users like the neighbours of the movies that they like.

    Attributes:
        rows: int64, the row of the lists; only rows whose neighbour anybody likes have trials.
        chances: float64, the logarithm of the odds by chance.
        are_liked: bool.
        weights: float64, one over the number of users who like the movie.
    """

    rows: np.ndarray
    chances: np.ndarray
    are_liked: np.ndarray
    weights: np.ndarray

    def where(self, which: np.ndarray) -> "Trials":
        """Some of the trials, given by a mask."""
        return Trials(*(column[which] for column in self))

    @property
    def likes(self) -> np.ndarray:
        """The weight of each trial if it is liked, and 0 if not: float64."""
        return np.where(self.are_liked, self.weights, 0)


def calibrate(likes: RatingTable, lists: NeighbourLists, raters: np.ndarray) -> list[Curve]:
    """The strengths of a measure's scores; none if there are too few users or co-likes.

    Args:
        likes: what users liked whose ratings the lists do not use.
        lists: by the measure.
        raters: of the movie of each of their rows.
    """
    if np.unique(likes.users).size < MIN_USERS:
        return []
    trials = trials_of(likes, lists)
    co_likes = np.bincount(trials.rows[trials.are_liked], minlength=raters.size)
    raters = np.maximum(1, raters)
    bands = _bands(raters, co_likes)
    curves = []
    for number in range(bands.max(initial=-1) + 1):
        rows = bands == number
        some = trials.where(rows[trials.rows])
        if knots := _knots(some, lists.scores, np.where(rows, co_likes, 0)):
            centre = np.average(np.log(raters)[some.rows], weights=some.likes)
            curves.append(Curve(round(float(np.exp(centre))), knots))
    return curves


def trials_of(likes: RatingTable, lists: NeighbourLists) -> Trials:
    """The trials of all users and lists.

    Args:
        likes: see `calibrate`.
        lists: by a measure.
    """
    users, user = np.unique(likes.users, return_inverse=True)
    movies, movie = np.unique(likes.movies, return_inverse=True)
    do_like = np.zeros((users.size, movies.size), bool)
    do_like[user, movie] = True
    of_users, of_movies = chances(do_like.sum(axis=1), do_like.sum(axis=0))
    both = [places_in(movies, each) for each in lists[:2]]
    rows = np.flatnonzero((both[0] >= 0) & (both[1] >= 0))
    place, other = (each[rows] for each in both)
    sizes = do_like.sum(axis=0)
    fans = np.nonzero(do_like.T)[1]  # by movie
    numbers = sizes[place]  # of the trials of each row
    starts, ends = (np.cumsum(sizes) - sizes)[place], np.cumsum(numbers)
    fan = fans[np.arange(numbers.sum()) + np.repeat(starts - ends + numbers, numbers)]
    neighbour = np.repeat(other, numbers)
    return Trials(
        np.repeat(rows, numbers),
        of_users[fan] + of_movies[neighbour],
        do_like[fan, neighbour],
        np.repeat(1 / numbers, numbers),
    )


def chances(of_users: np.ndarray, of_movies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms of the factors of chance of users and movies, float64.

    Args:
        of_users: how many movies each user likes, at least 1.
        of_movies: how many users like each movie, at least 1.
    """
    # Users who like equally many movies have the same factor; so have movies.
    user, of_user, users = np.unique(of_users, return_inverse=True, return_counts=True)
    movie, of_movie, movies = np.unique(of_movies, return_inverse=True, return_counts=True)
    total = np.sqrt(float(of_users.sum()))
    x, y = user / total, movie / total
    for _ in range(STEPS):
        before = x
        x = user / (movies * y / (1 + np.outer(x, y))).sum(axis=1)
        y = movie / (users * x / (1 + np.outer(y, x))).sum(axis=1)
        if x.size == 0 or np.abs(x / before - 1).max() < PRECISION:
            break
    return np.log(x)[of_user], np.log(y)[of_movie]


def log_odds(trials: Trials, groups: np.ndarray) -> np.ndarray:
    """The logarithm of r of each group, float64.

    Args:
        trials: from `trials_of`.
        groups: the group of each trial, from 0 without gaps.
    """
    odds = np.exp(trials.chances)
    observed = np.bincount(groups, trials.likes)
    low, high = (np.full(observed.size, limit) for limit in (-MAX_LOG_ODDS, MAX_LOG_ODDS))
    found = np.zeros(observed.size)
    for _ in range(STEPS_OF_ODDS):
        likely = odds * np.exp(found)[groups]
        likely /= 1 + likely
        weighted = trials.weights * likely
        expected = np.bincount(groups, weighted)
        slope = np.bincount(groups, weighted * (1 - likely))
        missing = observed > expected
        low, high = np.where(missing, found, low), np.where(missing, high, found)
        # Newton's step for the logarithm of the likes, which is nearly linear; or half of what is
        # left where it leads too far.
        with np.errstate(divide="ignore", invalid="ignore"):
            before, step = found, found + np.log(observed / expected) * expected / slope
        found = np.where((step > low) & (step < high), step, (low + high) / 2)
        if np.abs(found - before).max(initial=0) < PRECISION:
            break
    return found


def _bands(raters: np.ndarray, co_likes: np.ndarray) -> np.ndarray:
    """The band of each row of the lists, by rising number of raters of its movie.

    Args:
        raters: of each row's movie.
        co_likes: of each row.
    """
    found = np.cumsum(np.bincount(raters, co_likes))
    total = int(co_likes.sum())
    number = min(BANDS, total // MIN_OF_BAND)
    if number == 0:
        return np.full(raters.size, -1)
    starts = np.searchsorted(found, np.arange(1, number) * total / number)
    return np.searchsorted(np.unique(starts), np.arange(found.size), side="right")[raters]


def _knots(trials: Trials, scores: np.ndarray, co_likes: np.ndarray) -> list[tuple[float, float]]:
    """The knots of a curve; none if there are too few groups.

    Args:
        trials: of one band.
        scores: of all rows of the lists.
        co_likes: of each of these rows; 0 if it is not of the band.
    """
    from scipy.optimize import isotonic_regression

    groups = _groups(scores, co_likes)
    if groups is None:
        return []
    groups, scores = groups[trials.rows], scores[trials.rows]
    weights = np.bincount(groups, trials.likes)
    logs = isotonic_regression(log_odds(trials, groups), weights=weights).x
    found = np.clip(100 * (1 - np.exp(-logs)), 0, MOST)
    centres = np.bincount(groups, scores * trials.likes) / weights
    knots = [
        (float(f"{score:.{SCORE_DIGITS}g}"), round(strength, 1))
        for score, strength in zip(centres.tolist(), found.tolist(), strict=True)
    ]
    inner = zip(knots, knots[1:], knots[2:], strict=False)
    bends = [knot for before, knot, after in inner if not before[1] == knot[1] == after[1]]
    return [knots[0], *bends, knots[-1]]


def _groups(scores: np.ndarray, co_likes: np.ndarray) -> np.ndarray | None:
    """The group of each row of the lists, by rising score; None if there would be too few."""
    liked = np.flatnonzero(co_likes)
    order = liked[np.argsort(-scores[liked], kind="stable")]
    found = np.cumsum(co_likes[order])
    if found.size == 0:
        return None
    total = int(found[-1])
    sizes = np.minimum(MIN_OF_GROUP * 2.0 ** np.arange(64), max(MIN_OF_GROUP, MAX_OF_GROUP * total))
    ends = np.cumsum(sizes)
    ends = ends[ends <= total - MIN_OF_GROUP]
    # A group ends after all rows of its last score, so equal scores have one strength.
    starts = np.unique(scores[order[np.searchsorted(found, ends)]])
    starts = starts[starts > scores[order[-1]]]  # each group has a like
    return None if starts.size + 1 < MIN_GROUPS else np.searchsorted(starts, scores, side="right")
