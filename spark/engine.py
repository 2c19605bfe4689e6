"""Item-item similarity at full scale: cells of a triangle of movie blocks, exact.

The movies with enough raters, by falling popularity, are dealt to B blocks in turn, so that blocks
are alike in work. A task owns one of the B(B+1)/2 pairs of blocks and the sums of its pairs of
movies, which is all that it keeps: its memory does not depend on how many ratings there are. Those
come as a stream of chunks of whole users, packed, each to the B cells of its block. kernel.py has
the arithmetic.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark import RDD, SparkContext, StorageLevel

from entries import BLOCK_MOVIES, ENTRY_BITS, HALVES_BITS, MAX_RATERS
from kernel_cache import compiled
from movielens import DatasetError
from parquet import write_parquet
from ratings import Census, Chunk, Ratings, unpacked

SUM_BYTES = 16  # of one pair of movies: four 32-bit sums
CELLS_PER_CORE = 3  # so that cores end together
# What a cell takes in at once: more does not stay in a cache, less sweeps the sums more often.
SHARE_BYTES = 2**22
PAIRS_PER_BATCH = 2**17  # 3 MB, which fit into a cache

PAIRS = pa.schema(
    [("movie1", pa.int32()), ("movie2", pa.int32()), ("numPairs", pa.int64())]
    + [(name, pa.float64()) for name in ("sum_xy", "sum_xx", "sum_yy", "score")]
)


class Share(NamedTuple):
    """What a cell needs of a chunk of users, as little-endian arrays of 16 bits.

    Attributes:
        row_lengths: how many ratings of the row block each user has.
        row_entries: those ratings, by user, ascending; see entries.py.
        column_lengths: the same of the column block; empty on the diagonal.
        column_entries: the same.
    """

    row_lengths: bytes
    row_entries: bytes
    column_lengths: bytes = b""
    column_entries: bytes = b""


class Best(NamedTuple):
    """Neighbours of movies, one row for each.

    Attributes:
        movies: int32, ids.
        neighbours: int32, ids.
        scores: float64.
        co_raters: int32.
    """

    movies: np.ndarray
    neighbours: np.ndarray
    scores: np.ndarray
    co_raters: np.ndarray


@dataclass(frozen=True)
class Rules:
    """What is kept.

    Attributes:
        min_co_raters: pairs with fewer common users are left out; at least 1.
        min_score: pairs with a lower score are left out.
        neighbours: at most so many of each movie.
    """

    min_co_raters: int
    min_score: float
    neighbours: int


@dataclass(frozen=True)
class Blocks:
    """Which movies are compared, and how they are dealt out.

    Attributes:
        ids: int32, the movies with enough raters, by falling popularity; the place in it is the
            movie's rank, rank % count its block and rank // count its place there.
        count: how many blocks there are.
    """

    ids: np.ndarray
    count: int

    @property
    def cells(self) -> list[tuple[int, int]]:
        """The pairs of blocks, the one of most work first."""
        pairs = [(i, j) for i in range(self.count) for j in range(i, self.count)]
        return sorted(pairs, key=lambda pair: pair[0] == pair[1])

    def ids_of(self, block: int) -> np.ndarray:
        """The movies of a block."""
        return np.ascontiguousarray(self.ids[block :: self.count])


def choose_blocks(ratings: Ratings, min_co_raters: int, count: int) -> Blocks:
    """Deal the movies with at least `min_co_raters` raters to blocks.

    Args:
        ratings: packed.
        min_co_raters: a movie with fewer raters can be in no pair.
        count: of blocks; more are made where these would be too large.

    Raises:
        DatasetError: a movie has more raters than the sums of a cell can hold.
    """
    if ratings.raters.max(initial=0) > MAX_RATERS:
        raise DatasetError(f"a movie has more than {MAX_RATERS} ratings: the sums would overflow")
    enough = ratings.raters >= min_co_raters
    ids, raters = ratings.movies[enough], ratings.raters[enough]
    by_popularity = np.lexsort((ids, -raters))
    return Blocks(ids[by_popularity], max(1, count, math.ceil(ids.size / BLOCK_MOVIES)))


def block_count(movies: int, cores: int, cell_bytes: int) -> int:
    """The least number of blocks that keeps cores busy and a cell's sums within memory.

    Args:
        movies: to be compared.
        cores: that work at once.
        cell_bytes: what the sums of a cell may take.
    """
    for_cores = math.ceil((math.sqrt(1 + 8 * CELLS_PER_CORE * cores) - 1) / 2)
    side = min(BLOCK_MOVIES, math.isqrt(cell_bytes // SUM_BYTES))
    return max(1, min(for_cores, movies), math.ceil(movies / side))


def compute(
    ratings: Ratings, blocks: Blocks, rules: Rules, output: str | None, first: np.ndarray
) -> tuple[int, RDD]:
    """Compare all movies: writes the pairs as Parquet and gives what each cell found best.

    Both come from one pass over the cells. A cell writes its pairs itself, a file of its own whose
    name depends on nothing but the cell: a second attempt replaces what the first has left. They
    never pass through the JVM, which would cost more than everything else.

    Args:
        ratings: packed.
        blocks: from `choose_blocks` with the same `min_co_raters`.
        rules: what to keep.
        output: absolute URI of the folder for the pairs: the same pairs, integers and doubles as
            `self_join.similarities` has, in its columns. None to write none of them.
        first: int32, the ids with which ranges of movies begin, ascending.

    Returns:
        How many pairs there are, and for `best_of`, by number of the range, what cells found.
    """
    if output:
        write_parquet(iter(()), PAIRS, f"{output}/none.parquet")  # there may be no pairs at all
    shares = ratings.packed.mapPartitions(_dealer(blocks))
    own = shares.partitionBy(len(blocks.cells), _itself)
    found = own.mapPartitions(_computer(blocks, rules, output, first))
    found = found.persist(StorageLevel.MEMORY_AND_DISK)
    pairs = sum(found.filter(lambda each: each[0] < 0).values().collect())
    return pairs, found.filter(lambda each: each[0] >= 0)


def best_of(found: RDD, ranges: int, count: int) -> RDD:
    """The best neighbours of each movie, from what all cells found.

    Args:
        found: from `compute`.
        ranges: of movies, how many.
        count: at most so many neighbours of each movie.

    Returns:
        The number of each range and its `Best`, by movie and rank: by score, then co-raters, then
        the smaller id.
    """

    def choose(number: int, found: Iterator[Best]) -> Iterator[tuple[int, Best]]:
        yield number, _choose(list(found), count)

    return found.partitionBy(ranges, _itself).values().mapPartitionsWithIndex(choose)


def _itself(key: int) -> int:
    return key


def _dealer(blocks: Blocks) -> Callable[[Iterator[Chunk | Census]], Iterator[tuple[int, Share]]]:
    def deal(packed: Iterator[Chunk | Census]) -> Iterator[tuple[int, Share]]:
        """Cut each chunk of users into blocks and send to each cell what it needs of them."""
        for chunk in packed:
            if not isinstance(chunk, Chunk):
                continue
            _, starts, movies, halves = unpacked(chunk)
            lengths, parts = cut(starts, movies, halves, blocks)
            for cell, (i, j) in enumerate(blocks.cells):
                # Only users who have a pair in the cell.
                here = (lengths[i] > 0) & (lengths[j] > (1 if i == j else 0))
                if here.any():
                    needed = [
                        array.tobytes()
                        for block in ((i,) if i == j else (i, j))
                        for array in (
                            lengths[block][here],
                            parts[block][np.repeat(here, lengths[block])],
                        )
                    ]
                    yield cell, Share(*needed)

    return deal


def _arrays(packed: tuple[bytes, ...], *kinds: type) -> list[np.ndarray]:
    return [np.frombuffer(each, kind) for each, kind in zip(packed, kinds, strict=True)]


def cut(
    starts: np.ndarray, movies: np.ndarray, halves: np.ndarray, blocks: Blocks
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Cut the ratings of some users into blocks; what is in no block is left out.

    Args:
        starts: where each user's ratings begin, int64 [users + 1].
        movies: ids, int32.
        halves: half stars, uint8.
        blocks: of movies.

    Returns:
        How many entries each user has in each block, uint16 [blocks, users], and of each block the
        entries, uint16, by user, ascending.
    """
    by_id = np.argsort(blocks.ids)
    ids = blocks.ids[by_id]
    place = np.searchsorted(ids, movies)
    place[place == ids.size] = 0
    known = ids[place] == movies if ids.size else np.zeros(movies.size, bool)
    rank = by_id[place[known]]
    users = starts.size - 1
    run = rank % blocks.count * users + np.repeat(np.arange(users), np.diff(starts))[known]
    entry = rank // blocks.count << HALVES_BITS | halves[known]
    lengths = np.bincount(run, minlength=blocks.count * users).reshape(blocks.count, users)
    # Sorting values is many times faster than finding the order of values, so all is in them.
    entries = (np.sort(run << ENTRY_BITS | entry) & (2**ENTRY_BITS - 1)).astype(np.uint16)
    ends = np.cumsum(lengths.sum(axis=1))
    return lengths.astype(np.uint16), np.split(entries, ends[:-1])


def _computer(
    blocks: Blocks, rules: Rules, output: str | None, first: np.ndarray
) -> Callable[[Iterator[tuple[int, Share]]], Iterator[tuple[int, Best | int]]]:
    def compute_cell(shares: Iterator[tuple[int, Share]]) -> Iterator[tuple[int, Best | int]]:
        """Sum up one cell over all chunks; write its pairs; give its movies' best neighbours."""
        kernel = compiled("kernel")
        sums = None
        for cell, share in _joined(shares):
            i, j = blocks.cells[cell]
            if sums is None:
                ids = blocks.ids_of(i), blocks.ids_of(j)
                sums = np.zeros((ids[0].size, 4, ids[1].size), np.int32)
            arrays = _arrays(share, *[np.uint16] * 4)
            own, other = arrays[:2], arrays[:2] if i == j else arrays[2:]
            kernel.add_pairs(*own, *other, i == j, sums)
        if sums is None:
            return
        best = kernel.no_best(ids[0].size + (ids[1].size if i != j else 0), rules.neighbours)
        kept = _kept(kernel, sums, ids, rules, best, ids[0].size if i != j else 0)
        if output:
            yield -1, write_parquet(kept, PAIRS, f"{output}/cell-{i:04d}-{j:04d}.parquet")
        else:
            yield -1, sum(batch.num_rows for batch in kept)
        yield from _by_range(np.concatenate(ids) if i != j else ids[0], best, first)

    return compute_cell


def _joined(shares: Iterator[tuple[int, Share]]) -> Iterator[tuple[int, Share]]:
    """The same shares of one cell, small ones joined."""
    cell, waiting, size = 0, [], 0
    for cell, share in shares:
        if waiting and size + sum(map(len, share)) > SHARE_BYTES:
            yield cell, Share(*map(b"".join, zip(*waiting, strict=True)))
            waiting, size = [], 0
        waiting.append(share)
        size += sum(map(len, share))
    if waiting:
        yield cell, Share(*map(b"".join, zip(*waiting, strict=True)))


def _kept(kernel, sums, ids, rules: Rules, best, first_column: int) -> Iterator[pa.RecordBatch]:
    """The pairs of a cell that pass, which are offered to the best as well."""
    least = rules.min_co_raters, rules.min_score
    size = max(PAIRS_PER_BATCH, ids[1].size)
    row = 0
    while row < ids[0].size:
        integers, doubles = np.empty((3, size), np.int32), np.empty((4, size))
        row, kept = kernel.keep_pairs(sums, *ids, least, row, integers, doubles, best, first_column)
        one, two, n = integers[:, :kept]
        yield pa.RecordBatch.from_arrays(
            [pa.array(each) for each in (one, two, n.astype(np.int64), *doubles[:, :kept])],
            schema=PAIRS,
        )


def _by_range(
    ids: np.ndarray, best: tuple[np.ndarray, ...], first: np.ndarray
) -> Iterator[tuple[int, Best]]:
    """What a cell found, by range of movies."""
    rows = _rows(ids, best)
    range_of = np.searchsorted(first, rows.movies, side="right") - 1
    for number in np.unique(range_of).tolist():
        mine = range_of == number
        yield number, Best(*(column[mine] for column in rows))


def _rows(ids: np.ndarray, best: tuple[np.ndarray, ...]) -> Best:
    """The heaps of some movies as rows, by movie and in no order else."""
    sizes, scores, numbers, neighbours = best
    kept = np.arange(scores.shape[1]) < sizes[:, None]
    return Best(np.repeat(ids, sizes), neighbours[kept], scores[kept], numbers[kept])


def _choose(found: list[Best], count: int) -> Best:
    """Of what all cells found for a range of movies, the best of each."""
    kernel = compiled("kernel")
    kinds = np.int32, np.int32, np.float64, np.int32
    movies, neighbours, scores, numbers = (
        np.concatenate([np.empty(0, kind), *columns])
        for kind, columns in zip(
            kinds, zip(*found, strict=True) if found else [()] * 4, strict=True
        )
    )
    ids, of = np.unique(movies, return_inverse=True)
    best = kernel.no_best(ids.size, count)
    kernel.offer_all(best, of, scores, numbers, neighbours)
    rows = _rows(ids, best)
    order = np.lexsort((rows.neighbours, -rows.co_raters, -rows.scores, rows.movies))
    return Best(*(column[order] for column in rows))


def cell_memory(context: SparkContext) -> int:
    """What the sums of a cell may take: an eighth of an executor's memory per core, in bytes."""
    conf = context.getConf()
    size = conf.get("spark.executor.memory") or conf.get("spark.driver.memory") or "1g"
    bytes_ = context._jvm.org.apache.spark.network.util.JavaUtils.byteStringAsBytes(size)
    cores = int(conf.get("spark.executor.cores", "1"))
    return max(2**26, min(2**29, bytes_ // cores // 8))
