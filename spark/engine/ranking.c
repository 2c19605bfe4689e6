// The loops of ranking.py, which describes the functions and their arguments.

#include <math.h>

#include "top_k.h"

static const int SIGNIFICANT = 6; // digits of a score; more would depend on the order of additions
static const double LIFT = 1e-5; // rounding raises a score by a smaller share than this
static const double SAME = 4e-7; // a rounded score that grows by this share still rounds to itself
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

// What a movie's next neighbour has to reach. Its worst one has a rounded score.
typedef struct {
    double least; // scores below it are still lower when rounded
    double above; // scores above it are higher than the worst one's, also when rounded
    int32_t raters; // of the worst one; those between the two need as many
} Bar;

static Bar bar_of(const TopK *best, int64_t movie) {
    double least = best->least[movie];
    if (least == 0) return (Bar){0, 0, 0}; // it has no worst one yet, so each score will do
    double above = least * (1 + SAME);
    if (rounded(above) != least) above = least; // so large or small that all decimals stay
    int64_t worst = best->room / 2 - 1; // where `keep_better_half` puts it
    int32_t raters = best->neighbours[movie * best->room + worst].co_raters;
    return (Bar){least / (1 + LIFT), above, raters};
}

// Whether a score above 0 may reach the bar.
static inline bool may_reach(double score, int32_t raters, Bar bar) {
    return (score > bar.above) | ((score >= bar.least) & (raters >= bar.raters));
}

// Whether one of some scores may reach the bar.
static bool any_may_reach(const double *scores, const int32_t *raters, Bar bar, int64_t count) {
    int any = 0;
    for (int64_t j = 0; j < count; j++)
        any |= (scores[j] > 0) & may_reach(scores[j], raters[j], bar);
    return any;
}

// Offer whole rows of scores above 0, rounded; see ranking.py.
void offer_rows(
    const TopK *best, const double *scores, const int32_t *own, int64_t movies,
    const int32_t *others, const int32_t *raters, int64_t count
) {
    double last = 0, as_rounded = 0; // many scores are equal: those of movies with the same genres
    for (int64_t i = 0; i < movies; i++, scores += count) {
        if (isinf(best->least[i])) continue;
        Bar bar = bar_of(best, i);
        for (int64_t start = 0; start < count; start += AT_ONCE) {
            int64_t end = start + AT_ONCE < count ? start + AT_ONCE : count;
            if (!any_may_reach(scores + start, raters + start, bar, end - start)) continue;
            for (int64_t j = start; j < end; j++) {
                double score = scores[j];
                if (!(score > 0) || !may_reach(score, raters[j], bar) || others[j] == own[i])
                    continue;
                if (score != last) {
                    last = score;
                    as_rounded = rounded(score);
                }
                Neighbour found = {as_rounded, NAN, raters[j], others[j]};
                int64_t worst = i * best->room + best->room / 2 - 1;
                if (best->least[i] > 0 && !is_worse(best->neighbours[worst], found)) continue;
                push(best, i, found);
                if (best->sizes[i] == best->room / 2) bar = bar_of(best, i); // a half is gone
            }
        }
    }
}
