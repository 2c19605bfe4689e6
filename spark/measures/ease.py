"""EASE's neighbours: how any two popular movies were rated together, as one matrix on one node.

Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019: B = -P / diag(P) with a
diagonal of 0, P = (XᵀX + λI)⁻¹, are the weights with which all of a user's movies foretell another.
Here X has a user's rating of a movie, of five stars, and 0 where there is none: docs/quality.md
says why. Row i of B is what liking movie i adds to the others.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy.linalg import lapack, solve
from scipy.sparse import csr_array

from spark.engine.engine import Blocks, PairSumStore, cells_left
from spark.engine.pair_sums import read_sums
from spark.engine.threads import in_threads
from spark.engine.top_k import NeighbourLists, top_k_of_rows
from spark.self_evaluation.held_out import HeldOutRatings

MIRRORED = 512  # rows of a matrix that are mirrored at once, for the cache's sake
ROWS_AT_ONCE = 64  # of B, so that they stay in a cache
SCALE = 100  # half stars squared in a rating of five stars, squared


def gather(kept: PairSumStore, blocks: Blocks, limit: int) -> tuple[Blocks, np.ndarray]:
    """The Gram matrix XᵀX of the most popular movies.

    Args:
        kept: where `engine.compute` has left its sums.
        blocks: of movies.
        limit: at most so many movies; not more than `kept` has.

    Returns:
        The movies in the matrix' order, as one block, and the matrix, float64 [movies, movies],
        of which only the upper triangle is filled.
    """
    sizes = [blocks.popular(block, limit) for block in range(blocks.count)]
    starts = np.append(0, np.cumsum(sizes))
    ranks = [block + blocks.count * np.arange(size) for block, size in enumerate(sizes)]
    order = np.concatenate(ranks)
    movies = Blocks(blocks.ids[order], blocks.raters[order], blocks.squares[order], 1)
    gram = np.zeros((order.size, order.size))

    def fill(cell: tuple[int, int, str]) -> None:
        i, j, uri = cell
        part = gram[starts[i] : starts[i + 1], starts[j] : starts[j + 1]]
        for down, right, band in read_sums(uri, "xy", kept.shape(blocks, i, j), i == j):
            into = part[down, right]
            np.divide(band[: into.shape[0], : into.shape[1]], SCALE, out=into)

    list(in_threads(fill, cells_left(kept, blocks)))
    gram[np.diag_indices_from(gram)] = movies.squares / SCALE
    return movies, gram


def inverse(gram: np.ndarray, regularisation: float) -> np.ndarray:
    """P = (G + λI)⁻¹, in the memory of G, by Cholesky.

    Args:
        gram: G, float64 [movies, movies] in rows; its upper triangle is enough.
        regularisation: λ, above 0.

    Returns:
        P, all of it; `gram` is gone.
    """
    gram[np.diag_indices_from(gram)] += regularisation
    # LAPACK keeps columns together: what it is given is the transpose, its lower triangle.
    factor, failed = lapack.dpotrf(gram.T, lower=True, clean=False, overwrite_a=True)
    if not failed:
        factor, failed = lapack.dpotri(factor, lower=True, overwrite_c=True)
    if failed:
        raise ArithmeticError(f"the Gram matrix has no inverse: LAPACK says {failed}")
    upper = factor.T
    for start in range(0, upper.shape[0], MIRRORED):
        end = start + MIRRORED
        upper[end:, start:end] = upper[start:end, end:].T
        corner = upper[start:end, start:end]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
    return upper


def ease(movies: Blocks, weights: np.ndarray, count: int) -> Iterator[NeighbourLists]:
    """Each movie's best neighbours by EASE: those of a weight above 0.

    Args:
        movies: from `gather`.
        weights: P, from `inverse`.
        count: at most so many neighbours of each movie.

    Yields:
        Neighbours of some movies at a time, without co-raters and cosine.
    """
    scale = -1 / weights.diagonal()

    def rank(start: int) -> NeighbourLists:
        some = slice(start, start + ROWS_AT_ONCE)
        rows = weights[some] * scale
        return top_k_of_rows(movies.ids[some], rows, movies.ids, movies.raters, count)

    yield from in_threads(rank, range(0, movies.ids.size, ROWS_AT_ONCE))


def ease_without(
    movies: Blocks, weights: np.ndarray, held_out: HeldOutRatings, of: np.ndarray, count: int
) -> Iterator[NeighbourLists]:
    """What `ease` would give without some users, exactly, though all are in the matrix.

    With U their rows of X and G all users' matrix, (G - UᵀU + λI)⁻¹ = P + (UP)ᵀ (I - UPUᵀ)⁻¹ UP by
    Woodbury's identity: a system of as many equations as there are users instead of an inversion.

    Args:
        movies: see `ease`.
        weights: see `ease`.
        held_out: the users.
        of: int32, ids of the movies whose neighbours are wanted.
        count: see `ease`.
    """
    change, solved = _without(movies, weights, held_out)
    scale = -1 / (weights.diagonal() + np.einsum("ij,ij->j", change, solved))
    wanted = np.flatnonzero(np.isin(movies.ids, of))
    for start in range(0, wanted.size, ROWS_AT_ONCE):
        some = wanted[start : start + ROWS_AT_ONCE]
        rows = (weights[some] + change[:, some].T @ solved) * scale
        yield top_k_of_rows(movies.ids[some], rows, movies.ids, movies.raters, count)


def _without(
    movies: Blocks, weights: np.ndarray, held_out: HeldOutRatings
) -> tuple[np.ndarray, np.ndarray]:
    """UP and (I - UPUᵀ)⁻¹ UP, float64 [users, movies] both; see `ease_without`."""
    by_id = np.argsort(movies.ids)
    place = np.searchsorted(movies.ids, held_out.movies, sorter=by_id)
    known = np.append(movies.ids[by_id], -1)[place] == held_out.movies
    users, row = np.unique(held_out.users[known], return_inverse=True)
    stars = held_out.halves[known] / math.sqrt(SCALE)
    shape = users.size, movies.ids.size
    rows = csr_array((stars, (row, by_id[place[known]])), shape)
    change = rows @ weights
    return change, solve(np.eye(users.size) - rows @ change.T, change, assume_a="pos")
