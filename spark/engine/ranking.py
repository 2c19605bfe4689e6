"""Ranking by other scores than the cosine: offers whole rows and tiles of scores to top-k lists.

Separate from kernel.py, because the cosine needs none of it, and each function takes a good part of
a second to compile.
"""

import numpy as np
from numba import njit

from spark.engine.kernel import empty_top_k, is_worse, keep_top_k, push, score_of

SIGNIFICANT = 6  # digits of a score; more would depend on the order of additions
LIFT = 1e-5  # rounding raises a score by a smaller share than this
POWERS = 10.0 ** np.arange(23)


@njit(nogil=True, cache=True, error_model="numpy")
def rounded(score):
    """A score above 0, rounded to SIGNIFICANT digits: the double nearest to the decimal."""
    digits = SIGNIFICANT - 1 - int(np.floor(np.log10(score)))
    if digits < 0 or digits > 22:
        return score
    scale = POWERS[digits]  # exact, so the quotient is the nearest double
    return np.rint(score * scale) / scale


@njit(nogil=True, cache=True, error_model="numpy")
def round_all(scores):
    """Round scores in place; NaN stays NaN."""
    for k in range(scores.size):
        if scores[k] > 0.0:
            scores[k] = rounded(scores[k])


@njit(nogil=True, cache=True, error_model="numpy")
def offer_scores(scores, sums, row_ids, column_ids, first_row, first_column, best):
    """Offer the pairs of a tile by another score than the cosine, if it is above 0.

    Args:
        scores: float64 [rows, columns]; 0 or NaN for a pair without co-raters.
        sums: of the tile, see `add_pairs`.
        row_ids: ids of the row movies, int32.
        column_ids: ids of the column movies, int32.
        first_row: where in `best` these row movies begin.
        first_column: where in `best` these column movies begin.
        best: from `empty_top_k`.
    """
    sizes, least, s, c, m, x = best
    for i in range(row_ids.size):
        row = first_row + i
        for j in range(column_ids.size):
            score = scores[i, j]
            column = first_column + j
            for_row, for_column = score >= least[row], score >= least[column]
            if not (for_row or for_column) or score == 0.0:
                continue
            n, cosine = sums[i, 0, j], score_of(sums[i, 1, j], sums[i, 2, j], sums[i, 3, j])
            for side in range(2):
                of, movie = (row, column_ids[j]) if side == 0 else (column, row_ids[i])
                if score >= least[of] and push(sizes, s, c, m, x, of, score, n, movie, cosine):
                    keep_top_k(best, of)


@njit(nogil=True, cache=True, error_model="numpy")
def offer_rows(best, scores, own, others, raters):
    """Offer whole rows of scores above 0, rounded; of equal ones the movie with more raters wins.

    Args:
        best: from `empty_top_k`, one row per movie; stores raters in place of co-raters.
        scores: float64 [movies, others].
        own: ids of the movies, int32. A movie is not its own neighbour.
        others: ids of the others, int32.
        raters: of the others, int32.
    """
    sizes, least, s, c, m, x = best
    worst = (s.shape[1] >> 1) - 1  # where `keep_top_k` puts the worst neighbour
    last, as_rounded = 0.0, 0.0  # many scores are equal: those of movies with the same genres
    for i in range(own.size):
        for j in range(others.size):
            score = scores[i, j]
            if not score > 0.0 or score * (1.0 + LIFT) < least[i] or others[j] == own[i]:
                continue
            if score != last:
                last, as_rounded = score, rounded(score)
            neighbour = as_rounded, raters[j], others[j]
            is_better = least[i] == 0.0 or is_worse(
                s[i, worst], c[i, worst], m[i, worst], *neighbour
            )
            if is_better and push(sizes, s, c, m, x, i, *neighbour, np.nan):
                keep_top_k(best, i)


def warm_up() -> None:
    """Compile everything for the types that are used."""
    scores, sums = np.zeros((1, 1)), np.zeros((1, 4, 1), np.int32)
    ids, best = np.ones(1, np.int32), empty_top_k(2, 1)
    offer_scores(scores, sums, ids, ids, 0, 1, best)
    offer_rows(best, scores, ids, ids, ids)
    round_all(scores[0])
