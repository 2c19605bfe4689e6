"""Ratings packed as arrays of whole users. Imports NumPy only.

A user's rating of a movie appears once: the latest one. If times are equal, the later line counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spark.ingest.rejects import Reject
from spark.runtime.places import places_in


class SplitRatings(NamedTuple):
    """Ratings of some users from one split of the file, as little-endian arrays.

    Attributes:
        source: number of the split.
        users: int32.
        movies: int32.
        halves: uint8, half stars.
        times: int64, seconds since 1970.
    """

    source: int
    users: bytes
    movies: bytes
    halves: bytes
    times: bytes


class SplitReport(NamedTuple):
    """Counts of the lines of one split.

    Attributes:
        source: number of the split.
        lines: lines of data, including rejected ones.
        defects: rejected lines per kind of defect.
        samples: the first rejected lines.
    """

    source: int
    lines: int
    defects: Counter[str]
    samples: list[Reject]


class Chunk(NamedTuple):
    """All ratings of some users, by user and movie, as little-endian arrays.

    Attributes:
        users: int32, ids, ascending.
        starts: int64 [users + 1], where each user's ratings begin.
        movies: int32, ids.
        halves: uint8, half stars.
    """

    users: bytes
    starts: bytes
    movies: bytes
    halves: bytes


class ChunkStatistics(NamedTuple):
    """Counts of a chunk, and the split reports that arrived with its ratings.

    Attributes:
        users: how many.
        left_out: ratings beyond the limit per user.
        rated: int32, ids of the rated movies.
        raters: int64, per movie.
        squares: int64, per movie the sum of its squared ratings, in half stars.
        split_reports: of some splits.
    """

    users: int
    left_out: int
    rated: bytes
    raters: bytes
    squares: bytes
    split_reports: list[SplitReport]


@dataclass(frozen=True)
class RatingTable:
    """Ratings as three columns.

    Attributes:
        users: int32, ids.
        movies: int32, ids.
        halves: uint8, half stars.
    """

    users: np.ndarray
    movies: np.ndarray
    halves: np.ndarray

    def where(self, which: np.ndarray) -> "RatingTable":
        """Some of the ratings, given by a mask."""
        return RatingTable(self.users[which], self.movies[which], self.halves[which])

    def totals_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of raters of each movie and the sum of its squared ratings, int64 each.

        Args:
            ids: of the movies, int32, in any order.
        """
        place = places_in(ids, self.movies)
        known = place >= 0
        at, halves = place[known], self.halves[known].astype(np.int64)
        squares = np.bincount(at, halves**2, ids.size)  # integers, far below 2⁵³
        return np.bincount(at, minlength=ids.size), squares.astype(np.int64)


def unpacked(chunk: Chunk) -> list[np.ndarray]:
    """The arrays of a chunk."""
    kinds = np.int32, np.int64, np.int32, np.uint8
    return [np.frombuffer(each, kind) for each, kind in zip(chunk, kinds, strict=True)]


def split_rows(part_of: np.ndarray, parts: int) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of each part, in their order; a part without rows is left out."""
    order = np.argsort(part_of.astype(np.uint16 if parts < 2**16 else np.int32), kind="stable")
    ends = np.cumsum(np.bincount(part_of, minlength=parts))
    for part, end in enumerate(ends):
        mine = order[ends[part - 1] if part else 0 : end]
        if mine.size:
            yield part, mine


def pack_users(
    received: Iterable[SplitRatings | SplitReport], most: int | None
) -> Iterator[Chunk | ChunkStatistics]:
    """Pack all ratings of a part of the users as one chunk and its statistics.

    Args:
        received: from all splits.
        most: most ratings that count per user, the latest ones; None for all.
    """
    everything = list(received)
    split_reports = [each for each in everything if isinstance(each, SplitReport)]
    by_split = sorted(each for each in everything if isinstance(each, SplitRatings))
    users, movies, halves, times = _latest(by_split)
    unique = users.size
    if most is not None:
        kept = _latest_of_user(users, movies, times, most)
        users, movies, halves = users[kept], movies[kept], halves[kept]
    begins = np.flatnonzero(np.append(True, users[1:] != users[:-1])[: users.size])
    starts = np.append(begins, users.size).astype(np.int64)
    rated, raters, squares = _totals(movies, halves)
    if users.size:
        arrays = users[begins].astype(np.int32), starts, movies, halves
        yield Chunk(*(array.tobytes() for array in arrays))
    yield ChunkStatistics(
        begins.size,
        unique - users.size,
        rated.astype(np.int32).tobytes(),
        raters.astype(np.int64).tobytes(),
        squares.astype(np.int64).tobytes(),
        split_reports,
    )


def _latest(by_split: list[SplitRatings]) -> tuple[np.ndarray, ...]:
    """The latest rating per user and movie: users, movies, half stars, times; by user and movie.

    Args:
        by_split: in the order of the splits.
    """
    kinds = {"users": np.int32, "movies": np.int32, "halves": np.uint8, "times": np.int64}
    users, movies, halves, times = (
        np.concatenate(
            [np.empty(0, kind), *(np.frombuffer(getattr(each, name), kind) for each in by_split)]
        )
        for name, kind in kinds.items()
    )
    keys = users.astype(np.int64) << 32 | movies
    if np.all(keys[1:] > keys[:-1]):  # MovieLens files are sorted like this
        return users, movies, halves, times
    # Stable: with equal users, movies and times, the later line comes last and counts.
    order = np.lexsort((times, keys))
    keys = keys[order]
    order = order[np.append(keys[1:] != keys[:-1], True)]
    return users[order], movies[order], halves[order], times[order]


def _latest_of_user(
    users: np.ndarray, movies: np.ndarray, times: np.ndarray, most: int
) -> np.ndarray:
    """Which ratings are among their user's `most` latest; of equal times the larger movie ids win.

    Args:
        users: ascending.
        movies: ids.
        times: of the ratings.
        most: at least 1.
    """
    order = np.lexsort((-movies, -times, users))  # users stay in place
    begins = np.flatnonzero(np.append(True, users[1:] != users[:-1])[: users.size])
    place = np.arange(users.size) - np.repeat(begins, np.diff(np.append(begins, users.size)))
    kept = np.zeros(users.size, bool)
    kept[order[place < most]] = True
    return kept


def _totals(ids: np.ndarray, halves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct ids, ascending, how often each occurs, and the sums of squared half stars.

    Sorts only if the ids are sparse.
    """
    weights = halves.astype(np.float64) ** 2  # integers; doubles hold their sums exactly
    if ids.max(initial=0) > 4 * ids.size:
        rated, place, counts = np.unique(ids, return_inverse=True, return_counts=True)
        return rated, counts, np.bincount(place, weights, rated.size)
    counts = np.bincount(ids)
    rated = np.flatnonzero(counts)
    return rated, counts[rated], np.bincount(ids, weights, counts.size)[rated]
