"""Item-item similarity at full scale: cells of a triangle of movie blocks, exact.

The movies with enough raters, by falling popularity, are dealt to B blocks in turn, so that blocks
are alike in work. A task owns one of the B(B+1)/2 pairs of blocks and the sums of its pairs of
movies, which is all that it keeps: its memory does not depend on how many ratings there are. Those
come as a stream of chunks of whole users, packed, each to the B cells of its block. kernel.py has
the arithmetic.

What a cell has summed up serves all measures of pairs at once (measures.py). Measures that rank
movies in another way need the sums of the popular movies once more: as a whole, and for their
neighbours, each of which comes with its co-raters and their cosine. So a cell leaves those in a
file.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark import RDD, SparkContext

from spark.contracts.movielens import DatasetError
from spark.engine.broadcast import broadcast
from spark.engine.compiled_code import compile_ahead, compiled
from spark.engine.entries import BLOCK_MOVIES, ENTRY_BITS, HALVES_BITS, MAX_RATERS
from spark.engine.pair_sums import KINDS, read_sums, write_sums
from spark.engine.threads import in_threads
from spark.engine.top_k import NeighbourLists, concatenate, merge_top_k, sorted_lists
from spark.ingest.ratings import Chunk, ChunkStatistics, Ratings, unpacked
from spark.measures.registry import PairMeasure, Pairs, cosine
from spark.parquet import write_empty, write_parquet
from spark.self_evaluation.held_out import are_held_out
from spark.storage import child, list_files

SUM_BYTES = 16  # of one pair of movies: four 32-bit sums
CELLS_PER_CORE = 3  # so that cores end together
# What a cell takes in at once: more does not stay in a cache, less sweeps the sums more often.
BATCH_BYTES = 2**22
PAIRS_PER_BATCH = 2**17  # 3 MB, which fit into a cache
TILE_MOVIES = 256  # rows and columns whose scores are computed at once: half a MB, for the same

PAIRS = pa.schema(
    [("movie1", pa.int32()), ("movie2", pa.int32()), ("numPairs", pa.int64())]
    + [(name, pa.float64()) for name in ("sum_xy", "sum_xx", "sum_yy", "score")]
)


class CellRatings(NamedTuple):
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


class HeldOutCellRatings(NamedTuple):
    """What a cell needs of users who are held out."""

    share: CellRatings


class PairSumStore(NamedTuple):
    """Sums that cells leave in files, see sums.py.

    Attributes:
        folder: absolute URI.
        limit: those of so many of the most popular movies.
    """

    folder: str
    limit: int

    def shape(self, blocks: "Blocks", i: int, j: int) -> tuple[int, int]:
        """How many row movies and how many column movies of a cell have their sums there."""
        return blocks.popular(i, self.limit), blocks.popular(j, self.limit)


class CellResults(NamedTuple):
    """What came of the pass over the cells.

    Attributes:
        pairs: how many were written.
        lists: of cells, a measure's name and a `Best`: of each range of movies in the partition of
            its number, and in as many partitions behind them what was learnt in a hold_out, without
            the users who are held out. Read with `best_of`.
    """

    pairs: int
    lists: RDD[Any]


@dataclass(frozen=True)
class Thresholds:
    """What is kept.

    Attributes:
        min_co_raters: pairs with fewer common users are left out; at least 1.
        min_score: pairs with a lower score are left out.
        neighbours: at most so many of each movie.
        measures: of pairs, beside the cosine, which alone the two thresholds are for.
    """

    min_co_raters: int
    min_score: float
    neighbours: int
    measures: Mapping[str, PairMeasure] = field(default_factory=dict)


@dataclass(frozen=True)
class Blocks:
    """Which movies are compared, and how they are dealt out.

    Attributes:
        ids: int32, the movies with enough raters, by falling popularity; the place in it is the
            movie's rank, rank % count its block and rank // count its place there.
        raters: int64, of each movie.
        squares: int64, of each movie the sum of its ratings' squares, in half stars.
        count: how many blocks there are.
    """

    ids: np.ndarray
    raters: np.ndarray
    squares: np.ndarray
    count: int

    @property
    def cells(self) -> list[tuple[int, int]]:
        """The pairs of blocks, the one of most work range_starts."""
        pairs = [(i, j) for i in range(self.count) for j in range(i, self.count)]
        return sorted(pairs, key=lambda pair: pair[0] == pair[1])

    def ids_of(self, block: int) -> np.ndarray:
        """The movies of a block."""
        return np.ascontiguousarray(self.ids[block :: self.count])

    def popular(self, block: int, limit: int) -> int:
        """How many movies of a block, the range_starts ones, are among the `limit` most popular."""
        return len(range(block, min(limit, self.ids.size), self.count))


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
    known = ratings.movies[enough], ratings.raters[enough], ratings.squares[enough]
    by_popularity = np.lexsort((known[0], -known[1]))
    least = math.ceil(by_popularity.size / BLOCK_MOVIES)
    ids, raters, squares = (each[by_popularity] for each in known)
    return Blocks(ids, raters, squares, max(1, count, least))


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


@dataclass(frozen=True)
class HoldOutPass:
    """Lists that are taken from the sums before the users who are held out are added.

    Attributes:
        movies: int32, ids of those whose lists are wanted.
        blocks: of all movies, with raters and squares of everybody else.
        thresholds: what is kept of them.
    """

    movies: np.ndarray
    blocks: Blocks
    thresholds: Thresholds


def shuffle_to_cells(ratings: Ratings, blocks: Blocks, hash_bound: int = 0) -> RDD[Any]:
    """Cut all ratings into what each cell needs: partition and key are the cell's number.

    Args:
        ratings: packed.
        blocks: of movies.
        hash_bound: from `held_out.hash_bound_for`; the shares of users who are held out come apart.
    """
    shares = ratings.packed.mapPartitions(_dealer(blocks, hash_bound))
    return shares.partitionBy(len(blocks.cells), _itself)


def compute(
    dealt: RDD[Any],
    blocks: Blocks,
    thresholds: Thresholds,
    output: str | None,
    range_starts: np.ndarray,
    hold_out: HoldOutPass | None = None,
    kept: PairSumStore | None = None,
) -> CellResults:
    """Compare all movies: writes the pairs as Parquet and gives what each cell found best.

    Both come from one pass over the cells. A cell writes its pairs itself, a file of its own whose
    name depends on nothing but the cell: a second attempt replaces what the first has left. They
    never pass through the JVM, which would cost more than everything else.

    Args:
        dealt: from `shuffle_to_cells`.
        blocks: from `choose_blocks` with the same `min_co_raters`.
        thresholds: what to keep.
        output: absolute URI of the folder for the pairs: the same pairs, integers and doubles as
            `self_join.similarities` has, in its columns. None to write none of them.
        range_starts: int32, the ids with which ranges of movies begin, ascending.
        hold_out: what is to be learnt without the held-out users; `dealt` must know of them.
        kept: which sums are to stay, and where.
    """
    if output:
        write_empty(PAIRS, f"{output}/none.parquet")  # there may be no pairs at all
    told = 2 * range_starts.size  # the partition behind those of the lists
    computer = _computer(blocks, thresholds, output, range_starts, hold_out, kept)
    found = dealt.mapPartitions(computer).partitionBy(told + 1, _itself)
    pairs = sum(found.context.runJob(found.values(), _themselves, [told]))
    return CellResults(pairs, found)


def cells_left(kept: PairSumStore, blocks: Blocks) -> Iterator[tuple[int, int, str]]:
    """The cells that have left sums, by their two blocks, and where; in the others are no pairs."""
    there = list_files(kept.folder)
    for i, j in blocks.cells:
        if f"{_name_of(i, j)}.{KINDS[0]}" in there:
            yield i, j, child(kept.folder, _name_of(i, j))


def attach_evidence(
    found: Sequence[NeighbourLists], blocks: Blocks, kept: PairSumStore
) -> NeighbourLists:
    """Complete neighbours that were found otherwise: co-raters and cosine, from the cells' sums.

    Args:
        found: neighbours by one measure, whose last two columns are of no account; of movies among
            the `kept.limit` most popular.
        blocks: of the movies that were compared.
        kept: what `compute` has left.

    Returns:
        All of them, by movie; those of a movie as they were.
    """
    rows, by_id = concatenate(found), np.argsort(blocks.ids)
    rank = np.stack([_ranks(ids, blocks, by_id) for ids in (rows.movies, rows.neighbours)])
    # As cells have them: the lower block's movie first, on the diagonal the better known one.
    side = math.ceil(blocks.ids.size / blocks.count)
    pairs = np.sort(rank % blocks.count * side + rank // blocks.count, axis=0)
    (i, j), (row, column) = np.divmod(pairs, side)
    sums = np.zeros((len(KINDS), rows.movies.size), np.int32)

    def fill(cell: tuple[int, int, str]) -> None:
        one, other, uri = cell
        mine = np.flatnonzero((i == one) & (j == other))
        shape = kept.shape(blocks, one, other)
        for kind, into in zip(KINDS, sums, strict=True):
            for down, right, band in read_sums(uri, kind, shape, one == other):
                here = mine[(row[mine] >= down.start) & (row[mine] < down.stop)]
                into[here] = band[row[here] - down.start, column[here] - right.start]

    list(in_threads(fill, cells_left(kept, blocks)))
    n, xy, xx, yy = sums
    with np.errstate(invalid="ignore"):
        return rows._replace(co_raters=n, cosines=cosine(Pairs(n, xy, xx, yy, (n, n), (n, n))))


def best_of(
    found: CellResults,
    range_starts: np.ndarray,
    count: int,
    known: Mapping[str, NeighbourLists] | None = None,
) -> RDD[Any]:
    """The best neighbours of each movie by each measure, from what all cells found.

    Args:
        found: of `compute`.
        range_starts: see there.
        count: at most so many neighbours of each movie.
        known: of other measures, from `attach_evidence`.

    Returns:
        In the partitions of `CellResults.lists`, the number of the partition and, by name of the
        measure, its neighbours, by movie and rank: by score, then co-raters, then the smaller id.
    """
    more: dict[int, list[tuple[str, NeighbourLists]]] = {}
    for measure, rows in (known or {}).items():
        for number, some in _by_range(measure, rows, range_starts):
            more.setdefault(number, []).append(some)
    shared = broadcast(found.lists.context, more)

    def choose(
        number: int, found: Iterable[tuple[str, NeighbourLists]]
    ) -> Iterator[tuple[int, dict[str, NeighbourLists]]]:
        by_measure: dict[str, list[NeighbourLists]] = {}
        for measure, best in chain(found, shared().get(number, ())):
            by_measure.setdefault(measure, []).append(best)
        lists = {name: merge_top_k(each, count) for name, each in by_measure.items()}
        for name, best in lists.items():
            if name != "cosine":  # which alone is exact, and is told so
                compiled("spark.engine.ranking").round_all(best.scores)
                compiled("spark.engine.ranking").round_all(best.cosines)
        yield number, lists

    return found.lists.values().mapPartitionsWithIndex(choose)


def collected(rdd: RDD[Any], partitions: range) -> list[Any]:
    """What some partitions of an RDD have; the others are not computed."""
    return rdd.context.runJob(rdd, _themselves, list(partitions))


def _itself(key: int) -> int:
    return key


def _themselves(elements: Iterable[Any]) -> Iterable[Any]:
    return elements


def _dealer(
    blocks: Blocks, hash_bound: int
) -> Callable[
    [Iterable[Chunk | ChunkStatistics]], Iterator[tuple[int, CellRatings | HeldOutCellRatings]]
]:
    def shuffle_to_cells(
        packed: Iterable[Chunk | ChunkStatistics],
    ) -> Iterator[tuple[int, CellRatings | HeldOutCellRatings]]:
        """Cut each chunk of users into blocks and send to each cell what it needs of them."""
        for chunk in packed:
            if not isinstance(chunk, Chunk):
                continue
            users, starts, movies, halves = unpacked(chunk)
            counts = np.diff(starts)
            held_out = are_held_out(users, counts, hash_bound)
            if not held_out.any():
                yield from _shares(starts, movies, halves, blocks)
                continue
            for some in (~held_out, held_out):
                rows, ends = np.repeat(some, counts), np.cumsum(counts[some])
                mine = np.append(0, ends), movies[rows], halves[rows]
                for cell, share in _shares(*mine, blocks):
                    yield cell, HeldOutCellRatings(share) if some is held_out else share

    return shuffle_to_cells


def _shares(
    starts: np.ndarray, movies: np.ndarray, halves: np.ndarray, blocks: Blocks
) -> Iterator[tuple[int, CellRatings]]:
    """What each cell needs of some users; see `split_by_block`."""
    lengths, parts = split_by_block(starts, movies, halves, blocks)
    for cell, (i, j) in enumerate(blocks.cells):
        # Only users who have a pair in the cell.
        here = (lengths[i] > 0) & (lengths[j] > (1 if i == j else 0))
        if here.any():
            needed = [
                array.tobytes()
                for block in ((i,) if i == j else (i, j))
                for array in (lengths[block][here], parts[block][np.repeat(here, lengths[block])])
            ]
            yield cell, CellRatings(*needed)


def _arrays(packed: tuple[bytes, ...], *kinds: type) -> list[np.ndarray]:
    return [np.frombuffer(each, kind) for each, kind in zip(packed, kinds, strict=True)]


def split_by_block(
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
    blocks: Blocks,
    thresholds: Thresholds,
    output: str | None,
    range_starts: np.ndarray,
    hold_out: HoldOutPass | None,
    kept: PairSumStore | None,
) -> Callable[[Iterable[tuple[int, CellRatings | HeldOutCellRatings]]], Iterator[tuple[int, Any]]]:
    def compute_cell(
        shares: Iterable[tuple[int, CellRatings | HeldOutCellRatings]],
    ) -> Iterator[tuple[int, Any]]:
        """Sum up one cell; write its pairs; give its movies' best neighbours by each measure."""
        kernel = compiled("spark.engine.kernel")
        if thresholds.measures:
            compile_ahead("spark.engine.ranking")
        held_out: list[tuple[int, CellRatings]] = []

        def others() -> Iterator[tuple[int, CellRatings]]:
            for cell, each in shares:
                if isinstance(each, HeldOutCellRatings):
                    held_out.append((cell, each.share))
                else:
                    yield cell, each

        cell, sums = _summed(kernel, others(), blocks)
        if hold_out and sums is not None:
            for number, each in _tried(kernel, sums, cell, hold_out, range_starts):
                yield range_starts.size + number, each
        if held_out:
            cell, sums = _summed(kernel, iter(held_out), blocks, sums)
        if sums is None:
            return
        i, j = blocks.cells[cell]
        ids = blocks.ids_of(i), blocks.ids_of(j)
        of, first_column = _of_cell(ids, i == j)
        best = kernel.empty_top_k(of.size, thresholds.neighbours)
        passed = _passed(kernel, sums, ids, thresholds, best, first_column)
        if output:
            yield (
                2 * range_starts.size,
                write_parquet(passed, PAIRS, f"{output}/{_name_of(i, j)}.parquet"),
            )
        else:
            yield 2 * range_starts.size, sum(batch.num_rows for batch in passed)
        yield from _by_range("cosine", sorted_lists(of, best), range_starts)
        for name, rows in ranked(sums, blocks, cell, thresholds):
            yield from _by_range(name, rows, range_starts)
        if kept and kept.limit:
            uri = child(kept.folder, _name_of(i, j))
            write_sums(sums, kept.shape(blocks, i, j), i == j, uri)

    return compute_cell


def _summed(
    kernel: ModuleType,
    shares: Iterator[tuple[int, CellRatings]],
    blocks: Blocks,
    sums: np.ndarray | None = None,
) -> tuple[int, np.ndarray | None]:
    """The number of a cell and its sums, added to those given; none where it has no share."""
    cell = 0
    for cell, share in _joined(shares):
        i, j = blocks.cells[cell]
        if sums is None:
            sums = np.zeros((blocks.ids_of(i).size, 4, blocks.ids_of(j).size), np.int32)
        arrays = _arrays(share, *[np.uint16] * 4)
        own, other = arrays[:2], arrays[:2] if i == j else arrays[2:]
        kernel.add_pairs(*own, *other, i == j, sums)
    return cell, sums


def _tried(
    kernel: ModuleType, sums: np.ndarray, cell: int, hold_out: HoldOutPass, range_starts: np.ndarray
) -> Iterator[tuple[int, tuple[str, NeighbourLists]]]:
    """The lists that a hold_out wants of a cell, by range."""
    i, j = hold_out.blocks.cells[cell]
    ids = hold_out.blocks.ids_of(i), hold_out.blocks.ids_of(j)
    of, first_column = _of_cell(ids, i == j)
    best = kernel.empty_top_k(of.size, hold_out.thresholds.neighbours)
    for _ in _passed(kernel, sums, ids, hold_out.thresholds, best, first_column):
        pass  # but for what is offered to the best
    lists = [
        ("cosine", sorted_lists(of, best)),
        *ranked(sums, hold_out.blocks, cell, hold_out.thresholds),
    ]
    for name, rows in lists:
        mine = np.isin(rows.movies, hold_out.movies)
        yield from _by_range(name, NeighbourLists(*(column[mine] for column in rows)), range_starts)


def ranked(
    sums: np.ndarray, blocks: Blocks, cell: int, thresholds: Thresholds
) -> Iterator[tuple[str, NeighbourLists]]:
    """The best neighbours of a cell's movies by each measure of pairs beside the cosine.

    Args:
        sums: of the cell, from `kernel.add_pairs`.
        blocks: of movies; their `raters` and `squares` are those of the users that are summed up.
        cell: its number.
        thresholds: what to keep.
    """
    if not thresholds.measures:
        return
    kernel, ranking = compiled("spark.engine.kernel"), compiled("spark.engine.ranking")
    i, j = blocks.cells[cell]
    ids = blocks.ids_of(i), blocks.ids_of(j)
    of, first_column = _of_cell(ids, i == j)
    bests = {
        name: kernel.empty_top_k(of.size, thresholds.neighbours) for name in thresholds.measures
    }
    for row, column, tile, pairs in _tiles(sums, blocks, i, j):
        down, right = (slice(at, at + TILE_MOVIES) for at in (row, column))
        of_tile = tile, ids[0][down], ids[1][right], row, first_column + column
        for name, measure in thresholds.measures.items():
            with np.errstate(divide="ignore", invalid="ignore"):  # no co-raters, no number
                scores = measure(pairs)
            ranking.offer_scores(scores, *of_tile, bests[name])
    for name, best in bests.items():
        yield name, sorted_lists(of, best)


def _name_of(i: int, j: int) -> str:
    """The name of a cell's files, which depends on nothing else: another attempt replaces it."""
    return f"cell-{i:04d}-{j:04d}"


def _of_cell(ids: tuple[np.ndarray, np.ndarray], same: bool) -> tuple[np.ndarray, int]:
    """The movies of a cell, rows and then columns, each once; where the columns begin."""
    return (ids[0], 0) if same else (np.concatenate(ids), ids[0].size)


def _tiles(
    sums: np.ndarray, blocks: Blocks, i: int, j: int
) -> Iterator[tuple[int, int, np.ndarray, Pairs]]:
    """Some row and column movies at a time: the range_starts of either, their sums, as pairs too.

    First those of about the same popularity, then the best known: there most measures find the best
    neighbours, and what is offered after those is seldom taken.
    """

    def known(block: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        mine = slice(block, None, blocks.count)
        raters, squares = (each[mine].astype(float) for each in (blocks.raters, blocks.squares))
        return raters.reshape(shape), squares.reshape(shape)

    raters, squares = zip(known(i, (-1, 1)), known(j, (1, -1)), strict=True)
    starts = [
        (row, column)
        for row in range(0, sums.shape[0], TILE_MOVIES)
        for column in range(0, sums.shape[2], TILE_MOVIES)
        if i != j or column >= row  # on the diagonal the rest is empty
    ]
    for row, column in sorted(starts, key=lambda start: (start[0] != start[1], min(start))):
        down, right = slice(row, row + TILE_MOVIES), slice(column, column + TILE_MOVIES)
        tile = np.ascontiguousarray(sums[down, :, right])  # always: numba compiles by that
        of = ((each[0][down], each[1][:, right]) for each in (raters, squares))
        yield row, column, tile, Pairs(*np.moveaxis(tile, 1, 0), *of)


def _ranks(ids: np.ndarray, blocks: Blocks, by_id: np.ndarray) -> np.ndarray:
    """The ranks of some movies, all of which are in a block; `by_id` sorts the blocks' movies."""
    return by_id[np.searchsorted(blocks.ids, ids, sorter=by_id)]


def _joined(shares: Iterator[tuple[int, CellRatings]]) -> Iterator[tuple[int, CellRatings]]:
    """The same shares of one cell, small ones concatenate."""
    waiting: list[CellRatings] = []
    cell, size = 0, 0
    for cell, share in shares:
        if waiting and size + sum(map(len, share)) > BATCH_BYTES:
            yield cell, CellRatings(*map(b"".join, zip(*waiting, strict=True)))
            waiting, size = [], 0
        waiting.append(share)
        size += sum(map(len, share))
    if waiting:
        yield cell, CellRatings(*map(b"".join, zip(*waiting, strict=True)))


def _passed(
    kernel: ModuleType,
    sums: np.ndarray,
    ids: tuple[np.ndarray, np.ndarray],
    thresholds: Thresholds,
    best: tuple[np.ndarray, ...],
    first_column: int,
) -> Iterator[pa.RecordBatch]:
    """The pairs of a cell that pass, which are offered to the best as well."""
    least = thresholds.min_co_raters, thresholds.min_score
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
    measure: str, rows: NeighbourLists, range_starts: np.ndarray
) -> Iterator[tuple[int, tuple[str, NeighbourLists]]]:
    """Neighbours by a measure, by range of movies."""
    range_of = np.searchsorted(range_starts, rows.movies, side="right") - 1
    for number in np.flatnonzero(np.bincount(range_of)).tolist():
        mine = range_of == number
        yield number, (measure, NeighbourLists(*(column[mine] for column in rows)))


def cell_memory(context: SparkContext) -> int:
    """What the sums of a cell may take, in bytes.

    A third of what a Python worker has beside the JVM, where Spark was told how much that is; else
    an eighth of the JVM's memory per core.
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
