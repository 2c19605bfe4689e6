"""The arithmetic of co-rated similarity: exact sums over co-raters, thresholds, best neighbours.

The loops are in kernel.c. Imports no Spark. Everything is an integer until the score, and exact.

**What is counted.** A rating is h half stars, h = 2r in 1..10. For two movies i, j and the users
who rated both: n, X = Σ h_i h_j, A = Σ h_i², B = Σ h_j². Then Σxy = X/4, Σxx = A/4, Σyy = B/4, and
the score is Σxy / (sqrt(Σxx) · sqrt(Σyy)), evaluated in this order in IEEE doubles. Division by 4
is exact, and sqrt, product and quotient are correctly rounded: whoever evaluates it so has the same
bits, here as in the JVM.

**A cell.** Movies are dealt into blocks of at most BLOCK_MOVIES. A cell is a pair of blocks, rows
and columns; on the diagonal both are the same. A rating is an entry of 16 bits, see entries.py, and
a user's ratings of a block are a run of entries, ascending. For each row movie i its raters are
visited in turn; a rater who gave L to i adds, for each of his column entries (j, h), ONE 64-bit
word to the accumulator of j:

    1  |  L·h << 11  |  L² << 28  |  h² << 45            (a table: `WORDS[L, h]`)

four sums in one addition. The accumulators of 4096 columns are the 32 KiB of a first-level cache.

**Field widths.** After c raters of i, a field of j holds at most c, or 100·c since h, L ≤ 10. With
c ≤ FLUSH = 1310: c < 2¹¹ and 100·c = 131,000 < 2¹⁷ = 131,072, so that nothing carries into the next
field, and 11 + 3·17 = 62 bits. After FLUSH raters the words are unpacked into the cell's sums and
cleared. The sums are 32 bits wide: enough for MAX_RATERS co-raters (100·n < 2³¹).

**Cost.** One load, one look-up and one addition in memory for each pair of ratings of a user, W in
all; beside them a sweep over the columns for each row movie and 1310 raters.
"""

from ctypes import Structure, byref, c_bool, c_double, c_int32, c_int64, c_void_p
from typing import Any, NamedTuple

import numpy as np

from spark.engine.entries import HALVES_BITS, MAX_HALVES
from spark.runtime.native import array_of, function

FLUSH = 1310

_XY, _XX, _YY = np.uint64(11), np.uint64(28), np.uint64(45)  # where the fields begin


def _words() -> np.ndarray:
    """What a visit adds, by row and column rating: uint64 [11, 16]."""
    h = np.arange(1 << HALVES_BITS, dtype=np.uint64)
    of_row = h[: MAX_HALVES + 1, None]
    return np.uint64(1) | of_row * h << _XY | of_row * of_row << _XX | h * h << _YY


WORDS = _words()


# A neighbour of a movie; together in memory, because one offer writes them all.
NEIGHBOUR = np.dtype(
    [("score", np.float64), ("cosine", np.float64), ("co_raters", np.int32), ("id", np.int32)]
)


class TopK(NamedTuple):
    """The best neighbours of some movies so far.

    There is room for twice as many as are kept. When it is full, the better half stays. So most
    offers cost one comparison, and one that is stored costs its share of a selection.

    Attributes:
        sizes: int32 [movies], how many neighbours there are.
        least: float64 [movies], the score below which a movie takes none.
        neighbours: NEIGHBOUR [movies, room].
    """

    sizes: np.ndarray
    least: np.ndarray
    neighbours: np.ndarray


class _TopK(Structure):
    """TopK of top_k.h."""

    _fields_ = (("room", c_int64), *((name, c_void_p) for name in TopK._fields))


def pointer(best: TopK) -> Any:
    """The argument for a C function that takes a TopK."""
    return byref(_TopK(best.neighbours.shape[1], *(each.ctypes.data for each in best)))


_uint8, _uint16, _uint32 = array_of(np.uint8), array_of(np.uint16), array_of(np.uint32)
_int32, _int64, _uint64 = array_of(np.int32), array_of(np.int64), array_of(np.uint64)
_float64 = array_of(np.float64)

_cosines = function("cosines", _int32, _int32, _int32, c_int64, _float64)
_find_visits = function(
    "find_visits",
    *(_uint16, c_int64, _uint16, _int64, c_bool, _int64, _uint32, _uint32, _uint8),
)
_visit = function(
    "visit",
    *(_int64, c_int64, _uint32, _uint32, _uint8, _uint16, _uint64, _uint64, c_int64, c_bool),
    *(c_int32, _int32),
)
_keep_pairs = function(
    "keep_pairs",
    *(_int32, _int32, c_int64, _int32, c_int64, c_int32, c_double, c_int64, _int32, _float64),
    *(c_int64, c_void_p, c_int64, _int64),
    returns=c_int64,
)
_offer_all = function("offer_all", c_void_p, _int32, c_int64, _float64, _int32, _int32, _float64)
_sort_best_first = function("sort_best_first", c_void_p, c_int64)


def cosines(xy: np.ndarray, xx: np.ndarray, yy: np.ndarray) -> np.ndarray:
    """The cosines of pairs, in half the time that NumPy takes for the same bits.

    Args:
        xy: X of each pair, int32, of any shape.
        xx: A, likewise.
        yy: B, likewise.

    Returns:
        float64, of the same shape; NaN without co-raters.

    Raises:
        ValueError: the shapes differ.
    """
    if not xy.shape == xx.shape == yy.shape:
        raise ValueError("the sums must have the same shape")
    found = np.empty(xy.shape)
    _cosines(*map(np.ascontiguousarray, (xy, xx, yy)), xy.size, found)
    return found


def add_pairs(
    row_lengths: np.ndarray,
    row_entries: np.ndarray,
    column_lengths: np.ndarray,
    column_entries: np.ndarray,
    same: bool,
    sums: np.ndarray,
) -> None:
    """Add the co-ratings of some users to the sums of a cell.

    Args:
        row_lengths: how many ratings each user has in the row block, uint16 [users].
        row_entries: those ratings, uint16, by user, ascending.
        column_lengths: the same for the column block.
        column_entries: the same for the column block.
        same: whether both blocks are the same; then only columns after the row's movie count.
        sums: n, X, A, B as int32 [row movies, 4, column movies]; added to.
    """
    rows, _, columns = sums.shape
    column_starts = np.append(0, np.cumsum(column_lengths, dtype=np.int64))
    raters = np.bincount(row_entries >> HALVES_BITS, minlength=rows)
    ends = np.cumsum(raters) - raters
    first, last = np.empty((2, row_entries.size), np.uint32)
    rating = np.empty(row_entries.size, np.uint8)
    _find_visits(
        *(row_lengths, row_lengths.size, row_entries, column_starts, same),
        *(ends, first, last, rating),
    )
    words = np.zeros(columns, np.uint64)
    of_raters = ends, rows, first, last, rating
    _visit(*of_raters, column_entries, WORDS, words, columns, same, FLUSH, sums)


def keep_pairs(
    sums: np.ndarray,
    row_ids: np.ndarray,
    column_ids: np.ndarray,
    least: tuple[int, float],
    row: int,
    integers: np.ndarray,
    doubles: np.ndarray,
    best: TopK,
    first_column: int,
) -> tuple[int, int]:
    """The pairs of a cell that pass both thresholds, for as many row movies as fit.

    Args:
        sums: from `add_pairs`.
        row_ids: ids of the row movies, int32.
        column_ids: ids of the column movies, int32.
        least: the thresholds: least n, which is at least 1, and least score.
        row: row movie to begin with.
        integers: int32 [3, at least column movies]; receives smaller id, larger id, n.
        doubles: float64 [4, like `integers`]; receives Σxy, Σxx, Σyy and the score.
        best: for the row movies and then the column movies; the pairs are offered to it.
        first_column: where in `best` the column movies begin: 0 on the diagonal.

    Returns:
        The row movie to continue with, and the number of pairs written.
    """
    kept = np.zeros(1, np.int64)
    row = _keep_pairs(
        *(sums, row_ids, row_ids.size, column_ids, column_ids.size, *least, row),
        *(integers, doubles, integers.shape[1], pointer(best), first_column, kept),
    )
    return row, int(kept[0])


def offer_pairs(
    sums: np.ndarray,
    row_ids: np.ndarray,
    column_ids: np.ndarray,
    least: tuple[int, float],
    best: TopK,
    first_column: int,
) -> None:
    """Offer the pairs of a cell to the top-k lists, as `keep_pairs` does, and write none."""
    nothing = np.empty((3, 0), np.int32), np.empty((4, 0))
    keep_pairs(sums, row_ids, column_ids, least, 0, *nothing, best, first_column)


def empty_top_k(movies: int, count: int) -> TopK:
    """Room for the best neighbours of some movies, at most `count` for each."""
    return TopK(
        np.zeros(movies, np.int32), np.zeros(movies), np.empty((movies, 2 * count), NEIGHBOUR)
    )


def offer_all(
    best: TopK,
    movies: np.ndarray,
    scores: np.ndarray,
    co_raters: np.ndarray,
    ids: np.ndarray,
    cosines: np.ndarray,
) -> None:
    """Offer neighbours to the top-k lists of movies.

    Args:
        best: receives them.
        movies: for each neighbour the row of its movie in `best`, int32 [neighbours].
        scores: of the neighbours, float64.
        co_raters: int32.
        ids: int32.
        cosines: float64.
    """
    _offer_all(pointer(best), movies, movies.size, scores, co_raters, ids, cosines)


def sort_best_first(best: TopK) -> None:
    """Keep each movie's best neighbours and sort them, best first."""
    _sort_best_first(pointer(best), best.sizes.size)
