"""EASE: item weights from the co-ratings of all popular movies, as one matrix on the driver.

Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019: B = -P / diag(P) with a
diagonal of 0, P = (XᵀX + λI)⁻¹, are the weights that predict each movie from all of a user's other
movies. Here X holds ratings as parts of five stars, and 0 for a missing rating: docs/quality.md
says why. Row i of B says how much liking movie i adds to the other movies. B does not depend on the
unit of X; so X is in half stars here, and λ times SCALE.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.sparse import csr_array

from spark.engine.blocks import Blocks
from spark.engine.pair_sums import PairSumStore
from spark.engine.top_k import NeighbourLists, top_k_of_rows
from spark.ingest.chunks import RatingTable
from spark.measures.lapack import invert_upper
from spark.runtime.places import places_in
from spark.runtime.threads import in_threads

IN_DOUBLES = 256  # of the most popular movies, whose rows and columns `inverse` takes as doubles
ROWS_OF_STRIP = 256  # of a matrix, which are changed at once
ROWS_OF_CACHE = 512  # rows and columns of a matrix that are mirrored at once
ROWS_AT_ONCE = 64  # of B; they stay in a cache
ROWS_OF_PRODUCT = 1024  # of B without the left-out users
USERS_AT_ONCE = 64  # whose ratings are multiplied by P together
SCALE = 100  # (10 half stars)²


def gram_matrix(store: PairSumStore, blocks: Blocks, limit: int) -> tuple[Blocks, np.ndarray]:
    """The Gram matrix XᵀX of the most popular movies, in half stars.

    Args:
        store: to which the cells wrote their sums.
        blocks: of movies.
        limit: most movies; not more than the store's limit.

    Returns:
        The movies by falling popularity, as one block, and the matrix, float32 [movies, movies].
        Only its upper triangle is filled. Integers up to 2²⁴ are exact: the sums of 167,000 users
        or more.
    """
    movies = Blocks(blocks.ids[:limit], blocks.raters[:limit], blocks.squares[:limit], 1)
    gram = np.zeros((movies.ids.size, movies.ids.size), np.float32)
    every = blocks.count  # a movie's place in its block, times `every`, plus the block is its rank

    def fill(cell: tuple[int, int]) -> None:
        i, j = cell
        part = gram[i::every, j::every]
        mirrored = gram[j::every, i::every]
        for down, right, band in store.read("xy", blocks, i, j):
            into = part[down, right]
            into[:] = some = band[: into.shape[0], : into.shape[1]]
            if i != j:
                mirrored[right, down] = some.T

    list(in_threads(fill, store.cells(blocks)))
    gram[np.diag_indices_from(gram)] = movies.squares
    return movies, gram


def inverse(gram: np.ndarray, regularisation: float) -> np.ndarray:
    """P = (G + λI)⁻¹ in the memory of G, in half the time that doubles take.

    The rounding errors of float32 grow with the condition of the matrix, and the most popular
    movies make it bad. So G is cut in two: D, their rows and columns, and R, the rest. With C, the
    block between them,

        P = [[D⁻¹ + W S⁻¹ Wᵀ, -W S⁻¹], [·, S⁻¹]],  W = D⁻¹ C,  S = R - Cᵀ W,

    and all is computed in doubles but S⁻¹ and its product with W. S,
    what remains of the others' co-ratings without the popular movies', is well-conditioned.
    Weights on lists of ml-10M's shape differ from those by doubles by less than 5e-6 of their size;
    with float32 alone, by 8e-5.

    Args:
        gram: G, float32 [movies, movies], in C order; its upper triangle is enough. The most
            popular movies come first.
        regularisation: λ, above 0.

    Returns:
        All of P. It overwrites `gram`.

    Raises:
        ArithmeticError: the matrix is not positive definite.
    """
    popular = gram[:IN_DOUBLES].astype(float)
    first, size = popular.shape
    popular[np.diag_indices(first)] += regularisation
    try:
        factor, _ = cho_factor(popular[:, :first], lower=False)
    except LinAlgError as error:
        raise ArithmeticError(f"the Gram matrix has no inverse: {error}") from error
    corner = cho_solve((factor, False), np.eye(first))
    if first < size:
        crossing, rest = gram[:first, first:], gram[first:, first:]
        half = solve_triangular(factor, popular[:, first:], trans="T", lower=False)
        _take_away_popular(rest, half)
        rest[np.diag_indices_from(rest)] += np.float32(regularisation)
        invert_upper(rest)
        _mirror(rest)
        weights = solve_triangular(factor, half, lower=False)
        np.matmul(-weights.astype(np.float32), rest, out=crossing)
        corner -= crossing.astype(float) @ weights.T
        gram[first:, :first] = crossing.T
    gram[:first, :first] = (corner + corner.T) / 2
    return gram


def _take_away_popular(rest: np.ndarray, half: np.ndarray) -> None:
    """Change R, given by its upper triangle, to R - HᵀH, H being `half`."""
    size = rest.shape[0]
    room = np.empty(ROWS_OF_STRIP * size)
    for start in range(0, size, ROWS_OF_STRIP):
        strip, down = rest[start : start + ROWS_OF_STRIP, start:], half[:, start:]
        into = room[: strip.size].reshape(strip.shape)
        strip -= np.matmul(down[:, :ROWS_OF_STRIP].T, down, out=into)


def _mirror(matrix: np.ndarray) -> None:
    """Copy the upper triangle of a matrix to the lower one."""
    for start in range(0, matrix.shape[0], ROWS_OF_CACHE):
        end = start + ROWS_OF_CACHE
        matrix[end:, start:end] = matrix[start:end, end:].T
        corner = matrix[start:end, start:end]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T


def ease(movies: Blocks, weights: np.ndarray, count: int) -> Iterator[NeighbourLists]:
    """Each movie's best neighbours by EASE: those with a weight above 0.

    Args:
        movies: from `gram_matrix`.
        weights: P, from `inverse`.
        count: most neighbours per movie.

    Yields:
        The neighbours of some movies at a time, without co-raters and cosine.
    """
    scale = -1 / weights.diagonal().astype(float)
    yield from _ranked(movies, np.arange(movies.ids.size), weights.__getitem__, scale, count)


def _ranked(
    movies: Blocks,
    some: np.ndarray,
    rows_of: Callable[[slice], np.ndarray],
    scale: np.ndarray,
    count: int,
) -> Iterator[NeighbourLists]:
    """The best neighbours of some movies.

    Args:
        movies: of the matrix.
        some: their indices.
        rows_of: gives their rows of P, for a part of `some`.
        scale: of the columns.
        count: most neighbours per movie.
    """

    def rank(start: int) -> NeighbourLists:
        mine = slice(start, start + ROWS_AT_ONCE)
        own, scores = movies.ids[some[mine]], rows_of(mine) * scale
        return top_k_of_rows(own, scores, movies.ids, movies.raters, count)

    yield from in_threads(rank, range(0, some.size, ROWS_AT_ONCE))


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
    scale = -1 / (weights.diagonal() + np.einsum("ij,ij->j", change, solved, dtype=float))
    needed = np.flatnonzero(places_in(of, movies.ids) >= 0)
    room = np.empty((min(needed.size, ROWS_OF_PRODUCT), movies.ids.size), np.float32)
    for start in range(0, needed.size, ROWS_OF_PRODUCT):
        some = needed[start : start + ROWS_OF_PRODUCT]
        more = np.matmul(change[:, some].T, solved, out=room[: some.size])
        yield from _ranked(movies, some, partial(_rows, weights, some, more), scale, count)


def _rows(weights: np.ndarray, some: np.ndarray, more: np.ndarray, mine: slice) -> np.ndarray:
    """Some rows of P, and what is added to them."""
    return weights[some[mine]] + more[mine]


def _without(
    movies: Blocks, weights: np.ndarray, left_out: RatingTable
) -> tuple[np.ndarray, np.ndarray]:
    """UP and (I - UPUᵀ)⁻¹ UP, both float32 [users, movies]; see `ease_without`."""
    column = places_in(movies.ids, left_out.movies)
    known = column >= 0
    users, row = np.unique(left_out.users[known], return_inverse=True)
    halves = left_out.halves[known].astype(np.float32)
    rows = csr_array((halves, (row, column[known])), (users.size, movies.ids.size))
    change = np.empty((users.size, movies.ids.size), np.float32)

    def multiply(start: int) -> None:
        mine = slice(start, start + USERS_AT_ONCE)
        change[mine] = rows[mine] @ weights

    list(in_threads(multiply, range(0, users.size, USERS_AT_ONCE)))
    system = cho_factor(np.eye(users.size) - (rows @ change.T).astype(float))
    # The small inverse first: for all movies at once, LAPACK would copy and transpose them.
    return change, (cho_solve(system, np.eye(users.size)) @ change).astype(np.float32)
