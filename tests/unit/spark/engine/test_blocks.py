"""Blocks of movies, and how ratings are split by block and by cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.movielens import DatasetError
from spark.engine.blocks import Blocks, block_count, choose_blocks, split_by_block, split_by_cell
from spark.engine.entries import BLOCK_MOVIES, HALVES_BITS, MAX_RATERS

TABLES = st.lists(
    st.dictionaries(st.integers(1, 9), st.integers(1, 10), min_size=1, max_size=9), max_size=8
)


@pytest.mark.parametrize(
    ("movies", "cores", "blocks"),
    [(10_000, 2, 3), (60_000, 2, 15), (10, 2, 3), (1, 8, 1), (0, 2, 1)],
)
def test_blocks_follow_from_movies_cores_and_memory(movies: int, cores: int, blocks: int) -> None:
    assert block_count(movies, cores, cell_bytes=2**28) == blocks
    assert block_count(20_000, 2, cell_bytes=16 * 1000**2) == 20


def test_movies_with_too_few_raters_are_not_compared() -> None:
    movies = np.arange(1, 60_002, dtype=np.int32)
    raters = np.where(movies == 5, 10, 1)
    assert choose_blocks(movies, raters, raters, 10, 3).ids.tolist() == [5]
    assert choose_blocks(movies, raters, raters, 1, 3).ids.size == 60_001


def test_blocks_are_never_larger_than_an_entry_can_address() -> None:
    movies = np.arange(1, 2 * BLOCK_MOVIES + 2, dtype=np.int32)
    raters = np.ones(movies.size, np.int64)
    blocks = choose_blocks(movies, raters, raters, 1, 1)
    assert blocks.count == 3
    assert max(blocks.ids_of(block).size for block in range(3)) <= BLOCK_MOVIES


def test_a_movie_with_more_raters_than_a_sum_can_hold_is_refused() -> None:
    movies, raters = np.array([1, 2], np.int32), np.array([MAX_RATERS, 3])
    assert choose_blocks(movies, raters, raters, 1, 1).ids.tolist() == [1, 2]
    with pytest.raises(DatasetError, match="the sums would overflow"):
        choose_blocks(movies, raters + 1, raters, 1, 1)


def test_the_most_popular_movies_come_first_and_go_to_blocks_in_turn() -> None:
    movies, raters = np.array([3, 5, 7, 9, 11], np.int32), np.array([2, 9, 4, 4, 1])
    blocks = choose_blocks(movies, raters, 10 * raters, 1, 2)
    assert (blocks.ids_of(0).tolist(), blocks.ids_of(1).tolist()) == ([5, 9, 11], [7, 3])
    assert blocks.squares.tolist() == (10 * blocks.raters).tolist()
    assert [blocks.popular(block, 3) for block in (0, 1)] == [2, 1]
    assert blocks.cells == [(0, 1), (0, 0), (1, 1)], "the cells with most work come first"


def arrays(table: list[dict[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ratings of some users: where each user begins, movies, half stars."""
    starts = np.cumsum([0, *map(len, table)])
    rated = [pair for user in table for pair in sorted(user.items())]
    movies, halves = (np.array([pair[at] for pair in rated], np.int32) for at in (0, 1))
    return starts, movies, halves.astype(np.uint8)


@given(table=TABLES, count=st.integers(1, 4))
def test_every_rating_of_a_compared_movie_is_in_its_block_by_user(
    table: list[dict[int, int]], count: int
) -> None:
    ids = np.array([8, 2, 6, 3, 5], np.int32)  # movies 1, 4, 7 and 9 are in no block
    blocks = Blocks(ids, np.full(5, 9), np.full(5, 9), count)
    lengths, entries = split_by_block(*arrays(table), blocks)
    for block in range(count):
        of_block = blocks.ids_of(block).tolist()
        expected = [
            sorted(of_block.index(movie) << HALVES_BITS | half for movie, half in user.items()
                   if movie in of_block)
            for user in table
        ]  # fmt: skip
        assert lengths[block].tolist() == [len(each) for each in expected]
        assert entries[block].tolist() == [entry for each in expected for entry in each]


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 3), movies=st.integers(60, 400))
def test_a_users_entries_ascend_in_blocks_of_any_size_whatever_the_order_of_the_ratings(
    seed: int, count: int, movies: int
) -> None:
    draw = np.random.default_rng(seed)
    ids = draw.permutation(movies).astype(np.int32)
    blocks = Blocks(ids, np.full(movies, 9), np.full(movies, 9), count)
    rated = [draw.permutation(movies)[: draw.integers(movies + 1)] for _ in range(3)]
    halves = [draw.integers(1, 11, each.size) for each in rated]
    lengths, entries = split_by_block(
        np.cumsum([0, *map(len, rated)]),
        np.concatenate(rated).astype(np.int32),
        np.concatenate(halves).astype(np.uint8),
        blocks,
    )
    rank = {movie: place for place, movie in enumerate(ids.tolist())}
    for block in range(count):
        expected = [
            sorted(rank[movie] // count << HALVES_BITS | half
                   for movie, half in zip(*(each.tolist() for each in user), strict=True)
                   if rank[movie] % count == block)
            for user in zip(rated, halves, strict=True)
        ]  # fmt: skip
        assert lengths[block].tolist() == [len(each) for each in expected]
        assert entries[block].tolist() == [entry for each in expected for entry in each]


@given(table=TABLES, count=st.integers(1, 3))
def test_a_cell_gets_exactly_the_users_who_have_a_pair_in_it(
    table: list[dict[int, int]], count: int
) -> None:
    ids = np.array([8, 2, 6, 3, 5], np.int32)
    blocks = Blocks(ids, np.full(5, 9), np.full(5, 9), count)
    found = dict(split_by_cell(*arrays(table), blocks))
    of_block = [set(blocks.ids_of(block).tolist()) for block in range(count)]
    for cell, (i, j) in enumerate(blocks.cells):
        sizes = [(len(of_block[i] & user.keys()), len(of_block[j] & user.keys())) for user in table]
        expected = [size for size in sizes if size[0] and size[1] > (i == j)]
        if not expected:
            assert cell not in found
            continue
        ratings = found[cell]
        rows = np.frombuffer(ratings.row_lengths, np.uint16).tolist()
        columns = np.frombuffer(ratings.column_lengths, np.uint16).tolist()
        assert rows == [row for row, _ in expected]
        assert columns == ([] if i == j else [column for _, column in expected])
