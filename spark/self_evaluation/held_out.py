"""A run judges itself: what its neighbours find of movies that users liked who were kept apart.

**Who is held out.** Users whose hashed id is below a bound: the same ones on every attempt, as if
drawn by lot, about MAX_USERS or a tenth of all, if that is less. Users with more than MAX_RATINGS
ratings are not held out, so that the cost is bounded.

**What is judged.** Lists learnt from everybody else. A cell is summed up without the users who are
held out, lists are taken by the measures that are judged, and only then are those users added: what
is published is made of all ratings, the same to the bit as without this. EASE's matrix is inverted
once, of all users, and of the inverse those who are held out are taken out exactly (gram.py).

**How.** A fifth of a user's ratings, drawn by hash, is hidden. Each of the others lends its
movie's neighbours the neighbour's score, times its stars; what the user has rated otherwise is left
out, and the 20 movies of the highest sums are his list. Its recall counts the hidden movies that
he gave RELEVANT_MIN or more: hits / min(20, how many there are), averaged over the users who have
one.

**What the figure is not.** No promise for titles with few ratings: hidden movies are mostly
well-known ones. No forecast: a user's ratings are hidden without regard to when they were given. A
little too low for what is published, which knows those users as well. And no measure of one data
set against another: for that there is `Figures.lift`, and docs/quality.md has the thorough
evaluation.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from spark.contracts.quality import Figures, Quality
from spark.engine.top_k import NeighbourLists
from spark.ingest.ratings import Chunk, ChunkStatistics, Ratings, unpacked
from spark.self_evaluation.metrics import capped_recall

MAX_USERS = 500  # whose recall has a standard error of about a twentieth of it
MIN_USERS = 30
MAX_SHARE = 0.1  # of all users
MAX_RATINGS = 1000
HIDDEN = 5  # one of so many ratings
RELEVANT_MIN = 8  # half stars
K = 20
DIGITS = 6  # of a figure: more depend on the order in which LAPACK adds
POPULAR = 10  # the popular movies are one of so many


@dataclass(frozen=True)
class HeldOutRatings:
    """The ratings of the users who are held out, by user.

    Attributes:
        users: int32, of each rating.
        movies: int32, ids.
        halves: uint8, half stars.
    """

    users: np.ndarray
    movies: np.ndarray
    halves: np.ndarray

    @property
    def are_hidden(self) -> np.ndarray:
        """Which ratings are hidden."""
        keys = self.users.astype(np.uint64) << np.uint64(32) | self.movies.astype(np.uint64)
        return _mixed(keys) % np.uint64(HIDDEN) == 0

    @property
    def visible(self) -> "HeldOutRatings":
        """The ratings that are not hidden."""
        return self._some(~self.are_hidden)

    @property
    def relevant(self) -> "HeldOutRatings":
        """The hidden ratings that are to be found."""
        return self._some(self.are_hidden & (self.halves >= RELEVANT_MIN))

    def of_movies(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many of them rated each movie, and the sums of their squares, int64 each.

        Args:
            ids: of the movies, int32, in any order.
        """
        by_id = np.argsort(ids)
        place = np.searchsorted(ids, self.movies, sorter=by_id)
        known = np.append(ids[by_id], -1)[place] == self.movies
        at, halves = by_id[place[known]], self.halves[known].astype(np.int64)
        squares = np.bincount(at, halves**2, ids.size)  # whole, far hash_bound 2⁵³
        return np.bincount(at, minlength=ids.size), squares.astype(np.int64)

    def _some(self, which: np.ndarray) -> "HeldOutRatings":
        return HeldOutRatings(self.users[which], self.movies[which], self.halves[which])


def hash_bound_for(users: int, most: int) -> int:
    """The bound of hashed ids: users below it are held out.

    Args:
        users: how many there are.
        most: so many are held out, or a tenth of all; 0 for nobody.
    """
    return int(min(MAX_SHARE, most / max(1, users)) * 2**64)


def are_held_out(users: np.ndarray, counts: np.ndarray, hash_bound: int) -> np.ndarray:
    """Which users are held out, bool.

    Args:
        users: ids.
        counts: of their ratings.
        hash_bound: from `hash_bound_for`.
    """
    return (_mixed(users.astype(np.uint64)) < np.uint64(hash_bound)) & (counts <= MAX_RATINGS)


def collect_held_out(ratings: Ratings, hash_bound: int) -> HeldOutRatings:
    """The ratings of the users who are held out."""

    def held_out(packed: Iterable[Chunk | ChunkStatistics]) -> Iterable[HeldOutRatings]:
        for chunk in packed:
            if isinstance(chunk, Chunk):
                users, starts, movies, halves = unpacked(chunk)
                counts = np.diff(starts)
                each = np.repeat(are_held_out(users, counts, hash_bound), counts)
                yield HeldOutRatings(np.repeat(users, counts)[each], movies[each], halves[each])

    found = ratings.packed.mapPartitions(held_out).collect()
    users, movies, halves = (
        np.concatenate([np.empty(0, kind), *(getattr(each, name) for each in found)])
        for name, kind in {"users": np.int32, "movies": np.int32, "halves": np.uint8}.items()
    )
    order = np.lexsort((movies, users))
    return HeldOutRatings(users[order], movies[order], halves[order])


def evaluate(
    measure: str,
    held_out: HeldOutRatings,
    lists: Mapping[str, NeighbourLists],
    popular: np.ndarray,
) -> Quality:
    """What a run found out about itself.

    Args:
        measure: that is compared with the live run's.
        held_out: the ratings of the users who were held out.
        lists: by measure that is judged, of at least the movies that they have kept, learnt
            from everybody else; by movie and rank.
        popular: ids of all rated movies, those with most raters among everybody else first.
    """
    hidden = _numbers(held_out.relevant.users)
    users = np.intersect1d(held_out.relevant.users, held_out.visible.users)
    if users.size < MIN_USERS:
        missing = sum(hidden[user] for user in users.tolist())
        return Quality(measure, int(users.size), missing, None, {})
    wanted = np.array([hidden[user] for user in users.tolist()])
    by_popularity = capped_recall(_hits(held_out, users, None, popular), wanted, K)
    if not by_popularity.any():
        return Quality(measure, int(users.size), int(wanted.sum()), None, {})
    figures = {}
    for name, each in lists.items():
        recalls = capped_recall(_hits(held_out, users, each, popular), wanted, K)
        lift = recalls.mean() / by_popularity.mean()
        # Of a ratio of means over the same users, by its linear part.
        error = np.std(recalls - lift * by_popularity, ddof=1) / math.sqrt(users.size)
        well_known = np.isin(each.neighbours, popular[: math.ceil(popular.size / POPULAR)])
        figures[name] = Figures(
            recall=_told(recalls.mean()),
            lift=_told(lift),
            lift_error=_told(error / by_popularity.mean()),
            popularity_share=_told(well_known.sum() / max(1, well_known.size)),
        )
    return Quality(
        measure, int(users.size), int(wanted.sum()), _told(by_popularity.mean()), figures
    )


def _told(figure: float) -> float:
    return round(float(figure), DIGITS)


def _numbers(users: np.ndarray) -> dict[int, int]:
    ids, counts = np.unique(users, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def _hits(
    held_out: HeldOutRatings, users: np.ndarray, lists: NeighbourLists | None, popular: np.ndarray
) -> np.ndarray:
    """Which places of the users' lists have a movie that is to be found, bool [users, K]."""
    hits = np.zeros((users.size, K), bool)
    kept, wanted = held_out.visible, held_out.relevant
    bounds = [
        np.searchsorted(each.users, users, side=side)
        for each in (kept, wanted)
        for side in ("left", "right")
    ]
    for user, (start, end, first, last) in enumerate(zip(*bounds, strict=True)):
        known = kept.movies[start:end]
        if lists is None:
            best = popular[: K + known.size]
        else:
            best = _by_score(lists, known, kept.halves[start:end])
        best = best[~np.isin(best, known)][:K]
        hits[user, : best.size] = np.isin(best, wanted.movies[first:last])
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


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers mixed to 64 bits that look random: the finalizer of SplitMix64 (Steele, 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
