"""The bare kernel and libraries for item-item similarity: the same table, two threads."""

import statistics
import time
from collections.abc import Callable
from threading import Lock, Thread

import implicit.nearest_neighbours
import numpy as np
import scipy.sparse as sp
import similaripy
import sparse_dot_topn

from benchmarks.shapes import Table
from spark.engine import kernel
from spark.engine.blocks import Blocks, split_by_block
from spark.engine.entries import BLOCK_MOVIES, HALVES_BITS

THREADS = 2
BLOCKS = 4
MIN_RATERS = 10
NEIGHBOURS = 50
SWEEPS = 20


def packed_kernel(table: Table) -> float:
    """All four sums of all pairs: the cells of the triangle, as the job has them."""
    ids, raters = np.unique(table.movies, return_counts=True)
    enough = raters >= MIN_RATERS
    ids, raters = ids[enough], raters[enough]
    order = np.lexsort((ids, -raters))
    blocks = Blocks(ids[order], raters[order], np.zeros(ids.size, np.int64), BLOCKS)
    order = np.lexsort((table.movies, table.users))
    users, movies, halves = table.users[order], table.movies[order], table.halves[order]
    starts = np.append(np.flatnonzero(np.append(True, users[1:] != users[:-1])), users.size)
    lengths, parts = split_by_block(starts, movies, halves, blocks)
    cells, lock = list(blocks.cells), Lock()

    def work() -> None:
        while True:
            with lock:
                if not cells:
                    return
                i, j = cells.pop(0)
            sums = np.zeros((blocks.ids_of(i).size, 4, blocks.ids_of(j).size), np.int32)
            kernel.add_pairs(lengths[i], parts[i], lengths[j], parts[j], i == j, sums)

    start = time.monotonic()
    threads = [Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - start


def rates(table: Table) -> tuple[float, float]:
    """Core-seconds of the kernel for a billion of W, and for a sweep over a billion sums."""
    taken = statistics.median(packed_kernel(table) for _ in range(3))
    return THREADS * taken / table.work * 1e9, _sweep_seconds()


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


def _matrix(table: Table) -> sp.csr_matrix:
    """Users times movies, half stars."""
    _, movies = np.unique(table.movies, return_inverse=True)
    values = table.halves.astype(np.float32)
    return sp.csr_matrix((values, (table.users - 1, movies)))


def _timed(function: Callable[[], object]) -> float:
    start = time.monotonic()
    function()
    return time.monotonic() - start


def scipy_products(table: Table) -> float:
    """n, Σxy, Σxx of all pairs; Σyy is the transpose of Σxx. SciPy uses one thread."""
    ratings = _matrix(table).astype(np.int32)
    ones, squares = ratings.copy(), ratings.copy()
    ones.data[:] = 1
    squares.data **= 2
    return _timed(lambda: [ones.T @ ones, ratings.T @ ratings, squares.T @ ones])


def implicit_cosine(table: Table) -> float:
    """Cosine over whole columns, the best 50."""
    model = implicit.nearest_neighbours.CosineRecommender(K=NEIGHBOURS, num_threads=THREADS)
    ratings = _matrix(table)
    return _timed(lambda: model.fit(ratings, show_progress=False))


def similaripy_cosine(table: Table) -> float:
    """Cosine over whole columns, the best 50."""
    ratings = _matrix(table).T.tocsr()
    return _timed(
        lambda: similaripy.cosine(ratings, k=NEIGHBOURS, num_threads=THREADS, verbose=False)
    )


def sparse_dot(table: Table) -> float:
    """One product, the best 50."""
    ratings = _matrix(table)
    by_movie = ratings.T.tocsr()
    return _timed(
        lambda: sparse_dot_topn.sp_matmul_topn(
            by_movie, ratings, top_n=NEIGHBOURS, n_threads=THREADS
        )
    )


METHODS: dict[str, tuple[str, Callable[[Table], float]]] = {
    "kernel": ("n, Σxy, Σxx, Σyy of all pairs", packed_kernel),
    "SciPy": ("the same four, three products", scipy_products),
    "implicit": ("one product, top 50", implicit_cosine),
    "similaripy": ("one product, top 50", similaripy_cosine),
    "sparse_dot_topn": ("one product, top 50", sparse_dot),
}
