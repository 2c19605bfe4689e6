// The loops of ranking.py, which describes the functions and their arguments.

#include <math.h>

#include "top_k.h"

static const int SIGNIFICANT = 6; // digits of a score; more would depend on the order of additions
static const double LIFT = 1e-5; // rounding raises a score by a smaller share than this
static const double POWERS[] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

// A score above 0, rounded to SIGNIFICANT digits: the double nearest to the decimal.
double rounded(double score) {
    int digits = SIGNIFICANT - 1 - (int)floor(log10(score));
    if (digits < 0 || digits > 22) return score;
    double scale = POWERS[digits]; // exact, so the quotient is the nearest double
    return __builtin_rint(score * scale) / scale;
}

void round_all(double *scores, int64_t count) {
    for (int64_t k = 0; k < count; k++) {
        if (scores[k] > 0) scores[k] = rounded(scores[k]);
    }
}

enum { AT_ONCE = 64 }; // scores that are looked through at once, in a loop without branches

// Whether one of some scores reaches the least of its row or of its column.
static bool any_reaches(const double *scores, double least, const double *of_columns, int64_t count) {
    int any = 0;
    for (int64_t j = 0; j < count; j++)
        any |= (scores[j] > 0) & ((scores[j] >= least) | (scores[j] >= of_columns[j]));
    return any;
}

// Offer the pairs of a tile by another score than the cosine; see ranking.py.
void offer_scores(
    const double *scores, const int32_t *sums, int64_t row_stride, int64_t kind_stride,
    const int32_t *row_ids, int64_t rows, const int32_t *column_ids, int64_t columns,
    int64_t first_row, int64_t first_column, const TopK *best
) {
    const double *of_columns = best->least + first_column;
    for (int64_t i = 0; i < rows; i++, scores += columns) {
        const int32_t *n = sums + i * row_stride;
        const int32_t *xy = n + kind_stride, *xx = xy + kind_stride, *yy = xx + kind_stride;
        int64_t row = first_row + i;
        for (int64_t start = 0; start < columns; start += AT_ONCE) {
            int64_t end = start + AT_ONCE < columns ? start + AT_ONCE : columns;
            if (!any_reaches(scores + start, best->least[row], of_columns + start, end - start))
                continue;
            for (int64_t j = start; j < end; j++) {
                double score = scores[j];
                bool for_row = score >= best->least[row], for_column = score >= of_columns[j];
                if (!(score > 0) || !(for_row || for_column)) continue;
                Neighbour pair = {score, score_of(xy[j], xx[j], yy[j]), n[j], column_ids[j]};
                if (for_row) push(best, row, pair);
                pair.id = row_ids[i];
                if (for_column) push(best, first_column + j, pair);
            }
        }
    }
}

// Whether one of some scores, rounded up, reaches the least.
static bool any_above(const double *scores, double least, int64_t count) {
    int any = 0;
    for (int64_t j = 0; j < count; j++)
        any |= (scores[j] > 0) & (scores[j] * (1 + LIFT) >= least);
    return any;
}

// Offer whole rows of scores above 0, rounded; see ranking.py.
void offer_rows(
    const TopK *best, const double *scores, const int32_t *own, int64_t movies,
    const int32_t *others, const int32_t *raters, int64_t count
) {
    int64_t worst = best->room / 2 - 1; // where `keep_better_half` puts the worst neighbour
    double last = 0, as_rounded = 0; // many scores are equal: those of movies with the same genres
    for (int64_t i = 0; i < movies; i++, scores += count) {
        for (int64_t start = 0; start < count; start += AT_ONCE) {
            int64_t end = start + AT_ONCE < count ? start + AT_ONCE : count;
            if (!any_above(scores + start, best->least[i], end - start)) continue;
            for (int64_t j = start; j < end; j++) {
                double score = scores[j], least = best->least[i];
                if (!(score > 0) || score * (1 + LIFT) < least || others[j] == own[i]) continue;
                if (score != last) {
                    last = score;
                    as_rounded = rounded(score);
                }
                Neighbour found = {as_rounded, NAN, raters[j], others[j]};
                if (least == 0 || is_worse(best->neighbours[i * best->room + worst], found))
                    push(best, i, found);
            }
        }
    }
}
