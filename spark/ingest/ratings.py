"""The ratings file as packed chunks: whole users, each (user, movie) once, the latest rating."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pyspark import RDD, SparkContext, StorageLevel

from spark.contracts.movielens import Format
from spark.engine.compiled_code import compile_ahead, compiled
from spark.ingest.lines import read_split
from spark.ingest.rejects import SAMPLES, LineReport, Reject
from spark.output.results import write_rejects
from spark.storage import child

BYTES_PER_RATING = 20  # of text, to guess how many there are
RATINGS_PER_PART = 4_000_000  # what a task holds at once: 100 MB or so
SPLIT_BYTES = 64 * 2**20  # of text that a task reads


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
    """What was said of the lines of a split.

    Attributes:
        source: number of the split.
        lines: of data, rejected ones included.
        defects: rejected lines per kind of defect.
        samples: the first of them.
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
    """What there is in a chunk, and the split_reports that came with it.

    Attributes:
        users: how many.
        left_out: ratings beyond the most that count of a user.
        rated: int32, the ids of the rated movies.
        raters: int64, how many of the users rated each.
        squares: int64, the sum of their ratings' squares, in half stars.
        split_reports: of splits.
    """

    users: int
    left_out: int
    rated: bytes
    raters: bytes
    squares: bytes
    split_reports: list[SplitReport]


@dataclass(frozen=True)
class Ratings:
    """All ratings that count, and what was said of the lines.

    Attributes:
        packed: persisted; chunks, and a census of each.
        line_report: of the lines.
        samples: the first rejected lines.
        movies: int32, the ids of the rated movies, ascending.
        raters: int64, how many users rated each.
        squares: int64, the sum of their ratings' squares, in half stars.
        users: how many there are.
        left_out: ratings beyond the most that count of a user.
    """

    packed: RDD[Any]
    line_report: LineReport
    samples: list[Reject]
    movies: np.ndarray
    raters: np.ndarray
    squares: np.ndarray
    users: int
    left_out: int

    @property
    def count(self) -> int:
        """How many ratings there are."""
        return int(self.raters.sum())


def read_ratings(
    context: SparkContext,
    folder: str,
    format: Format,
    size: int,
    output: str,
    most: int | None = None,
) -> Ratings:
    """Read a ratings file in one pass: scan its lines, bring users together, keep the latest.

    Of equal times the later line counts. Rejected lines are written where they are met.

    Args:
        context: Spark's.
        folder: URI of the data set.
        format: of the data set.
        size: of the ratings file, in bytes.
        output: the run's prefix, for the rejected lines.
        most: of a user with more ratings only so many count, the latest; all if not given.
    """
    cores = context.defaultParallelism
    parts = _shared(size / BYTES_PER_RATING / RATINGS_PER_PART, cores)
    splits = _shared(size / SPLIT_BYTES, cores)
    edges = [size * split // splits for split in range(splits + 1)]
    scanned = context.parallelize(range(splits), splits).mapPartitions(
        _scanner(folder, format, edges, parts, output)
    )
    by_user = scanned.partitionBy(parts, _itself).values()
    packed = by_user.mapPartitions(_packer(most)).persist(StorageLevel.MEMORY_AND_DISK)
    return _summed_up(packed)


def transposed(ratings: Ratings) -> Ratings:
    """The same ratings with movies for users and users for movies."""
    parts = ratings.packed.getNumPartitions()

    def transpose(packed: Iterable[Chunk | ChunkStatistics]) -> Iterator[tuple[int, SplitRatings]]:
        for source, chunk in enumerate(each for each in packed if isinstance(each, Chunk)):
            users, starts, movies, halves = unpacked(chunk)
            of = np.repeat(users, np.diff(starts))
            for part, mine in _dealt(movies % parts, parts):
                arrays = movies[mine], of[mine], halves[mine], np.zeros(mine.size, np.int64)
                yield part, SplitRatings(source, *(array.tobytes() for array in arrays))

    by_movie = ratings.packed.mapPartitions(transpose).partitionBy(parts, _itself).values()
    return _summed_up(by_movie.mapPartitions(_packer(None)).persist(StorageLevel.MEMORY_AND_DISK))


def unpacked(chunk: Chunk) -> list[np.ndarray]:
    """The arrays of a chunk."""
    kinds = np.int32, np.int64, np.int32, np.uint8
    return [np.frombuffer(each, kind) for each, kind in zip(chunk, kinds, strict=True)]


def _dealt(part_of: np.ndarray, parts: int) -> Iterator[tuple[int, np.ndarray]]:
    """Which rows go to each part that gets any, in their order."""
    order = np.argsort(part_of.astype(np.uint16 if parts < 2**16 else np.int32), kind="stable")
    ends = np.cumsum(np.bincount(part_of, minlength=parts))
    for part, end in enumerate(ends):
        mine = order[ends[part - 1] if part else 0 : end]
        if mine.size:
            yield part, mine


def _shared(least: float, cores: int) -> int:
    """The number of tasks, at least `least`, that keeps all cores busy to the end."""
    return max(1, math.ceil(least / cores)) * cores


def _itself(key: int) -> int:
    return key


def _summed_up(packed: RDD[Any]) -> Ratings:
    censuses: list[ChunkStatistics] = packed.filter(
        lambda each: isinstance(each, ChunkStatistics)
    ).collect()
    split_reports = sorted(
        split_report for census in censuses for split_report in census.split_reports
    )
    movies = np.concatenate([np.frombuffer(census.rated, np.int32) for census in censuses])
    ids, place = np.unique(movies, return_inverse=True)

    def total(counted: list[bytes]) -> np.ndarray:
        totals = np.zeros(ids.size, np.int64)
        np.add.at(totals, place, np.frombuffer(b"".join(counted), np.int64))
        return totals

    defects = sum((split_report.defects for split_report in split_reports), Counter())
    return Ratings(
        packed=packed,
        line_report=LineReport(
            sum(split_report.lines for split_report in split_reports), dict(sorted(defects.items()))
        ),
        samples=[reject for split_report in split_reports for reject in split_report.samples][
            :SAMPLES
        ],
        movies=ids,
        raters=total([census.raters for census in censuses]),
        squares=total([census.squares for census in censuses]),
        users=sum(census.users for census in censuses),
        left_out=sum(census.left_out for census in censuses),
    )


def _scanner(
    folder: str, format: Format, edges: list[int], parts: int, output: str
) -> Callable[[Iterable[int]], Iterator[tuple[int, SplitRatings | SplitReport]]]:
    def scan_task(splits: Iterable[int]) -> Iterator[tuple[int, SplitRatings | SplitReport]]:
        """Scan the lines of a split, then send each part of the users its ratings."""
        scan = compiled("spark.ingest.scan", meanwhile="spark.engine.kernel").scan
        for source in splits:
            text = read_split(child(folder, format.ratings), edges[source], edges[source + 1])
            found = scan(text, format, is_start=source == 0)
            del text
            if found.rejects:
                write_rejects(output, format.ratings, source, found.rejects)
            defects = Counter(reject.defect for reject in found.rejects)
            yield source % parts, SplitReport(source, found.lines, defects, found.rejects[:SAMPLES])
            arrays = found.users, found.movies, found.halves, found.times
            for part, mine in _dealt(found.users % parts, parts):
                yield part, SplitRatings(source, *(array[mine].tobytes() for array in arrays))
        compile_ahead("spark.engine.kernel")

    return scan_task


def _packer(
    most: int | None,
) -> Callable[[Iterable[SplitRatings | SplitReport]], Iterator[Chunk | ChunkStatistics]]:
    def pack_users(
        found: Iterable[SplitRatings | SplitReport],
    ) -> Iterator[Chunk | ChunkStatistics]:
        """All ratings of a part of the users as one chunk, and a census of it."""
        everything = list(found)
        split_reports = [each for each in everything if isinstance(each, SplitReport)]
        pieces = sorted(each for each in everything if isinstance(each, SplitRatings))
        users, movies, halves, times = _latest(pieces)
        unique = users.size
        if most is not None:
            kept = _latest_of_user(users, movies, times, most)
            users, movies, halves = users[kept], movies[kept], halves[kept]
        begins = np.flatnonzero(np.append(True, users[1:] != users[:-1])[: users.size])
        starts = np.append(begins, users.size).astype(np.int64)
        rated, raters, squares = _counted(movies, halves)
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

    return pack_users


def _latest_of_user(
    users: np.ndarray, movies: np.ndarray, times: np.ndarray, most: int
) -> np.ndarray:
    """Which ratings are among their user's `most` latest; of equal times the larger movie ids are.

    Args:
        users: ascending.
        movies: ids.
        times: of the ratings.
        most: at least 1.
    """
    order = np.lexsort((-movies, -times, users))  # users stay where they are
    begins = np.flatnonzero(np.append(True, users[1:] != users[:-1])[: users.size])
    place = np.arange(users.size) - np.repeat(begins, np.diff(np.append(begins, users.size)))
    kept = np.zeros(users.size, bool)
    kept[order[place < most]] = True
    return kept


def _counted(ids: np.ndarray, halves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which ids there are, ascending, how often each, and the sums of their half stars' squares.

    By sorting only where the ids are sparse.
    """
    weights = halves.astype(np.float64) ** 2  # whole numbers, of which doubles hold every sum
    if ids.max(initial=0) > 4 * ids.size:
        rated, place, counts = np.unique(ids, return_inverse=True, return_counts=True)
        return rated, counts, np.bincount(place, weights, rated.size)
    counts = np.bincount(ids)
    rated = np.flatnonzero(counts)
    return rated, counts[rated], np.bincount(ids, weights, counts.size)[rated]


def _latest(pieces: list[SplitRatings]) -> tuple[np.ndarray, ...]:
    """Users, movies, half stars and times of the latest rating of each user and movie, by both.

    Args:
        pieces: in the order of their lines.
    """
    kinds = {"users": np.int32, "movies": np.int32, "halves": np.uint8, "times": np.int64}
    users, movies, halves, times = (
        np.concatenate(
            [np.empty(0, kind), *(np.frombuffer(getattr(piece, name), kind) for piece in pieces)]
        )
        for name, kind in kinds.items()
    )
    keys = users.astype(np.int64) << 32 | movies
    if np.all(keys[1:] > keys[:-1]):  # as MovieLens comes
        return users, movies, halves, times
    # Stable: of equal users, movies and times the later line comes last, and counts.
    order = np.lexsort((times, keys))
    keys = keys[order]
    order = order[np.append(keys[1:] != keys[:-1], True)]
    return users[order], movies[order], halves[order], times[order]
