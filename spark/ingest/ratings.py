"""Reads a ratings file on Spark into packed chunks of whole users; see chunks.py."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pyspark import RDD, SparkContext, StorageLevel

from spark.contracts.movielens import OPTIONAL, Layout
from spark.ingest.chunks import (
    Chunk,
    ChunkStatistics,
    SplitRatings,
    SplitReport,
    pack_users,
    split_rows,
    unpacked,
)
from spark.ingest.lines import read_split
from spark.ingest.rejects import SAMPLES, LineReport, Reject, write_rejects
from spark.ingest.scan import scan
from spark.storage import child

BYTES_PER_RATING = 20  # of text, to estimate the number of ratings
RATINGS_PER_PART = 4_000_000  # that a task holds at once: about 100 MB
SPLIT_BYTES = 64 * 2**20  # of text that a task reads


class ToUsers(NamedTuple):
    """Something on its way to a part of the users.

    Attributes:
        part: number of the part, which is that of the partition.
        content: ratings of users of that part, or the report on a split.
    """

    part: int
    content: SplitRatings | SplitReport


@dataclass(frozen=True)
class Ratings:
    """All ratings that count, and the report on the lines.

    Attributes:
        packed: persisted; chunks, and the statistics of each.
        line_report: on the file.
        samples: the first rejected lines.
        movies: int32, ids of the rated movies, ascending.
        raters: int64, per movie.
        squares: int64, per movie the sum of its squared ratings, in half stars.
        users: how many.
        left_out: ratings beyond the limit per user.
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
        """How many ratings count."""
        return int(self.raters.sum())


def read_ratings(
    context: SparkContext,
    folder: str,
    layout: Layout,
    size: int,
    output: str,
    most: int | None = None,
) -> Ratings:
    """Read a ratings file in one pass; the tasks that find malformed lines store them.

    Args:
        context: the Spark context.
        folder: URI of the data set.
        layout: of the ratings file.
        size: of the ratings file, in bytes.
        output: the run's prefix, for the rejected lines.
        most: most ratings that count per user, the latest ones; None for all.
    """
    cores = context.defaultParallelism
    parts = _task_count(size / BYTES_PER_RATING / RATINGS_PER_PART, cores)
    splits = _task_count(size / SPLIT_BYTES, cores)
    edges = [size * split // splits for split in range(splits + 1)]
    scanned = context.parallelize(range(splits), splits).mapPartitions(
        _scanner(folder, layout, edges, parts, output)
    )
    return _pack(scanned, parts, most)


def transposed(ratings: Ratings) -> Ratings:
    """The same ratings with users and movies exchanged."""
    parts = ratings.packed.getNumPartitions()

    def transpose(packed: Iterable[Chunk | ChunkStatistics]) -> Iterator[ToUsers]:
        for source, chunk in enumerate(each for each in packed if isinstance(each, Chunk)):
            users, starts, movies, halves = unpacked(chunk)
            of = np.repeat(users, np.diff(starts))
            for part, mine in split_rows(movies % parts, parts):
                arrays = movies[mine], of[mine], halves[mine], np.zeros(mine.size, np.int64)
                yield ToUsers(part, SplitRatings(source, *(array.tobytes() for array in arrays)))

    return _pack(ratings.packed.mapPartitions(transpose), parts, None)


def _task_count(least: float, cores: int) -> int:
    """The number of tasks, at least `least`, that keeps all cores busy to the end."""
    return max(1, math.ceil(least / cores)) * cores


def _scanner(
    folder: str, layout: Layout, edges: list[int], parts: int, output: str
) -> Callable[[Iterable[int]], Iterator[ToUsers]]:
    def scan_task(splits: Iterable[int]) -> Iterator[ToUsers]:
        """Scan the lines of a split and send each part of the users its ratings."""
        for source in splits:
            text = read_split(child(folder, layout.file), edges[source], edges[source + 1])
            found = scan(text, layout, is_start=source == 0)
            del text
            if found.rejects:
                write_rejects(output, layout.file, source, found.rejects)
            defects = Counter(reject.defect for reject in found.rejects)
            report = SplitReport(source, found.lines, defects, found.rejects[:SAMPLES])
            yield ToUsers(source % parts, report)
            times = found.times
            if layout.place(OPTIONAL) is None:  # the order of the lines stands for them
                times = (source << 32) + np.arange(times.size)
            arrays = found.users, found.movies, found.halves, times
            for part, mine in split_rows(found.users % parts, parts):
                ratings = SplitRatings(source, *(array[mine].tobytes() for array in arrays))
                yield ToUsers(part, ratings)

    return scan_task


def _pack(to_users: RDD[Any], parts: int, most: int | None) -> Ratings:
    """Bring each user's ratings together and count them."""
    by_user = to_users.partitionBy(parts, _itself).values()

    def pack(received: Iterable[SplitRatings | SplitReport]) -> Iterator[Chunk | ChunkStatistics]:
        return pack_users(received, most)

    packed: RDD[Any] = by_user.mapPartitions(pack).persist(StorageLevel.MEMORY_AND_DISK)
    statistics = packed.filter(lambda each: isinstance(each, ChunkStatistics)).collect()
    return _sum_up(packed, statistics)


def _sum_up(packed: RDD[Any], statistics: list[ChunkStatistics]) -> Ratings:
    """The packed ratings with the totals of all chunks."""
    reports = sorted(report for each in statistics for report in each.split_reports)
    movies = np.concatenate([np.frombuffer(each.rated, np.int32) for each in statistics])
    ids, place = np.unique(movies, return_inverse=True)

    def total(counted: list[bytes]) -> np.ndarray:
        totals = np.zeros(ids.size, np.int64)
        np.add.at(totals, place, np.frombuffer(b"".join(counted), np.int64))
        return totals

    defects = sum((report.defects for report in reports), Counter())
    return Ratings(
        packed=packed,
        line_report=LineReport(
            sum(report.lines for report in reports), dict(sorted(defects.items()))
        ),
        samples=[reject for report in reports for reject in report.samples][:SAMPLES],
        movies=ids,
        raters=total([each.raters for each in statistics]),
        squares=total([each.squares for each in statistics]),
        users=sum(each.users for each in statistics),
        left_out=sum(each.left_out for each in statistics),
    )


def _itself(key: int) -> int:
    return key
