"""The kernel: exact against plain loops, even when a packed field is full."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.engine import cells, kernel, ranking
from spark.engine.blocks import Blocks
from spark.engine.entries import HALVES_BITS, MAX_HALVES, MAX_RATERS
from tests.spark import oracle

RATINGS = st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(0, 7)), st.integers(1, 10), max_size=60
)


def score_of(*sums: int) -> float:
    """The cosine of a pair, from X, A and B."""
    return float(kernel.cosines(*(np.array([each], np.int32) for each in sums))[0])


def packed(rated: dict[tuple[int, int], int], users: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and entries by user, movies ascending."""
    ordered = sorted(rated.items())
    entries = np.array([movie << HALVES_BITS | half for (_, movie), half in ordered], np.uint16)
    lengths = [sum(user == rater for rater, _ in rated) for user in range(users)]
    return np.array(lengths, np.uint16), entries


def add(rated: dict, others: dict | None, users: int, sums: np.ndarray) -> np.ndarray:
    """Add users to a cell of rows and `others`, or of rows and the same rows."""
    rows = packed(rated, users)
    columns = rows if others is None else packed(others, users)
    kernel.add_pairs(*rows, *columns, others is None, sums)
    return sums


def found_sums(sums: np.ndarray) -> dict[tuple[int, int], tuple[int, ...]]:
    """The sums of all pairs with co-raters."""
    pairs = np.argwhere(sums[:, 0, :]).tolist()
    return {(i, j): tuple(sums[i, :, j].tolist()) for i, j in pairs}


def expected(rated: dict) -> dict[tuple[int, int], tuple[int, ...]]:
    """The same sums from plain loops, i < j."""
    table = [(user, movie, half / 2) for (user, movie), half in rated.items()]
    return {
        (i, j): (n, *(round(4 * value) for value in (xy, xx, yy)))
        for i, j, n, xy, xx, yy, _ in oracle.similarities(table, 1, 0.0)
    }


@settings(deadline=None)
@given(rated=RATINGS)
def test_the_sums_of_a_triangle_match_plain_loops(rated: dict) -> None:
    sums = add(rated, None, 10, np.zeros((8, 4, 8), np.int32))
    assert found_sums(sums) == expected(rated)


@settings(deadline=None)
@given(rated=RATINGS)
def test_the_sums_of_two_blocks_match_plain_loops(rated: dict) -> None:
    rows = {key: half for key, half in rated.items() if key[1] < 3}
    columns = {(user, movie - 3): h for (user, movie), h in rated.items() if movie >= 3}
    sums = add(rows, columns, 10, np.zeros((3, 4, 5), np.int32))
    crossing = {pair: values for pair, values in expected(rated).items() if pair[0] < 3 <= pair[1]}
    assert {(i, j + 3): values for (i, j), values in found_sums(sums).items()} == crossing


@settings(deadline=None)
@given(rated=RATINGS, cut=st.integers(0, 10))
def test_chunks_of_users_add_up_to_the_whole(rated: dict, cut: int) -> None:
    sums = np.zeros((8, 4, 8), np.int32)
    add({key: half for key, half in rated.items() if key[0] < cut}, None, 10, sums)
    add({key: half for key, half in rated.items() if key[0] >= cut}, None, 10, sums)
    assert found_sums(sums) == expected(rated)


@pytest.mark.parametrize("users", [kernel.FLUSH - 1, kernel.FLUSH, 3 * kernel.FLUSH + 1])
@pytest.mark.parametrize(("x", "y"), [(10, 10), (1, 1), (1, 10), (10, 1)])
def test_no_packed_field_overflows_into_the_next(users: int, x: int, y: int) -> None:
    rated = {(user, movie): half for user in range(users) for movie, half in ((0, x), (1, y))}
    lengths, entries = np.full(users, 2, np.uint16), np.tile([x, 1 << HALVES_BITS | y], users)
    sums = np.zeros((2, 4, 2), np.int32)
    rows = lengths, entries.astype(np.uint16)
    kernel.add_pairs(*rows, *rows, True, sums)
    assert len(rated) == 2 * users
    assert found_sums(sums) == {(0, 1): (users, users * x * y, users * x * x, users * y * y)}


def test_a_field_holds_exactly_as_many_raters_as_flush_says() -> None:
    assert kernel.WORDS[MAX_HALVES, MAX_HALVES] == 1 | 100 << 11 | 100 << 28 | 100 << 45
    assert kernel.FLUSH < 2**11
    assert 100 * kernel.FLUSH < 2**17 <= 100 * (kernel.FLUSH + 1), "one rater more would not fit"
    assert int(kernel.WORDS[MAX_HALVES, MAX_HALVES]) * kernel.FLUSH < 2**64
    assert 100 * MAX_RATERS < 2**31 <= 100 * (MAX_RATERS + 1)


@given(*[st.integers(1, 2**31 - 1)] * 3)
def test_a_score_is_the_double_of_plain_arithmetic(xy: int, xx: int, yy: int) -> None:
    plain = (xy / 4) / (math.sqrt(xx / 4) * math.sqrt(yy / 4))
    assert score_of(xy, xx, yy) == plain


def test_cosines_of_parts_of_a_matrix_are_those_of_their_pairs() -> None:
    some = np.random.default_rng(7).integers(0, 5, (3, 40, 50)).astype(np.int32)
    xy, xx, yy = some[:, 5:30, 7:21]
    found = kernel.cosines(xy, xx, yy)
    for place in np.ndindex(xy.shape):
        if xx[place] * yy[place]:
            plain = (xy[place] / 4) / (math.sqrt(xx[place] / 4) * math.sqrt(yy[place] / 4))
            assert found[place] == plain
    with pytest.raises(ValueError, match="same shape"):
        kernel.cosines(xy, xx, yy[:1])


@pytest.mark.parametrize(
    ("sum_xy", "sum_xx", "sum_yy", "score"),
    [
        (143.0, 162.75, 126.5, 0.9966215554619151),
        (180.5, 207.75, 158.5, 0.9946998598171956),
        (332.25, 439.75, 256.5, 0.989278067592776),
        (102072.0, 100414.0, 113210.75, 0.9573387913508588),
        (44755.5, 47380.25, 45733.25, 0.961461075725028),
    ],
)
def test_published_scores_are_reproduced(
    sum_xy: float, sum_xx: float, sum_yy: float, score: float
) -> None:
    assert score_of(int(4 * sum_xy), int(4 * sum_xx), int(4 * sum_yy)) == score


@settings(deadline=None)
@given(
    offers=st.lists(
        st.tuples(st.sampled_from([0.9, 0.95]), st.integers(1, 3), st.integers(1, 30)),
        max_size=40, unique_by=lambda offer: offer[2],
    ),
    count=st.integers(1, 6),
)  # fmt: skip
def test_the_top_k_match_a_full_sort(offers: list, count: int) -> None:
    columns = zip(*offers, strict=True) if offers else [()] * 3
    kinds = np.float64, np.int32, np.int32
    scores, numbers, ids = (np.array(c, k) for c, k in zip(columns, kinds, strict=True))
    best = kernel.empty_top_k(2, count)
    kernel.offer_all(best, np.ones(len(offers), np.int32), scores, numbers, ids, scores + ids)
    kernel.sort_best_first(best)
    kept = best.neighbours[1, : best.sizes[1]].tolist()
    by_rank = sorted(offers, key=lambda offer: (-offer[0], -offer[1], offer[2]))[:count]
    assert kept == [(score, score + movie, n, movie) for score, n, movie in by_rank]
    assert best.sizes[0] == 0


@settings(deadline=None)
@given(
    offers=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([0.9, 0.95]), st.integers(1, 99)),
        max_size=80, unique_by=lambda offer: offer[2],
    ),
    count=st.integers(1, 6),
)  # fmt: skip
def test_the_top_k_of_one_movie_never_mix_with_anothers(offers: list, count: int) -> None:
    columns = zip(*offers, strict=True) if offers else [()] * 3
    movies, scores, ids = (
        np.array(c, k) for c, k in zip(columns, (np.int32, float, np.int32), strict=True)
    )
    best = kernel.empty_top_k(3, count)
    kernel.offer_all(best, movies, scores, np.ones(ids.size, np.int32), ids, scores)
    kernel.sort_best_first(best)
    for movie in range(3):
        mine = sorted((-score, id) for of, score, id in offers if of == movie)
        assert best.neighbours["id"][movie, : best.sizes[movie]].tolist() == [
            id for _, id in mine[:count]
        ]


@given(st.floats(1e-9, 1e5))
def test_a_rounded_score_is_the_double_nearest_to_its_six_digit_decimal(score: float) -> None:
    assert ranking.rounded(score) == float(f"{score:.6g}") or is_half(score)


def is_half(score: float) -> bool:
    """Whether binary and decimal may round differently: from the seventh digit on, it is half."""
    digits = f"{score:.15e}".split("e")[0].replace(".", "")
    return digits[6:14] in ("50000000", "49999999")


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0, 1, 12, 150]), count=st.integers(1, 5)
)
def test_rows_keep_the_best_scores_and_of_equal_ones_the_movie_with_more_raters(
    seed: int, size: int, count: int
) -> None:
    # Rounded, three of them are equal, and so are the next two.
    values = [-1.0, 0.0, 0.4999999, 0.5, 0.5000001, 0.5000006, 0.500001]
    draw = np.random.default_rng(seed)
    scores = draw.choice(values, size).tolist()
    ids = draw.permutation(np.arange(1, len(scores) + 1, dtype=np.int32))
    raters = draw.permutation(ids // 2)
    best = kernel.empty_top_k(1, count)
    row = np.array([scores]).reshape(1, -1)
    ranking.offer_rows(best, row, np.array([2], np.int32), ids, raters)
    kernel.sort_best_first(best)
    found_sums = best.neighbours["id"][0, : best.sizes[0]].tolist()
    expected = [
        (-round(score, 6), -rated, id)
        for score, rated, id in zip(scores, raters.tolist(), ids.tolist(), strict=True)
        if score > 0 and id != 2
    ]
    assert found_sums == [id for *_, id in sorted(expected)][:count]


def best_of_row(scores: np.ndarray, raters: np.ndarray) -> int:
    """The id of the best neighbour of a movie; the others have the ids 0, 1, 2..."""
    best = kernel.empty_top_k(1, 1)
    ids = np.arange(scores.size, dtype=np.int32)
    ranking.offer_rows(best, scores[None], np.array([-1], np.int32), ids, raters)
    kernel.sort_best_first(best)
    return int(best.neighbours["id"][0, 0])


def test_the_best_of_a_row_is_found_wherever_it_stands() -> None:
    for place in range(200):
        scores = np.full(200, 0.4)
        scores[place] = 0.7
        assert best_of_row(scores, np.zeros(200, np.int32)) == place


def test_a_score_too_small_to_be_rounded_wins_over_one_that_is_hardly_smaller() -> None:
    scores = np.repeat([2e-20, 2.0000004e-20], 128)
    raters = np.repeat(np.array([2, 1], np.int32), 128)
    assert best_of_row(scores, raters) == 128


def test_a_score_that_is_rounded_up_to_the_best_wins_by_more_raters() -> None:
    scores = np.repeat([0.5, 0.4999999], 128)
    raters = np.repeat(np.array([1, 2], np.int32), 128)
    assert best_of_row(scores, raters) == 128


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), same=st.booleans(), tile=st.sampled_from([1, 4, 9, 80, 256]),
    count=st.integers(1, 5), size=st.sampled_from([17, 300]),
)  # fmt: skip
def test_a_cell_finds_the_best_of_all_its_pairs_with_any_tile_size(
    seed: int, same: bool, tile: int, count: int, size: int
) -> None:
    draw = np.random.default_rng(seed)
    ids = draw.permutation(np.arange(1, size + 1)).astype(np.int32)
    blocks = Blocks(ids, np.full(size, 9), np.full(size, 99), 2)
    i, j = (0, 0) if same else (0, 1)
    shape = blocks.ids_of(i).size, 4, blocks.ids_of(j).size
    sums = draw.integers(0, 3, shape, np.int32)  # few values: scores are often equal
    sums[:, 1:] += 1
    if same:
        sums[:] = sums * np.triu(np.ones((shape[0], shape[2]), np.int32), 1)[:, None]
    thresholds = cells.Thresholds(1, 0.0, count, {"common": lambda pairs: pairs.n * 1.0})
    cell, known = blocks.cells.index((i, j)), cells.BestScores(np.ones(size, bool))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "TILE_MOVIES", tile)
        [(_, found)] = cells.rank_by_measures(sums, blocks, cell, thresholds, known)
    offers: dict[int, list[tuple[float, int]]] = {}
    rows, columns = blocks.ids_of(i).tolist(), blocks.ids_of(j).tolist()
    for row, column in np.argwhere(sums[:, 0] > 0).tolist():
        pair, n = (rows[row], columns[column]), int(sums[row, 0, column])
        for one, other in (pair, pair[::-1]):
            offers.setdefault(one, []).append((-n, other))
    found_sums: dict[int, list[tuple[float, int]]] = {}
    for movie, other, score in zip(*(each.tolist() for each in found[:3]), strict=True):
        found_sums.setdefault(movie, []).append((-score, other))
    assert found_sums == {movie: sorted(each)[:count] for movie, each in offers.items()}


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]))
def test_all_pairs_that_pass_are_kept_also_at_the_threshold_itself(seed: int, score: float) -> None:
    draw = np.random.default_rng(seed)
    rows, columns = 3, 150
    n, halves = draw.integers(0, 4, (rows, columns)), draw.integers(1, 11, (2, rows, columns))
    # As of raters who give one movie `one` and the other `other`: cosines of 1, and lower ones.
    one, other = halves
    xy = n * one * other - (draw.random((rows, columns)) < 0.5) * np.minimum(n, 1)
    sums = np.stack([n, xy, n * one * one, n * other * other], axis=1).astype(np.int32)
    ids = np.arange(1, rows + 1, dtype=np.int32), np.arange(11, 11 + columns, dtype=np.int32)
    integers, doubles = np.empty((3, rows * columns), np.int32), np.empty((4, rows * columns))
    best = kernel.empty_top_k(rows + columns, 5)
    row, kept = kernel.keep_pairs(sums, *ids, (2, score), 0, integers, doubles, best, rows)
    plain = [
        (i + 1, j + 11, int(sums[i, 0, j]), found)
        for i, j in np.argwhere(n >= 2).tolist()
        if (found := score_of(*sums[i, 1:, j].tolist())) >= score
    ]
    found = zip(*integers[:, :kept].tolist(), doubles[3, :kept].tolist(), strict=True)
    assert (row, list(found)) == (rows, plain)
    offered = kernel.empty_top_k(rows + columns, 5)
    kernel.offer_pairs(sums, *ids, (2, score), offered, rows)
    for each in best, offered:
        kernel.sort_best_first(each)
    assert best.sizes.tolist() == offered.sizes.tolist()
    for movie, size in enumerate(best.sizes.tolist()):
        mine = (each.neighbours[movie, :size].tolist() for each in (best, offered))
        assert next(mine) == next(mine)


def test_sums_whose_columns_are_not_side_by_side_are_refused() -> None:
    ids, best = np.ones(1, np.int32), kernel.empty_top_k(2, 1)
    sums = np.ones((1, 4, 2), np.int32)[:, :, ::2]
    with pytest.raises(TypeError, match="one after another"):
        ranking.offer_scores(np.ones((1, 1)), sums, ids, ids, 0, 1, best)
