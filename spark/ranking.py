"""Ranking by other scores than the cosine: whole rows and cells of scores, the best of them kept.

Apart from kernel.py, because the cosine alone needs none of it and each function costs a good part
of a second to compile.
"""

import numpy as np
from numba import njit

from kernel import is_worse, no_best, offer, score_of

SIGNIFICANT = 6  # digits of a score that is not exact: more depend on the order of additions
LIFT = 1e-5  # more than rounding to so many digits adds to a score, of the score
POWERS = 10.0 ** np.arange(23)


@njit(nogil=True, cache=True, error_model="numpy")
def rounded(score):
    """A score above 0 to SIGNIFICANT digits: the double nearest to the decimal."""
    digits = SIGNIFICANT - 1 - int(np.floor(np.log10(score)))
    if digits < 0 or digits > 22:
        return score
    scale = POWERS[digits]  # exact, so that the quotient is the nearest double
    return np.rint(score * scale) / scale


@njit(nogil=True, cache=True, error_model="numpy")
def round_all(scores):
    """Replace scores by what `rounded` makes of them; what is no number stays."""
    for k in range(scores.size):
        if scores[k] > 0.0:
            scores[k] = rounded(scores[k])


@njit(nogil=True, cache=True, error_model="numpy")
def offer_scores(scores, sums, row_ids, column_ids, first_row, first_column, best, least):
    """Offer the pairs of some row movies by another score than the cosine, where it is above 0.

    Args:
        scores: float64 [rows, columns]; of a pair without co-raters 0 or no number.
        sums: of these rows, see `add_pairs`.
        row_ids: ids of the row movies, int32.
        column_ids: ids of the column movies, int32.
        first_row: where in `best` these row movies begin.
        first_column: where in `best` the column movies begin.
        best: see `offer`.
        least: float64 [movies of `best`], 0 at first; what is below it is no longer among the best.
            It stands together, where the scores in `best` would be fetched from far apart.
    """
    sizes, kept = best[0], best[1]
    most = kept.shape[1]
    for i in range(row_ids.size):
        row = first_row + i
        n, xy, xx, yy = sums[i]
        for j in range(column_ids.size):
            score = scores[i, j]
            column = first_column + j
            for_row, for_column = score >= least[row], score >= least[column]
            if not (for_row or for_column) or score == 0.0:
                continue
            cosine = score_of(xy[j], xx[j], yy[j])
            if for_row:
                offer(best, row, score, n[j], column_ids[j], cosine)
                if sizes[row] == most:
                    least[row] = kept[row, 0]
            if for_column:
                offer(best, column, score, n[j], row_ids[i], cosine)
                if sizes[column] == most:
                    least[column] = kept[column, 0]


@njit(nogil=True, cache=True, error_model="numpy")
def offer_rows(best, scores, own, others, raters):
    """Offer whole rows of scores, rounded, where they are above 0; of equal ones the better known.

    Args:
        best: from `no_best`, a row for each movie; gets raters instead of co-raters.
        scores: float64 [movies, others].
        own: ids of the movies, which are not their own neighbours, int32.
        others: ids of the others, int32.
        raters: of the others, int32.
    """
    sizes, kept, numbers, movies, _ = best
    last, as_rounded = 0.0, 0.0  # equal scores come in crowds: of movies with the same genres
    for i in range(own.size):
        for j in range(others.size):
            score = scores[i, j]
            is_full = sizes[i] == kept.shape[1]
            if is_full and score * (1.0 + LIFT) < kept[i, 0]:
                continue
            if not score > 0.0 or others[j] == own[i]:
                continue
            if score != last:
                last, as_rounded = score, rounded(score)
            worst = kept[i, 0], numbers[i, 0], movies[i, 0]
            if not is_full or is_worse(*worst, as_rounded, raters[j], others[j]):
                offer(best, i, as_rounded, raters[j], others[j], np.nan)


def warm_up() -> None:
    """Compile everything for the types it is used with."""
    scores, sums = np.zeros((1, 1)), np.zeros((1, 4, 1), np.int32)
    ids, best = np.ones(1, np.int32), no_best(2, 1)
    offer_scores(scores, sums, ids, ids, 0, 1, best, np.zeros(2))
    offer_rows(best, scores, ids, ids, ids)
    round_all(scores[0])
