// The loops of kernel.py, which describes the functions, their arguments and their arithmetic.

#include <string.h>

#include "top_k.h"

enum {
    HALVES_BITS = 4,
    HALVES = (1 << HALVES_BITS) - 1,
    XY = 11, // where the fields of a word begin, after the count
    XX = 28,
    YY = 45,
    COUNT = (1 << 11) - 1,
    SUM = (1 << 17) - 1,
};

void cosines(
    const int32_t *xy, const int32_t *xx, const int32_t *yy, int64_t count, double *cosines
) {
    for (int64_t k = 0; k < count; k++) cosines[k] = score_of(xy[k], xx[k], yy[k]);
}

// Unpack the accumulators of one row movie, from a column on, into its sums and clear them.
static void flush(uint64_t *words, int64_t first, int64_t columns, int32_t *sums) {
    int32_t *n = sums, *xy = n + columns, *xx = xy + columns, *yy = xx + columns;
    for (int64_t j = first; j < columns; j++) {
        uint64_t word = words[j];
        n[j] += (int32_t)(word & COUNT);
        xy[j] += (int32_t)(word >> XY & SUM);
        xx[j] += (int32_t)(word >> XX & SUM);
        yy[j] += (int32_t)(word >> YY);
    }
    memset(words + first, 0, (columns - first) * sizeof *words);
}

// Sort the row entries by movie, and find which column entries each rater visits.
// `ends` has where each movie's raters begin, and receives where they end.
void find_visits(
    const uint16_t *row_lengths, int64_t users, const uint16_t *row_entries,
    const int64_t *column_starts, bool same, int64_t *ends, uint32_t *first, uint32_t *last,
    uint8_t *rating
) {
    int64_t k = 0;
    for (int64_t user = 0; user < users; user++) {
        for (int64_t end = k + row_lengths[user]; k < end;) {
            uint16_t entry = row_entries[k++];
            int64_t at = ends[entry >> HALVES_BITS]++;
            first[at] = (uint32_t)(same ? k : column_starts[user]);
            last[at] = (uint32_t)column_starts[user + 1];
            rating[at] = entry & HALVES;
        }
    }
}

enum { AHEAD = 4, CACHE_LINE = 64 / sizeof(uint16_t) };

// Add up, for each row movie, what its raters gave the column movies.
// `table` has the words [row rating, column rating]; `words`, the accumulators, are zero. If both
// blocks are the same, a row has only the columns after its own; the other sums are not touched.
void visit(
    const int64_t *ends, int64_t rows, const uint32_t *first, const uint32_t *last,
    const uint8_t *rating, const uint16_t *column_entries, const uint64_t *table, uint64_t *words,
    int64_t columns, bool same, int32_t flush_after, int32_t *sums
) {
    int64_t at = 0, raters = rows ? ends[rows - 1] : 0;
    for (int64_t i = 0; i < rows; i++, sums += 4 * columns) {
        int32_t pending = 0;
        int64_t first_column = same ? i + 1 : 0;
        for (; at < ends[i]; at++) {
            if (at + AHEAD < raters) { // most runs are short, and each is elsewhere
                const uint16_t *next = column_entries + first[at + AHEAD];
                __builtin_prefetch(next);
                __builtin_prefetch(next + CACHE_LINE);
            }
            const uint64_t *adds = table + (rating[at] << HALVES_BITS);
            for (uint32_t k = first[at]; k < last[at]; k++) {
                uint16_t entry = column_entries[k];
                words[entry >> HALVES_BITS] += adds[entry & HALVES];
            }
            if (++pending == flush_after) {
                flush(words, first_column, columns, sums);
                pending = 0;
            }
        }
        if (pending) flush(words, first_column, columns, sums);
    }
}

enum { AT_ONCE = 64 }; // columns that are looked through at once; their loops have no branches
static const double LOOSE = 1 - 1e-9; // far more than the rounding errors of the doubles below

// Find the columns from `j` to `end` that may pass both thresholds, and perhaps a few more: those
// with the least n and (Σxy)² ≥ minimum² · Σxx · Σyy, which takes no root and no division.
static int64_t candidates(
    const int32_t *n, const int32_t *xy, const int32_t *xx, const int32_t *yy, int64_t j,
    int64_t end, int32_t min_co_raters, double least_square, int64_t *found
) {
    int64_t count = 0;
    for (; j < end; j++) {
        double product = (double)xx[j] * yy[j];
        found[count] = j;
        count += (n[j] >= min_co_raters) & ((double)xy[j] * xy[j] >= least_square * product);
    }
    return count;
}

// Offer a pair to both of its movies.
static inline void offer_pair(
    const TopK *best, int64_t row, int64_t column, int32_t row_id, int32_t column_id, double score,
    int32_t n
) {
    if (score >= best->least[row]) push(best, row, (Neighbour){score, score, n, column_id});
    if (score >= best->least[column]) push(best, column, (Neighbour){score, score, n, row_id});
}

// The pairs of a cell that pass both thresholds, for as many row movies from `row` on as fit into
// `integers` [3, room] and `doubles` [4, room]; with a room of 0, pairs are only offered.
// Returns the row movie to continue with; `kept` receives the number of pairs.
int64_t keep_pairs(
    const int32_t *sums, const int32_t *row_ids, int64_t rows, const int32_t *column_ids,
    int64_t columns, int32_t min_co_raters, double min_score, int64_t row, int32_t *integers,
    double *doubles, int64_t room, const TopK *best, int64_t first_column, int64_t *kept
) {
    double least_square = min_score > 0 ? min_score * min_score * LOOSE : 0;
    int64_t size = 0, found[AT_ONCE];
    for (; row < rows && (room == 0 || size + columns <= room); row++) {
        const int32_t *n = sums + row * 4 * columns;
        const int32_t *xy = n + columns, *xx = xy + columns, *yy = xx + columns;
        // On the diagonal the columns up to the row's own are empty.
        for (int64_t start = first_column ? 0 : row + 1; start < columns; start += AT_ONCE) {
            int64_t end = start + AT_ONCE < columns ? start + AT_ONCE : columns;
            int64_t count =
                candidates(n, xy, xx, yy, start, end, min_co_raters, least_square, found);
            for (int64_t k = 0; k < count; k++) {
                int64_t j = found[k];
                double score = score_of(xy[j], xx[j], yy[j]);
                if (!(score >= min_score)) continue;
                offer_pair(best, row, first_column + j, row_ids[row], column_ids[j], score, n[j]);
                if (room == 0) continue;
                bool swap = row_ids[row] > column_ids[j];
                integers[size] = swap ? column_ids[j] : row_ids[row];
                integers[room + size] = swap ? row_ids[row] : column_ids[j];
                integers[2 * room + size] = n[j];
                doubles[size] = xy[j] / 4.0;
                doubles[room + size] = (swap ? yy[j] : xx[j]) / 4.0;
                doubles[2 * room + size] = (swap ? xx[j] : yy[j]) / 4.0;
                doubles[3 * room + size] = score;
                size++;
            }
        }
    }
    *kept = size;
    return row;
}

// Quickselect (Hoare, Find, CACM 1961).
void keep_better_half(const TopK *best, int64_t movie) {
    Neighbour *mine = best->neighbours + movie * best->room;
    int64_t first = 0, last = best->sizes[movie] - 1, wanted = best->room / 2 - 1;
    if (last <= wanted) return;
    best->sizes[movie] = (int32_t)(wanted + 1);
    while (first < last) {
        Neighbour middle = mine[(first + last) / 2];
        int64_t i = first, j = last;
        while (i <= j) {
            while (is_worse(middle, mine[i])) i++;
            while (is_worse(mine[j], middle)) j--;
            if (i <= j) {
                Neighbour swapped = mine[i];
                mine[i++] = mine[j];
                mine[j--] = swapped;
            }
        }
        if (j < wanted && wanted < i) break;
        if (wanted <= j) last = j;
        else first = i;
    }
    best->least[movie] = mine[wanted].score;
}

// Offer neighbours to the movies `of`, which are rows of `best`.
void offer_all(
    const TopK *best, const int32_t *of, int64_t count, const double *scores,
    const int32_t *co_raters, const int32_t *ids, const double *cosines
) {
    for (int64_t k = 0; k < count; k++) {
        if (scores[k] >= best->least[of[k]])
            push(best, of[k], (Neighbour){scores[k], cosines[k], co_raters[k], ids[k]});
    }
}

// Keep each movie's better half and sort it, best first; Shell's sort (CACM 1959).
void sort_best_first(const TopK *best, int64_t movies) {
    for (int64_t movie = 0; movie < movies; movie++) {
        keep_better_half(best, movie);
        Neighbour *mine = best->neighbours + movie * best->room;
        int64_t size = best->sizes[movie];
        for (int64_t gap = size; gap > 1;) {
            gap = gap * 5 / 11 > 1 ? gap * 5 / 11 : 1; // Gonnet's gaps
            for (int64_t k = gap; k < size; k++) {
                Neighbour moved = mine[k];
                int64_t at = k;
                for (; at >= gap && is_worse(mine[at - gap], moved); at -= gap)
                    mine[at] = mine[at - gap];
                mine[at] = moved;
            }
        }
    }
}
