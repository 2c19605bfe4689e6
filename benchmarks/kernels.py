"""The bare kernel, and EASE from its sums: a table in memory, two threads."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.jobs import CORES, MIN_RATERS
from benchmarks.shapes import Table
from spark.engine import kernel
from spark.engine.blocks import Blocks, choose_blocks, split_by_block
from spark.engine.entries import BLOCK_MOVIES, HALVES_BITS
from spark.engine.pair_sums import PairSumStore
from spark.measures.ease import SCALE, gram_matrix, inverse

BLOCKS = 4  # at least
SWEEPS = 20

type Packed = tuple[Blocks, np.ndarray, list[np.ndarray]]


def packed_kernel(table: Table) -> float:
    """All four sums of all pairs: the cells of the triangle, as the job has them."""
    packed = _pack(table)
    start = time.monotonic()
    _add_all(packed, lambda *_: None)
    return time.monotonic() - start


def ease_weights(table: Table, limit: int, regularisation: float) -> float:
    """EASE's weights of the `limit` most popular movies: sums, their files, matrix, inverse."""
    packed = _pack(table)
    with TemporaryDirectory() as folder:
        store = PairSumStore(Path(folder).as_uri(), limit)
        start = time.monotonic()
        _add_all(packed, store.write)
        _, gram = gram_matrix(store, packed[0], limit)
        weights = inverse(gram, SCALE * regularisation)
        weights *= -1 / weights.diagonal()
        return time.monotonic() - start


def _pack(table: Table) -> Packed:
    """The movies with enough raters in blocks, and the ratings as entries by block."""
    ids, movie, raters = np.unique(table.movies, return_inverse=True, return_counts=True)
    squares = np.bincount(movie, table.halves.astype(np.int64) ** 2).astype(np.int64)
    blocks = choose_blocks(ids, raters, squares, MIN_RATERS, BLOCKS)
    order = np.lexsort((table.movies, table.users))
    users, movies, halves = table.users[order], table.movies[order], table.halves[order]
    starts = np.append(np.flatnonzero(np.append(True, users[1:] != users[:-1])), users.size)
    return blocks, *split_by_block(starts, movies, halves, blocks)


def _add_all(packed: Packed, done: Callable[[np.ndarray, Blocks, int, int], object]) -> None:
    """Add up each cell and pass on its sums, in threads."""
    blocks, lengths, parts = packed

    def add(cell: tuple[int, int]) -> None:
        i, j = cell
        sums = np.zeros((blocks.ids_of(i).size, 4, blocks.ids_of(j).size), np.int32)
        kernel.add_pairs(lengths[i], parts[i], lengths[j], parts[j], i == j, sums)
        done(sums, blocks, i, j)

    with ThreadPoolExecutor(CORES) as threads:
        for _ in threads.map(add, blocks.cells):
            pass


def rates(table: Table) -> tuple[float, float]:
    """Core-seconds of the kernel for a billion of W, and for a sweep over a billion sums."""
    taken = statistics.median(packed_kernel(table) for _ in range(3))
    return CORES * taken / table.work * 1e9, _sweep_seconds()


def _sweep_seconds() -> float:
    """What a sweep over a billion sums costs one thread: adding one user who adds next to nothing.

    Each batch of ratings that a cell adds sweeps the sums of its row movies.
    """
    every = np.arange(BLOCK_MOVIES, dtype=np.uint16) << HALVES_BITS | 1
    rows = np.array([every.size], np.uint16), every.astype(np.uint16)
    columns = np.ones(1, np.uint16), np.ones(1, np.uint16)
    sums = np.zeros((BLOCK_MOVIES, 4, BLOCK_MOVIES), np.int32)
    start = time.monotonic()
    for _ in range(SWEEPS):
        kernel.add_pairs(*rows, *columns, False, sums)
    return (time.monotonic() - start) / SWEEPS / BLOCK_MOVIES**2 * 1e9
