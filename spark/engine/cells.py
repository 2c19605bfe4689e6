"""The work of one cell: sum up its pairs of movies, write them, rank them. Imports no Spark.

A cell keeps only the sums of its pairs of movies, so its memory does not depend on the number of
ratings: those arrive as a stream. kernel.py has the arithmetic.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark import arrow
from spark.engine import kernel, ranking
from spark.engine.blocks import Blocks, CellRatings, cell_name
from spark.engine.pair_sums import NO_STORE, PairSumStore
from spark.engine.pairs import PairMeasure, Pairs
from spark.engine.top_k import NeighbourLists, sorted_lists
from spark.parquet import write_parquet
from spark.runtime.places import places_in

# Ratings that a cell adds at once: more would not stay in a cache, fewer sweep the sums more often.
BATCH_BYTES = 2**22
PAIRS_PER_BATCH = 2**17  # 3 MB, which fit into a cache
TILE_MOVIES = 256  # rows and columns that are scored at once: half a MB, which fits into a cache

PAIRS = pa.schema(
    [("movie1", pa.int32()), ("movie2", pa.int32()), ("numPairs", pa.int64())]
    + [(name, pa.float64()) for name in ("sum_xy", "sum_xx", "sum_yy", "score")]
)


class HeldOutCellRatings(NamedTuple):
    """Ratings for a cell from users who are held out of the hold-out pass."""

    ratings: CellRatings


@dataclass(frozen=True)
class Thresholds:
    """Which pairs and neighbours are kept.

    Attributes:
        min_co_raters: pairs with fewer common users are dropped; at least 1.
        min_score: pairs with a lower cosine are dropped.
        neighbours: most neighbours per movie.
        measures: measures of pairs besides the cosine. The two thresholds apply to the cosine only.
    """

    min_co_raters: int
    min_score: float
    neighbours: int
    measures: Mapping[str, PairMeasure] = field(default_factory=dict)


@dataclass(frozen=True)
class HoldOutPass:
    """Lists to take from the sums before the held-out users are added.

    Attributes:
        movies: int32, ids of the movies whose lists are needed.
        blocks: all movies, with raters and squares of the other users only.
        thresholds: for these lists.
    """

    movies: np.ndarray
    blocks: Blocks
    thresholds: Thresholds


@dataclass(frozen=True)
class CellPlan:
    """What every cell does.

    Attributes:
        blocks: of movies.
        thresholds: what is kept.
        output: absolute URI of the folder for the pairs; None to write none.
        hold_out: lists to take without the held-out users; None for none.
        store: where to write sums.
    """

    blocks: Blocks
    thresholds: Thresholds
    output: str | None = None
    hold_out: HoldOutPass | None = None
    store: PairSumStore = NO_STORE


class PairCount(NamedTuple):
    """How many pairs a cell found."""

    pairs: int


class CellLists(NamedTuple):
    """The neighbours that a cell found by one measure.

    Attributes:
        measure: its name.
        lists: of the cell's movies.
        is_held_out: whether the held-out users were left out.
    """

    measure: str
    lists: NeighbourLists
    is_held_out: bool


class CellMovies(NamedTuple):
    """The movies of a cell.

    Attributes:
        rows: ids of the row movies, int32.
        columns: ids of the column movies, int32.
        all: ids of the row movies and then the column movies, each once.
        ranks: by popularity, of `all`.
        first_column: where in `all` the column movies begin: 0 on the diagonal.
    """

    rows: np.ndarray
    columns: np.ndarray
    all: np.ndarray
    ranks: np.ndarray
    first_column: int


def movies_of(blocks: Blocks, i: int, j: int) -> CellMovies:
    """The movies of a cell."""
    rows, columns = blocks.ids_of(i), blocks.ids_of(j)
    of_blocks = [i] if i == j else [i, j]
    ranks = np.concatenate([np.arange(each, blocks.ids.size, blocks.count) for each in of_blocks])
    return CellMovies(rows, columns, blocks.ids[ranks], ranks, 0 if i == j else rows.size)


EARLIER = -1  # stands for the co-raters of a neighbour of which only the score is known
KNOWN_BYTES = 2**24  # of scores that a worker keeps per measure: 83,886 movies with 50 each


class BestScores:
    """The best scores of each movie that a worker has found in its cells of a pass.

    Final lists are merged from the lists of all cells, and a neighbour that enough scores of other
    cells beat is in no final list. So a cell's lists start with the scores that are known, and
    store only what ranks among them. What a cell returns depends on the cells that its worker had
    before; the final lists do not. Only the most popular movies' scores are kept: KNOWN_BYTES.
    """

    def __init__(self, is_needed: np.ndarray) -> None:
        """No scores before the first cell.

        Args:
            is_needed: bool, per movie by falling popularity: whether its list is needed.
        """
        self._is_needed = is_needed
        self._scores: dict[str, np.ndarray] = {}  # float32 [movies, neighbours], the best first
        self._known: set[tuple[str, int]] = set()  # measures and cells whose scores these are

    def top_k(self, measure: str, cell: int, movies: CellMovies, count: int) -> kernel.TopK:
        """Room for the best neighbours of a cell's movies, with the scores of the earlier cells.

        Args:
            measure: its name.
            cell: its number.
            movies: of the cell.
            count: most neighbours per movie.
        """
        best = kernel.empty_top_k(movies.all.size, count)
        best.least[~self._is_needed[movies.ranks]] = np.inf
        # A cell that is computed again, as its results were lost, must not be barred by itself.
        if measure in self._scores and (measure, cell) not in self._known:
            scores = self._scores[measure]
            is_kept = movies.ranks < scores.shape[0]
            earlier = np.zeros((movies.ranks.size, count), np.float32)
            earlier[is_kept] = scores[movies.ranks[is_kept]]
            best.sizes[:] = np.count_nonzero(earlier, axis=1)
            best.neighbours["score"][:, :count] = earlier
            best.neighbours["co_raters"][:, :count] = EARLIER
            np.maximum(best.least, earlier[:, -1], out=best.least)
        return best

    def lists_of(
        self, measure: str, cell: int, movies: CellMovies, best: kernel.TopK
    ) -> NeighbourLists:
        """The lists of a cell's movies by movie and rank; the next cells know their scores.

        Args:
            measure: its name.
            cell: its number.
            movies: of the cell.
            best: from `top_k`; all pairs of the cell were offered to it.
        """
        lists = sorted_lists(movies.all, best)
        count = best.neighbours.shape[1] // 2
        if measure not in self._scores:
            most = min(self._is_needed.size, KNOWN_BYTES // (4 * count))
            self._scores[measure] = np.zeros((most, count), np.float32)
        scores = self._scores[measure]
        is_kept = movies.ranks < scores.shape[0]
        is_used = np.arange(count) < best.sizes[:, None]
        found = np.where(is_used, best.neighbours["score"][:, :count], 0)
        scores[movies.ranks[is_kept]] = _rounded_down(found[is_kept])
        self._known.add((measure, cell))
        return lists.where(lists.co_raters != EARLIER)


def _rounded_down(scores: np.ndarray) -> np.ndarray:
    """Scores as float32, which takes half the room; none is higher than it was."""
    near = scores.astype(np.float32)
    return np.where(near > scores, np.nextafter(near, np.float32(0)), near)


class WorkerScores(NamedTuple):
    """What a worker knows from its earlier cells of a pass.

    Attributes:
        published: the best scores of the published lists.
        held_out: those of the lists without the held-out users.
    """

    published: BestScores
    held_out: BestScores


def no_scores(plan: CellPlan) -> WorkerScores:
    """What a worker knows before its first cell."""
    ids = plan.blocks.ids
    needed = plan.hold_out.movies if plan.hold_out else ids[:0]
    every = np.ones(ids.size, bool)
    return WorkerScores(BestScores(every), BestScores(places_in(needed, ids) >= 0))


def compute_cell(
    cell: int,
    ratings: Iterator[CellRatings | HeldOutCellRatings],
    plan: CellPlan,
    scores: WorkerScores,
) -> Iterator[PairCount | CellLists]:
    """Sum up a cell, write its pairs, and rank its movies' neighbours by each measure.

    Args:
        cell: its number.
        ratings: its ratings.
        plan: what to do.
        scores: from the earlier cells; this one's join them.
    """
    held_out: list[CellRatings] = []

    def others() -> Iterator[CellRatings]:
        for each in ratings:
            if isinstance(each, HeldOutCellRatings):
                held_out.append(each.ratings)
            else:
                yield each

    blocks, (i, j) = plan.blocks, plan.blocks.cells[cell]
    sums = sum_up(others(), blocks, cell)
    if plan.hold_out and sums is not None:
        yield from hold_out_lists(sums, cell, plan.hold_out, scores.held_out)
    if held_out:
        sums = sum_up(iter(held_out), blocks, cell, sums)
    if sums is None:
        return
    movies = movies_of(blocks, i, j)
    best = scores.published.top_k("cosine", cell, movies, plan.thresholds.neighbours)
    pairs = passing_pairs(sums, movies, plan.thresholds, best)
    if plan.output:
        uri = f"{plan.output}/{cell_name(i, j)}.parquet"
        yield PairCount(write_parquet(pairs, PAIRS, uri))
    else:
        yield PairCount(sum(batch.num_rows for batch in pairs))
    yield CellLists("cosine", scores.published.lists_of("cosine", cell, movies, best), False)
    for name, lists in rank_by_measures(sums, blocks, cell, plan.thresholds, scores.published):
        yield CellLists(name, lists, False)
    if plan.store.limit:
        plan.store.write(sums, blocks, i, j)


def sum_up(
    ratings: Iterator[CellRatings],
    blocks: Blocks,
    cell: int,
    sums: np.ndarray | None = None,
) -> np.ndarray | None:
    """Add ratings to the sums of a cell; without any ratings the sums are returned unchanged."""
    i, j = blocks.cells[cell]
    for batch in _batches(ratings):
        if sums is None:
            sums = np.zeros((blocks.ids_of(i).size, 4, blocks.ids_of(j).size), np.int32)
        row_lengths, row_entries, *columns = (np.frombuffer(each, np.uint16) for each in batch)
        lengths, entries = (row_lengths, row_entries) if i == j else columns
        kernel.add_pairs(row_lengths, row_entries, lengths, entries, i == j, sums)
    return sums


def _batches(ratings: Iterator[CellRatings]) -> Iterator[CellRatings]:
    """The same ratings, with small pieces joined to batches."""
    waiting: list[CellRatings] = []
    size = 0
    for each in ratings:
        if waiting and size + sum(map(len, each)) > BATCH_BYTES:
            yield CellRatings(*map(b"".join, zip(*waiting, strict=True)))
            waiting, size = [], 0
        waiting.append(each)
        size += sum(map(len, each))
    if waiting:
        yield CellRatings(*map(b"".join, zip(*waiting, strict=True)))


def hold_out_lists(
    sums: np.ndarray, cell: int, hold_out: HoldOutPass, known: BestScores
) -> Iterator[CellLists]:
    """The lists that a hold-out pass needs from a cell."""
    movies = movies_of(hold_out.blocks, *hold_out.blocks.cells[cell])
    best = known.top_k("cosine", cell, movies, hold_out.thresholds.neighbours)
    least = hold_out.thresholds.min_co_raters, hold_out.thresholds.min_score
    kernel.offer_pairs(sums, movies.rows, movies.columns, least, best, movies.first_column)
    by_cosine = "cosine", known.lists_of("cosine", cell, movies, best)
    others = rank_by_measures(sums, hold_out.blocks, cell, hold_out.thresholds, known)
    for name, lists in (by_cosine, *others):
        yield CellLists(name, lists, True)


def passing_pairs(
    sums: np.ndarray,
    movies: CellMovies,
    thresholds: Thresholds,
    best: kernel.TopK,
) -> Iterator[pa.RecordBatch]:
    """The pairs of a cell that pass the thresholds; each is also offered to `best`."""
    least = thresholds.min_co_raters, thresholds.min_score
    size = max(PAIRS_PER_BATCH, movies.columns.size)
    row = 0
    while row < movies.rows.size:
        integers, doubles = np.empty((3, size), np.int32), np.empty((4, size))
        row, kept = kernel.keep_pairs(
            sums, movies.rows, movies.columns, least, row, integers, doubles, best,
            movies.first_column,
        )  # fmt: skip
        one, two, n = integers[:, :kept]
        yield pa.RecordBatch.from_arrays(
            [arrow.numbers(each) for each in (one, two, n.astype(np.int64), *doubles[:, :kept])],
            schema=PAIRS,
        )


def rank_by_measures(
    sums: np.ndarray, blocks: Blocks, cell: int, thresholds: Thresholds, known: BestScores
) -> Iterator[tuple[str, NeighbourLists]]:
    """The best neighbours of a cell's movies by each measure of pairs besides the cosine.

    Args:
        sums: of the cell, from `kernel.add_pairs`.
        blocks: `raters` and `squares` must count the same users as `sums`.
        cell: its number.
        thresholds: what is kept.
        known: of these lists, from the earlier cells; this one's scores join them.
    """
    if not thresholds.measures:
        return
    i, j = blocks.cells[cell]
    movies = movies_of(blocks, i, j)
    bests = {
        name: known.top_k(name, cell, movies, thresholds.neighbours) for name in thresholds.measures
    }
    for row, column, tile, pairs in _tiles(sums, blocks, i, j):
        down, right = (slice(at, at + TILE_MOVIES) for at in (row, column))
        of_tile = tile, movies.rows[down], movies.columns[right], row, movies.first_column + column
        for name, measure in thresholds.measures.items():
            with np.errstate(divide="ignore", invalid="ignore"):  # no co-raters give NaN
                scores = measure(pairs)
            ranking.offer_scores(scores, *of_tile, bests[name])
    for name, best in bests.items():
        yield name, known.lists_of(name, cell, movies, best)


def _tiles(
    sums: np.ndarray, blocks: Blocks, i: int, j: int
) -> Iterator[tuple[int, int, np.ndarray, Pairs]]:
    """Tiles of a cell: first row, first column, the sums, and the same sums as pairs.

    Tiles of movies with similar popularity come first, then those of the most popular movies. Most
    measures find the best neighbours there, so little of what follows has to be stored.
    """

    def counts(block: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        mine = slice(block, None, blocks.count)
        raters, squares = (each[mine].astype(float) for each in (blocks.raters, blocks.squares))
        return raters.reshape(shape), squares.reshape(shape)

    raters, squares = zip(counts(i, (-1, 1)), counts(j, (1, -1)), strict=True)
    starts = [
        (row, column)
        for row in range(0, sums.shape[0], TILE_MOVIES)
        for column in range(0, sums.shape[2], TILE_MOVIES)
        if i != j or column >= row  # on the diagonal the rest is empty
    ]
    for row, column in sorted(starts, key=lambda start: (start[0] != start[1], min(start))):
        down, right = slice(row, row + TILE_MOVIES), slice(column, column + TILE_MOVIES)
        tile = sums[down, :, right]
        of = ((each[0][down], each[1][:, right]) for each in (raters, squares))
        yield row, column, tile, Pairs(*np.moveaxis(tile, 1, 0), *of)
