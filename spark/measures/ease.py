"""EASE: item weights from the co-ratings of all popular movies, as one matrix on the driver.

Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019: B = -P / diag(P) with a
diagonal of 0, P = (XᵀX + λI)⁻¹, are the weights that predict each movie from all of a user's other
movies. Here X holds ratings as parts of five stars, and 0 for a missing rating: docs/quality.md
says why. Row i of B says how much liking movie i adds to the other movies.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy.linalg import lapack, solve
from scipy.sparse import csr_array

from spark.engine.blocks import Blocks
from spark.engine.pair_sums import PairSumStore
from spark.engine.top_k import NeighbourLists, top_k_of_rows
from spark.ingest.chunks import RatingTable
from spark.runtime.threads import in_threads

MIRRORED = 512  # rows of a matrix that are mirrored at once; they fit into a cache
ROWS_AT_ONCE = 64  # of B; they stay in a cache
SCALE = 100  # (10 half stars)²: ratings become parts of five stars


def gram_matrix(store: PairSumStore, blocks: Blocks, limit: int) -> tuple[Blocks, np.ndarray]:
    """The Gram matrix XᵀX of the most popular movies.

    Args:
        store: to which the cells wrote their sums.
        blocks: of movies.
        limit: most movies; not more than the store's limit.

    Returns:
        The movies in the order of the matrix, as one block, and the matrix, float64 [movies,
        movies]. Only its upper triangle is filled.
    """
    sizes = [blocks.popular(block, limit) for block in range(blocks.count)]
    starts = np.append(0, np.cumsum(sizes))
    ranks = [block + blocks.count * np.arange(size) for block, size in enumerate(sizes)]
    order = np.concatenate(ranks)
    movies = Blocks(blocks.ids[order], blocks.raters[order], blocks.squares[order], 1)
    gram = np.zeros((order.size, order.size))

    def fill(cell: tuple[int, int]) -> None:
        i, j = cell
        part = gram[starts[i] : starts[i + 1], starts[j] : starts[j + 1]]
        for down, right, band in store.read("xy", blocks, i, j):
            into = part[down, right]
            np.divide(band[: into.shape[0], : into.shape[1]], SCALE, out=into)

    list(in_threads(fill, store.cells(blocks)))
    gram[np.diag_indices_from(gram)] = movies.squares / SCALE
    return movies, gram


def inverse(gram: np.ndarray, regularisation: float) -> np.ndarray:
    """P = (G + λI)⁻¹ by Cholesky, in the memory of G.

    Args:
        gram: G, float64 [movies, movies], in C order; its upper triangle is enough.
        regularisation: λ, above 0.

    Returns:
        All of P. It overwrites `gram`.
    """
    gram[np.diag_indices_from(gram)] += regularisation
    # LAPACK stores matrices by column: it gets the transpose and works on its lower triangle.
    factor, failed = lapack.dpotrf(gram.T, lower=True, clean=False, overwrite_a=True)
    if not failed:
        factor, failed = lapack.dpotri(factor, lower=True, overwrite_c=True)
    if failed:
        raise ArithmeticError(f"the Gram matrix has no inverse: LAPACK returned {failed}")
    upper = factor.T
    for start in range(0, upper.shape[0], MIRRORED):
        end = start + MIRRORED
        upper[end:, start:end] = upper[start:end, end:].T
        corner = upper[start:end, start:end]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
    return upper


def ease(movies: Blocks, weights: np.ndarray, count: int) -> Iterator[NeighbourLists]:
    """Each movie's best neighbours by EASE: those with a weight above 0.

    Args:
        movies: from `gram_matrix`.
        weights: P, from `inverse`.
        count: most neighbours per movie.

    Yields:
        The neighbours of some movies at a time, without co-raters and cosine.
    """
    scale = -1 / weights.diagonal()

    def rank(start: int) -> NeighbourLists:
        some = slice(start, start + ROWS_AT_ONCE)
        rows = weights[some] * scale
        return top_k_of_rows(movies.ids[some], rows, movies.ids, movies.raters, count)

    yield from in_threads(rank, range(0, movies.ids.size, ROWS_AT_ONCE))


def ease_without(
    movies: Blocks, weights: np.ndarray, left_out: RatingTable, of: np.ndarray, count: int
) -> Iterator[NeighbourLists]:
    """What `ease` would give without some users, computed exactly from the matrix of all users.

    Let U be those users' rows of X, and G the matrix of all users. By Woodbury's identity,
    (G - UᵀU + λI)⁻¹ = P + (UP)ᵀ (I - UPUᵀ)⁻¹ UP. That takes a system with one equation per user
    instead of an inversion.

    Args:
        movies: see `ease`.
        weights: see `ease`.
        left_out: all ratings of those users.
        of: int32, ids of the movies whose neighbours are needed.
        count: see `ease`.
    """
    change, solved = _without(movies, weights, left_out)
    scale = -1 / (weights.diagonal() + np.einsum("ij,ij->j", change, solved))
    needed = np.flatnonzero(np.isin(movies.ids, of))
    for start in range(0, needed.size, ROWS_AT_ONCE):
        some = needed[start : start + ROWS_AT_ONCE]
        rows = (weights[some] + change[:, some].T @ solved) * scale
        yield top_k_of_rows(movies.ids[some], rows, movies.ids, movies.raters, count)


def _without(
    movies: Blocks, weights: np.ndarray, left_out: RatingTable
) -> tuple[np.ndarray, np.ndarray]:
    """UP and (I - UPUᵀ)⁻¹ UP, both float64 [users, movies]; see `ease_without`."""
    by_id = np.argsort(movies.ids)
    place = np.searchsorted(movies.ids, left_out.movies, sorter=by_id)
    known = np.append(movies.ids[by_id], -1)[place] == left_out.movies
    users, row = np.unique(left_out.users[known], return_inverse=True)
    stars = left_out.halves[known] / math.sqrt(SCALE)
    shape = users.size, movies.ids.size
    rows = csr_array((stars, (row, by_id[place[known]])), shape)
    change = rows @ weights
    return change, solve(np.eye(users.size) - rows @ change.T, change, assume_a="pos")
