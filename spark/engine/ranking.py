"""Ranking by other scores than the cosine: offers whole rows and tiles of scores to top-k lists.

The loops are in ranking.c.
"""

from ctypes import c_double, c_int64, c_void_p

import numpy as np

from spark.engine.kernel import TopK, pointer
from spark.runtime.native import array_of, function

_int32, _float64 = array_of(np.int32), array_of(np.float64)

# A score above 0, rounded to six significant digits: the double nearest to the decimal.
rounded = function("rounded", c_double, returns=c_double)
_round_all = function("round_all", _float64, c_int64)
_offer_scores = function(
    "offer_scores",
    *(_float64, c_void_p, c_int64, c_int64, _int32, c_int64, _int32, c_int64, c_int64, c_int64),
    c_void_p,
)
_offer_rows = function("offer_rows", c_void_p, _float64, _int32, c_int64, _int32, _int32, c_int64)


def round_all(scores: np.ndarray) -> None:
    """Round scores above 0 in place; NaN stays NaN.

    Args:
        scores: float64.
    """
    _round_all(scores, scores.size)


def offer_scores(
    scores: np.ndarray,
    sums: np.ndarray,
    row_ids: np.ndarray,
    column_ids: np.ndarray,
    first_row: int,
    first_column: int,
    best: TopK,
) -> None:
    """Offer the pairs of a tile by another score than the cosine, if it is above 0.

    Args:
        scores: float64 [rows, columns]; 0 or NaN for a pair without co-raters.
        sums: of the tile, a part of what `kernel.add_pairs` adds to.
        row_ids: ids of the row movies, int32.
        column_ids: ids of the column movies, int32.
        first_row: where in `best` these row movies begin.
        first_column: where in `best` these column movies begin.
        best: receives them.
    """
    row, kind, column = (stride // sums.itemsize for stride in sums.strides)
    if sums.dtype != np.int32 or column != 1:
        raise TypeError("sums must be int32, and the columns of a row one after another")
    _offer_scores(
        *(np.ascontiguousarray(scores), sums.ctypes.data, row, kind),
        *(row_ids, row_ids.size, column_ids, column_ids.size, first_row, first_column),
        pointer(best),
    )


def offer_rows(
    best: TopK, scores: np.ndarray, own: np.ndarray, others: np.ndarray, raters: np.ndarray
) -> None:
    """Offer whole rows of scores above 0, rounded; of equal ones the movie with more raters wins.

    Args:
        best: one row per movie; stores raters in place of co-raters. A movie whose least score is
            infinite is left out.
        scores: float64 [movies, others].
        own: ids of the movies, int32. A movie is not its own neighbour.
        others: ids of the others, int32.
        raters: of the others, int32.
    """
    _offer_rows(pointer(best), scores, own, own.size, others, raters, others.size)
