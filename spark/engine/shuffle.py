"""The cells on Spark: ratings are shuffled to cells, the cells' lists to ranges of movies.

A task owns one cell. Its ratings arrive as packed chunks of whole users. One pass over the cells
serves all measures of pairs. Measures that rank movies in another way need the sums of the popular
movies again, so a cell also writes those to files (pair_sums.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from pyspark import RDD, SparkContext

from spark.engine.blocks import Blocks, CellRatings, split_by_cell
from spark.engine.cells import (
    PAIRS,
    CellLists,
    CellPlan,
    HeldOutCellRatings,
    PairCount,
    WorkerScores,
    compute_cell,
    no_scores,
)
from spark.engine.ranking import round_all
from spark.engine.top_k import NeighbourLists, merge_top_k
from spark.ingest.chunks import Chunk, ChunkStatistics, split_rows, unpacked
from spark.ingest.ratings import Ratings
from spark.parquet import write_empty
from spark.runtime.broadcast import broadcast

# Selects users: their ids and numbers of ratings → bool.
type UserSelection = Callable[[np.ndarray, np.ndarray], np.ndarray]


class ToCell(NamedTuple):
    """Ratings on their way to a cell.

    Attributes:
        cell: its number, which is also that of the partition.
        ratings: what the cell needs of some users.
    """

    cell: int
    ratings: CellRatings | HeldOutCellRatings


class ToPartition(NamedTuple):
    """A result of a cell on its way to a partition; see `ResultPartitions`.

    Attributes:
        partition: its number.
        result: neighbours of a range of movies, or a number of pairs.
    """

    partition: int
    result: "RangeLists | int"


class RangeLists(NamedTuple):
    """Neighbours of the movies of one range.

    Attributes:
        measure: by which they are neighbours.
        lists: by movie and rank.
    """

    measure: str
    lists: NeighbourLists


@dataclass(frozen=True)
class ResultPartitions:
    """The partitions for the results of cells.

    Each range of movies has one partition for its published lists and one for its hold-out lists.
    The last partition receives the numbers of pairs.

    Attributes:
        range_starts: int32, the ids with which the ranges of movies begin, ascending.
    """

    range_starts: np.ndarray

    @property
    def published(self) -> range:
        """The partitions of the published lists, in the order of the ranges."""
        return range(self.range_starts.size)

    @property
    def held_out(self) -> range:
        """The partitions of the hold-out lists, in the order of the ranges."""
        return range(self.range_starts.size, 2 * self.range_starts.size)

    @property
    def pair_counts(self) -> int:
        """The partition of the numbers of pairs."""
        return 2 * self.range_starts.size

    @property
    def count(self) -> int:
        """How many partitions there are."""
        return self.pair_counts + 1

    def route(self, results: Iterable[PairCount | CellLists]) -> Iterator[ToPartition]:
        """Send the results of a cell to their partitions."""
        for each in results:
            if isinstance(each, PairCount):
                yield ToPartition(self.pair_counts, each.pairs)
            else:
                partitions = self.held_out if each.is_held_out else self.published
                for number, lists in by_range(each.lists, self.range_starts):
                    yield ToPartition(partitions[number], RangeLists(each.measure, lists))


@dataclass(frozen=True)
class CellResults:
    """What the pass over the cells found, and what was ranked beside it.

    Attributes:
        pairs: how many pairs were found.
        partitions: the layout of `lists`.
        lists: of all tasks; read it with `best_neighbours`.
    """

    pairs: int
    partitions: ResultPartitions
    lists: RDD[Any]


def compute_cells(
    ratings: Ratings,
    plan: CellPlan,
    range_starts: np.ndarray,
    is_held_out: UserSelection | None = None,
    rank_beside: Callable[[int], Iterable[CellLists]] | None = None,
) -> CellResults:
    """Compare all movies: write the pairs as Parquet and collect each cell's best neighbours.

    Each cell writes its own file of pairs. The name depends only on the cell, so a second attempt
    replaces what the first one wrote. The pairs never pass through the JVM, which would cost more
    than all the rest.

    Args:
        ratings: packed.
        plan: its pairs have the same integers and doubles, and the same columns, as those of
            `self_join.similarities`.
        range_starts: int32, the ids with which ranges of movies begin, ascending.
        is_held_out: selects the users whose ratings are marked as held out; None for no user.
        rank_beside: also ranks the movies of a range, given its number, without ratings.
    """
    if plan.output:
        write_empty(PAIRS, f"{plan.output}/none.parquet")  # in case there are no pairs at all
    cells, partitions = len(plan.blocks.cells), ResultPartitions(range_starts)
    # These tasks come after those of the cells: they keep the cores busy that have no cell left.
    beside = range_starts.size if rank_beside else 0
    to_cells = _shuffle_to_cells(ratings, plan.blocks, is_held_out, cells + beside)
    one_pass = to_cells.context.applicationId, to_cells.id()

    def compute(number: int, received: Iterable[tuple[int, Any]]) -> Iterator[ToPartition]:
        if rank_beside and number >= cells:
            return partitions.route(rank_beside(number - cells))
        to_cell = (each for _, each in received)
        scores = scores_of(one_pass, plan)
        return partitions.route(compute_cell(number, to_cell, plan, scores))

    found = to_cells.mapPartitionsWithIndex(compute)
    lists = found.partitionBy(partitions.count, _itself)
    pairs = sum(lists.context.runJob(lists.values(), _themselves, [partitions.pair_counts]))
    return CellResults(pairs, partitions, lists)


def _shuffle_to_cells(
    ratings: Ratings, blocks: Blocks, is_held_out: UserSelection | None, partitions: int
) -> RDD[Any]:
    """Send each cell the ratings that it needs.

    Args:
        ratings: packed.
        blocks: of movies.
        is_held_out: see `compute_cells`.
        partitions: how many; the first are the cells by number, the others are empty.
    """

    def split(packed: Iterable[Chunk | ChunkStatistics]) -> Iterator[ToCell]:
        for chunk in packed:
            if isinstance(chunk, Chunk):
                yield from _split_chunk(chunk, blocks, is_held_out)

    return ratings.packed.mapPartitions(split).partitionBy(partitions, _itself)


def _split_chunk(
    chunk: Chunk, blocks: Blocks, is_held_out: UserSelection | None
) -> Iterator[ToCell]:
    """Split a chunk of users by cell; held-out users come last."""
    users, starts, movies, halves = unpacked(chunk)
    counts = np.diff(starts)
    held_out = np.zeros(users.size, bool) if is_held_out is None else is_held_out(users, counts)
    if not held_out.any():
        for cell, ratings in split_by_cell(starts, movies, halves, blocks):
            yield ToCell(cell, ratings)
        return
    for some in (~held_out, held_out):
        rows, ends = np.repeat(some, counts), np.cumsum(counts[some])
        for cell, ratings in split_by_cell(np.append(0, ends), movies[rows], halves[rows], blocks):
            yield ToCell(cell, HeldOutCellRatings(ratings) if some is held_out else ratings)


_scores: dict[tuple[str, int], WorkerScores] = {}  # in a worker, of the pass that it works on


def scores_of(one_pass: tuple[str, int], plan: CellPlan) -> WorkerScores:
    """What this worker knows from the earlier cells of a pass.

    Args:
        one_pass: the Spark application, and the number of the RDD with the cells' ratings.
        plan: of the pass.
    """
    if one_pass not in _scores:
        _scores.clear()
        _scores[one_pass] = no_scores(plan)
    return _scores[one_pass]


def best_neighbours(
    results: CellResults, count: int, others: Mapping[str, tuple[NeighbourLists, int]] | None = None
) -> RDD[Any]:
    """The best neighbours of each movie by each measure, from the lists of all cells.

    Args:
        results: from `compute_cells`.
        count: most neighbours per movie.
        others: lists that were not found in the cells, with evidence; and how many neighbours per
            movie to keep of each.

    Returns:
        The partitions of `ResultPartitions`. Each list partition holds its own number and, by name
        of the measure, the neighbour lists: sorted by movie, then score, then co-raters, then the
        smaller id.
    """
    more: dict[int, list[RangeLists]] = {}
    counts = {measure: most for measure, (_, most) in (others or {}).items()}
    for measure, (rows, _) in (others or {}).items():
        for number, lists in by_range(rows, results.partitions.range_starts):
            more.setdefault(number, []).append(RangeLists(measure, lists))
    shared = broadcast(results.lists.context, more)

    def merge(
        partition: int, received: Iterable[RangeLists]
    ) -> Iterator[tuple[int, dict[str, NeighbourLists]]]:
        by_measure: dict[str, list[NeighbourLists]] = {}
        for measure, lists in chain(received, shared().get(partition, ())):
            by_measure.setdefault(measure, []).append(lists)
        merged = {
            name: merge_top_k(each, counts.get(name, count)) for name, each in by_measure.items()
        }
        for name, lists in merged.items():
            if name != "cosine":  # only the cosine is exact, so it keeps all its digits
                round_all(lists.scores)
                round_all(lists.cosines)
        yield partition, merged

    return results.lists.values().mapPartitionsWithIndex(merge)


def collect_partitions(rdd: RDD[Any], partitions: range) -> list[Any]:
    """The elements of some partitions of an RDD; the other partitions are not computed."""
    return rdd.context.runJob(rdd, _themselves, list(partitions))


def by_range(
    lists: NeighbourLists, range_starts: np.ndarray
) -> Iterator[tuple[int, NeighbourLists]]:
    """Split lists by range of movies; a range without any neighbour is left out."""
    changes = np.flatnonzero(lists.movies[1:] != lists.movies[:-1]) + 1
    begins = np.append(0, changes)[: lists.movies.size]
    of_movies = ranges_of(lists.movies[begins], range_starts)
    ranges = np.repeat(of_movies, np.diff(begins, append=lists.movies.size))
    for number, rows in split_rows(ranges, range_starts.size):
        yield number, lists.where(rows)


def ranges_of(movies: np.ndarray, range_starts: np.ndarray) -> np.ndarray:
    """The number of the range of each movie.

    Args:
        movies: ids.
        range_starts: see `compute_cells`.
    """
    return np.searchsorted(range_starts, movies, side="right") - 1


def cell_memory(context: SparkContext) -> int:
    """The memory for the sums of a cell, in bytes.

    A third of a Python worker's share of the memory outside the JVM, if Spark's settings say how
    much that is; otherwise an eighth of the JVM's memory per core.
    """
    conf = context.getConf()
    size, share = conf.get("spark.executor.memoryOverhead"), 3
    if size is None:
        size = conf.get("spark.executor.memory") or conf.get("spark.driver.memory") or "1g"
        share = 8
    java: Any = context._jvm
    bytes_ = java.org.apache.spark.network.util.JavaUtils.byteStringAsBytes(size)
    cores = int(conf.get("spark.executor.cores", "1"))
    return max(2**26, min(2**29, bytes_ // cores // share))


def _itself(key: int) -> int:
    return key


def _themselves(elements: Iterable[Any]) -> Iterable[Any]:
    return elements
