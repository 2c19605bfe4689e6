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

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from entries import BLOCK_MOVIES, ENTRY_BITS, HALVES_BITS, MAX_RATERS
from kernel_cache import compiled
from movielens import DatasetError
from parquet import write_parquet
from ratings import Ratings

SUM_BYTES = 16  # of one pair of movies: four 32-bit sums
CELLS_PER_CORE = 3  # so that cores end together
PAIRS_PER_BATCH = 2**17  # 3 MB, which fit into a cache on their way to the JVM

CHUNK = {"starts": np.int64, "movies": np.int32, "halves": np.uint8}
ROWS = {"row_lengths": np.uint16, "row_entries": np.uint16}
COLUMNS = {"column_lengths": np.uint16, "column_entries": np.uint16}
CELL_SCHEMA = pa.schema([("cell", pa.int32()), *((name, pa.binary()) for name in ROWS | COLUMNS)])
CELL_DDL = ", ".join(["cell int", *(f"{name} binary" for name in ROWS | COLUMNS)])
PACKED = {"movies": np.int32, "neighbours": np.int32, "scores": np.float64, "numbers": np.int32}
CANDIDATES = pa.schema(
    [("bucket", pa.int32()), ("pairs", pa.int64()), *((name, pa.binary()) for name in PACKED)]
)
CANDIDATES_DDL = ", ".join(["bucket int", "pairs long", *(f"{name} binary" for name in PACKED)])
NEIGHBOURS = pa.schema(
    [
        ("movie_id", pa.int32()),
        ("neighbour_id", pa.int32()),
        ("score", pa.float64()),
        ("co_raters", pa.int64()),
        ("rank", pa.int32()),
        ("pairs", pa.int64()),
    ]
)
NEIGHBOURS_DDL = (
    "movie_id int, neighbour_id int, score double, co_raters long, rank int, pairs long"
)
PAIRS = pa.schema(
    [("movie1", pa.int32()), ("movie2", pa.int32()), ("numPairs", pa.int64())]
    + [(name, pa.float64()) for name in ("sum_xy", "sum_xx", "sum_yy", "score")]
)

type Batches = Iterator[pa.RecordBatch]


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
    ratings: Ratings, blocks: Blocks, rules: Rules, output: str, partitions: int
) -> DataFrame:
    """Compare all movies: writes the pairs as Parquet and gives each movie's best neighbours.

    Both come from one pass over the cells. A cell writes its pairs itself, a file of its own whose
    name depends on nothing but the cell: a second attempt replaces what the first has left. They
    never pass through the JVM, which would cost more than everything else.

    Args:
        ratings: packed.
        blocks: from `choose_blocks` with the same `min_co_raters`.
        rules: what to keep.
        output: URI of the folder for the pairs: the same pairs, integers and doubles as
            `self_join.similarities` has, in its columns.
        partitions: of the result.

    Returns:
        `movie_id`, `neighbour_id` (int), `score` (double), `co_raters` (long), `rank` (int from 1);
        and, on a row for each cell with all of these null, `pairs` (long).
    """
    cells = ratings.chunks.mapInArrow(_dealer(blocks), CELL_DDL)
    own = cells.repartitionById(len(blocks.cells), F.col("cell"))
    candidates = own.mapInArrow(_computer(blocks, rules, output, partitions), CANDIDATES_DDL)
    by_movie = candidates.repartitionById(partitions, F.col("bucket"))
    return by_movie.mapInArrow(_chooser(rules.neighbours), NEIGHBOURS_DDL)


def _dealer(blocks: Blocks) -> Callable[[Batches], Batches]:
    def deal(batches: Batches) -> Batches:
        """Cut each chunk of users into blocks and send to each cell what it needs of them."""
        for row in (row for batch in batches for row in batch.to_pylist()):
            lengths, parts = cut(*_arrays(row, CHUNK), blocks)
            for cell, (i, j) in enumerate(blocks.cells):
                # Only users who have a pair in the cell.
                here = (lengths[i] > 0) & (lengths[j] > (1 if i == j else 0))
                if here.any():
                    own = lengths[i][here], parts[i][np.repeat(here, lengths[i])]
                    other = lengths[j][here], parts[j][np.repeat(here, lengths[j])]
                    yield _cell_row(cell, *own, *(other if i != j else (None, None)))

    return deal


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


def _cell_row(cell: int, *packed: np.ndarray | None) -> pa.RecordBatch:
    values = [None if array is None else array.tobytes() for array in packed]
    arrays = [pa.array([cell], pa.int32()), *(pa.array([each], pa.binary()) for each in values)]
    return pa.RecordBatch.from_arrays(arrays, schema=CELL_SCHEMA)


def _arrays(row: dict, columns: dict[str, type]) -> list[np.ndarray]:
    """The arrays that binary columns of a row hold."""
    return [np.frombuffer(row[name], kind) for name, kind in columns.items()]


def _computer(
    blocks: Blocks, rules: Rules, output: str, buckets: int
) -> Callable[[Batches], Batches]:
    def compute_cell(batches: Batches) -> Batches:
        """Sum up one cell over all chunks; write its pairs; give its movies' best neighbours."""
        kernel = compiled("kernel")
        sums = None
        for row in (row for batch in batches for row in batch.to_pylist()):
            i, j = blocks.cells[row["cell"]]
            if sums is None:
                ids = blocks.ids_of(i), blocks.ids_of(j)
                sums = np.zeros((ids[0].size, 4, ids[1].size), np.int32)
            own = _arrays(row, ROWS)
            other = own if i == j else _arrays(row, COLUMNS)
            kernel.add_pairs(*own, *other, i == j, kernel.WORDS, sums)
        if sums is None:
            return
        best = kernel.no_best(ids[0].size + (ids[1].size if i != j else 0), rules.neighbours)
        kept = _kept(kernel, sums, ids, rules, best, ids[0].size if i != j else 0)
        pairs = write_parquet(kept, PAIRS, f"{output}/cell-{i:04d}-{j:04d}.parquet")
        yield _batch(CANDIDATES, bucket=[0], pairs=[pairs])
        yield from _candidates(np.concatenate(ids) if i != j else ids[0], best, buckets)

    return compute_cell


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


def _candidates(ids: np.ndarray, best: tuple[np.ndarray, ...], buckets: int) -> Batches:
    """What a cell found, packed by bucket of movies."""
    sizes, scores, numbers, neighbours = best
    found = np.arange(scores.shape[1]) < sizes[:, None]
    movies = np.repeat(ids, sizes)
    columns = (movies, neighbours[found], scores[found], numbers[found])
    bucket_of = movies % buckets
    for bucket in range(buckets):
        mine = bucket_of == bucket
        packed = (array[mine].tobytes() for array in columns)
        yield _batch(
            CANDIDATES, bucket=[bucket], **{n: [p] for n, p in zip(PACKED, packed, strict=True)}
        )


def _chooser(count: int) -> Callable[[Batches], Batches]:
    def choose(batches: Batches) -> Batches:
        """Of what all cells found for a bucket of movies, the best of each."""
        kernel = compiled("kernel")
        rows = [row for batch in batches for row in batch.to_pylist()]
        for row in rows:
            if row["pairs"] is not None:
                yield _batch(NEIGHBOURS, pairs=[row["pairs"]])
        found = [_arrays(row, PACKED) for row in rows if row["movies"]]
        if not found:
            return
        movies, neighbours, scores, numbers = map(np.concatenate, zip(*found, strict=True))
        ids, of = np.unique(movies, return_inverse=True)
        best = kernel.no_best(ids.size, count)
        kernel.offer_all(best, of, scores, numbers, neighbours)
        sizes, scores, numbers, neighbours = best
        kept = np.arange(count) < sizes[:, None]
        owner, others = np.repeat(ids, sizes), neighbours[kept]
        order = np.lexsort((others, -numbers[kept], -scores[kept], owner))
        yield _batch(
            NEIGHBOURS,
            movie_id=owner,
            neighbour_id=others[order],
            score=scores[kept][order],
            co_raters=numbers[kept][order],
            rank=1 + np.arange(owner.size) - np.repeat(np.cumsum(sizes) - sizes, sizes),
        )

    return choose


def _batch(schema: pa.Schema, **columns) -> pa.RecordBatch:
    """A batch of a schema; columns that are not given are null."""
    count = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def cell_memory(spark: SparkSession) -> int:
    """What the sums of a cell may take: an eighth of an executor's memory per core, in bytes."""
    conf = spark.sparkContext.getConf()
    size = conf.get("spark.executor.memory") or conf.get("spark.driver.memory") or "1g"
    bytes_ = spark._jvm.org.apache.spark.network.util.JavaUtils.byteStringAsBytes(size)
    cores = int(conf.get("spark.executor.cores", "1"))
    return max(2**26, min(2**29, bytes_ // cores // 8))
