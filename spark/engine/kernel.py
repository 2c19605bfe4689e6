"""The arithmetic of co-rated similarity: exact sums over co-raters, thresholds, best neighbours.

Imports no Spark. Everything is an integer until the score, and exact.

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

import numpy as np
from numba import njit

from spark.engine.entries import HALVES_BITS, MAX_HALVES

FLUSH = 1310

# Typed, because numba turns uint64 and a plain integer into int64, and that into a float.
_BITS, _HALVES = np.uint16(HALVES_BITS), np.uint16((1 << HALVES_BITS) - 1)
_XY, _XX, _YY = np.uint64(11), np.uint64(28), np.uint64(45)
_COUNT, _SUM = np.uint64((1 << 11) - 1), np.uint64((1 << 17) - 1)


def _words() -> np.ndarray:
    """What a visit adds, by row and column rating: uint64 [11, 16]."""
    h = np.arange(1 << HALVES_BITS, dtype=np.uint64)
    of_row = h[: MAX_HALVES + 1, None]
    return np.uint64(1) | of_row * h << _XY | of_row * of_row << _XX | h * h << _YY


WORDS = _words()


@njit(nogil=True, cache=True, error_model="numpy")
def _flush(words, sums):
    """Unpack the accumulators of one row movie into its sums and clear them."""
    for j in range(words.size):
        word = words[j]
        words[j] = 0
        sums[0, j] += np.int32(word & _COUNT)
        sums[1, j] += np.int32((word >> _XY) & _SUM)
        sums[2, j] += np.int32((word >> _XX) & _SUM)
        sums[3, j] += np.int32(word >> _YY)


def add_pairs(row_lengths, row_entries, column_lengths, column_entries, same, sums):
    """Add the co-ratings of some users to the sums of a cell.

    Args:
        row_lengths: how many ratings each user has in the row block, uint16 [users].
        row_entries: those ratings, uint16, by user, ascending.
        column_lengths: the same for the column block.
        column_entries: the same for the column block.
        same: whether both blocks are the same; then only columns after the row's movie count.
        sums: n, X, A, B as int32 [row movies, 4, column movies]; added to.
    """
    # NumPy makes the arrays: an allocation in numba costs half a second to compile.
    column_starts = np.append(0, np.cumsum(column_lengths, dtype=np.int64))
    raters = np.bincount(row_entries >> HALVES_BITS, minlength=sums.shape[0])
    visits = (
        np.cumsum(raters) - raters,
        np.empty(row_entries.size, np.uint32),
        np.empty(row_entries.size, np.uint32),
        np.empty(row_entries.size, np.uint8),
    )
    _find_visits(row_lengths, row_entries, column_starts, same, *visits)
    _visit(*visits, column_entries, WORDS, np.zeros(sums.shape[2], np.uint64), sums)


@njit(nogil=True, cache=True, error_model="numpy")
def _find_visits(row_lengths, row_entries, column_starts, same, ends, first, last, rating):
    """Sort the row entries by movie, and find which column entries each rater visits.

    Args:
        row_lengths: see `add_pairs`.
        row_entries: see `add_pairs`.
        column_starts: where each user's column entries begin, and the last ends, int64 [users + 1].
        same: see `add_pairs`.
        ends: int64 [row movies], where each movie's raters begin; receives where they end.
        first: uint32 [row entries]; receives each rater's first column entry.
        last: receives the index after each rater's last column entry.
        rating: uint8; receives half stars.
    """
    k = 0
    for user in range(row_lengths.size):
        for _ in range(row_lengths[user]):
            entry = row_entries[k]
            k += 1
            i = np.int64(entry >> _BITS)
            at = ends[i]
            ends[i] = at + 1
            first[at] = k if same else column_starts[user]
            last[at] = column_starts[user + 1]
            rating[at] = entry & _HALVES


@njit(nogil=True, cache=True, error_model="numpy")
def _visit(ends, first, last, rating, column_entries, table, words, sums):
    """Add up, for each row movie, what its raters gave the column movies.

    Args:
        ends: from `_find_visits`, like `first`, `last` and `rating`.
        first: see `_find_visits`.
        last: see `_find_visits`.
        rating: see `_find_visits`.
        column_entries: see `add_pairs`.
        table: WORDS.
        words: the accumulators, uint64 [column movies], zero.
        sums: see `add_pairs`.
    """
    at = 0
    for i in range(ends.size):
        pending = 0
        while at < ends[i]:
            adds = table[rating[at]]
            for k in range(first[at], last[at]):
                entry = column_entries[k]
                words[entry >> _BITS] += adds[entry & _HALVES]
            at += 1
            pending += 1
            if pending == FLUSH:
                _flush(words, sums[i])
                pending = 0
        if pending:
            _flush(words, sums[i])


@njit(nogil=True, cache=True, error_model="numpy")
def score_of(xy, xx, yy):
    """The score of two movies from their integer sums X, A and B."""
    return (xy / 4.0) / (np.sqrt(xx / 4.0) * np.sqrt(yy / 4.0))


@njit(nogil=True, cache=True, error_model="numpy")
def is_worse(score, n, movie, than_score, than_n, than_movie):
    """Whether one neighbour ranks after another: by score, then co-raters, then smaller id."""
    if score != than_score:
        return score < than_score
    if n != than_n:
        return n < than_n
    return movie > than_movie


@njit(nogil=True, cache=True, error_model="numpy")
def keep_top_k(best, of):
    """Keep only the `count` best neighbours of a movie, the worst of them last.

    Hoare's quickselect (Find, CACM 1961).
    """
    sizes, least, s, c, m, x = best
    first, last, wanted = 0, sizes[of] - 1, (s.shape[1] >> 1) - 1
    if last <= wanted:
        return
    sizes[of] = wanted + 1
    while first < last:
        middle = (first + last) >> 1
        score, n, movie = s[of, middle], c[of, middle], m[of, middle]
        i, j = first, last
        while i <= j:
            while is_worse(score, n, movie, s[of, i], c[of, i], m[of, i]):
                i += 1
            while is_worse(s[of, j], c[of, j], m[of, j], score, n, movie):
                j -= 1
            if i <= j:
                s[of, i], s[of, j], c[of, i], c[of, j] = s[of, j], s[of, i], c[of, j], c[of, i]
                m[of, i], m[of, j], x[of, i], x[of, j] = m[of, j], m[of, i], x[of, j], x[of, i]
                i += 1
                j -= 1
        if j < wanted < i:
            break
        if wanted <= j:
            last = j
        else:
            first = i
    least[of] = s[of, wanted]


@njit(nogil=True, cache=True, error_model="numpy")
def push(sizes, s, c, m, x, of, score, n, movie, cosine):
    """Add a neighbour of a movie; returns whether the room is full, so that `keep_top_k` is due.

    Takes the arrays one by one: unpacking a tuple of them for each neighbour is ten times slower,
    and so is calling `keep_top_k` in here.

    Args:
        sizes: from `empty_top_k`, like `s`, `c`, `m` and `x`.
        s: scores.
        c: co-raters.
        m: ids.
        x: cosines.
        of: the movie.
        score: of the neighbour, not below the movie's least.
        n: its co-raters.
        movie: its id.
        cosine: over the co-raters.
    """
    at = sizes[of]
    s[of, at], c[of, at], m[of, at], x[of, at] = score, n, movie, cosine
    sizes[of] = at + 1
    return sizes[of] == s.shape[1]


@njit(nogil=True, cache=True, error_model="numpy")
def keep_pairs(sums, row_ids, column_ids, least, row, integers, doubles, best, first_column):
    """The pairs of a cell that pass both thresholds, for as many row movies as fit.

    Args:
        sums: from `add_pairs`.
        row_ids: ids of the row movies, int32.
        column_ids: ids of the column movies, int32.
        least: the thresholds: least n, which is at least 1, and least score.
        row: row movie to begin with.
        integers: int32 [3, at least column movies]; receives smaller id, larger id, n.
        doubles: float64 [4, like `integers`]; receives Σxy, Σxx, Σyy and the score.
        best: from `empty_top_k`, for the row movies and then the column movies.
        first_column: where in `best` the column movies begin: 0 on the diagonal.

    Returns:
        The row movie to continue with, and the number of pairs written.
    """
    size = 0
    min_co_raters, min_score = least
    sizes, bar, s, c, m, x = best
    while row < row_ids.size and size + column_ids.size <= integers.shape[1]:
        n, xy, xx, yy = sums[row]
        of_row = row_ids[row]
        for j in range(column_ids.size):
            if n[j] < min_co_raters:
                continue
            score = score_of(xy[j], xx[j], yy[j])
            if not score >= min_score:
                continue
            of_column = column_ids[j]
            swap = of_row > of_column
            integers[0, size] = of_column if swap else of_row
            integers[1, size] = of_row if swap else of_column
            integers[2, size] = n[j]
            doubles[0, size] = xy[j] / 4.0
            doubles[1, size] = (yy[j] if swap else xx[j]) / 4.0
            doubles[2, size] = (xx[j] if swap else yy[j]) / 4.0
            doubles[3, size] = score
            size += 1
            for side in range(2):
                of, other = (row, of_column) if side == 0 else (first_column + j, of_row)
                if score >= bar[of] and push(sizes, s, c, m, x, of, score, n[j], other, score):
                    keep_top_k(best, of)
        row += 1
    return row, size


def empty_top_k(movies: int, count: int) -> tuple[np.ndarray, ...]:
    """Room for the best neighbours of some movies, at most `count` for each.

    There is room for twice as many. When it is full, the better half stays. So most offers cost one
    comparison, and one that is stored costs its share of a selection.

    Returns:
        For each movie the number of its neighbours so far, int32 [movies]; the score below which it
        takes none, float64 [movies]; and the neighbours' scores, float64, co-raters and ids, int32,
        and cosines, float64, [movies, 2 · count] each.
    """
    shape = movies, 2 * count
    sizes, numbers = np.zeros(movies, np.int32), np.empty(shape, np.int32)
    least, scores = np.zeros(movies), np.empty(shape)
    return sizes, least, scores, numbers, np.empty_like(numbers), np.empty_like(scores)


@njit(nogil=True, cache=True, error_model="numpy")
def offer_all(best, movies, scores, numbers, neighbours, cosines):
    """Offer neighbours to the top-k lists of movies.

    Args:
        best: from `empty_top_k`.
        movies: for each neighbour the row of its movie in `best`, int64 [neighbours].
        scores: of the neighbours, float64.
        numbers: co-raters, int32.
        neighbours: ids, int32.
        cosines: float64.
    """
    sizes, least, s, c, m, x = best
    for k in range(movies.size):
        of = movies[k]
        if scores[k] >= least[of] and push(
            sizes, s, c, m, x, of, scores[k], numbers[k], neighbours[k], cosines[k]
        ):
            keep_top_k(best, of)


@njit(nogil=True, cache=True, error_model="numpy")
def sort_best_first(best):
    """Keep each movie's best neighbours and sort them, best first; Shell's sort (CACM 1959)."""
    sizes, _, s, c, m, x = best
    for of in range(sizes.size):
        keep_top_k(best, of)
        gap = int(sizes[of])
        while gap > 1:
            gap = max(1, gap * 5 // 11)  # Gonnet's gaps
            for k in range(gap, sizes[of]):
                score, n, movie, cosine = s[of, k], c[of, k], m[of, k], x[of, k]
                at, up = k, k - gap
                while up >= 0 and is_worse(s[of, up], c[of, up], m[of, up], score, n, movie):
                    s[of, at], c[of, at] = s[of, up], c[of, up]
                    m[of, at], x[of, at] = m[of, up], x[of, up]
                    at, up = up, up - gap
                s[of, at], c[of, at], m[of, at], x[of, at] = score, n, movie, cosine


def warm_up() -> None:
    """Compile everything for the types that are used."""
    lengths, entries = np.ones(1, np.uint16), np.ones(1, np.uint16)
    for array in (lengths, entries):
        array.flags.writeable = False  # as they come from Arrow
    sums = np.zeros((1, 4, 1), np.int32)
    add_pairs(lengths, entries, lengths, entries, False, sums)
    ids, best = np.ones(1, np.int32), empty_top_k(2, 1)
    integers, doubles = np.empty((3, 1), np.int32), np.empty((4, 1))
    keep_pairs(sums, ids, ids, (1, 0.5), 0, integers, doubles, best, 1)
    offer_all(best, np.zeros(1, np.int64), doubles[3], ids, ids, doubles[3])
    sort_best_first(best)
