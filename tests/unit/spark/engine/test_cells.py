"""Cells without Spark: together they give the oracle's pairs and neighbours, held-out or not."""

import itertools
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spark.engine import cells, kernel
from spark.engine.blocks import Blocks, choose_blocks, split_by_cell
from spark.engine.cells import (
    CellLists,
    CellPlan,
    HeldOutCellRatings,
    HoldOutPass,
    PairCount,
    Thresholds,
    compute_cell,
    no_scores,
)
from spark.engine.top_k import NeighbourLists, merge_top_k
from spark.measures.registry import MEASURES, pair_measures
from tests.conftest import ROOT
from tests.spark import oracle

RATINGS = st.dictionaries(
    st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 3, 5, 8, 65133, 2**31 - 1])),
    st.integers(1, 10),
    max_size=50,
)

type Rated = dict[tuple[int, int], int]


def totals(rated: Rated) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The movies, ascending, their raters, and the sums of their squared half stars."""
    movies = sorted({movie for _, movie in rated})
    halves = [[half for (_, of), half in rated.items() if of == movie] for movie in movies]
    raters = np.array([len(each) for each in halves], np.int64)
    squares = np.array([sum(half * half for half in each) for each in halves], np.int64)
    return np.array(movies, np.int32), raters, squares


def split(rated: Rated, blocks: Blocks) -> dict[int, list]:
    """The ratings that each cell receives, one user at a time."""
    found: dict[int, list] = {}
    for _, of_user in itertools.groupby(sorted(rated.items()), key=lambda each: each[0][0]):
        rows = [(movie, half) for (_, movie), half in of_user]
        movies, halves = (np.array([row[at] for row in rows], np.int32) for at in (0, 1))
        ends = np.array([0, len(rows)])
        for cell, ratings in split_by_cell(ends, movies, halves.astype(np.uint8), blocks):
            found.setdefault(cell, []).append(ratings)
    return found


def compute(
    plan: CellPlan, rated: Rated, held_out: Rated, workers: int = 1, lost: Collection[int] = ()
) -> Iterator[PairCount | CellLists]:
    """The results of all cells; the held-out users come first, as they may.

    The workers take the cells in turn. The results of `lost` cells are lost, and computed again.
    """
    seen, apart = split(rated, plan.blocks), split(held_out, plan.blocks)
    known = [no_scores(plan) for _ in range(workers)]

    def results_of(turn: int, cell: int) -> list[PairCount | CellLists]:
        ratings = [HeldOutCellRatings(each) for each in apart.get(cell, [])]
        received = iter([*ratings, *seen.get(cell, [])])
        return list(compute_cell(cell, received, plan, known[turn % workers]))

    every = range(len(plan.blocks.cells))
    found = {cell: results_of(cell, cell) for cell in every}
    found |= {cell: results_of(turn, cell) for turn, cell in enumerate(lost) if cell in every}
    return itertools.chain.from_iterable(found.values())


def merged(found: list[NeighbourLists], count: int) -> dict[int, list[tuple[int, float, int]]]:
    """Each movie's neighbours, best first: id, score, co-raters."""
    lists: dict[int, list[tuple[int, float, int]]] = {}
    for movie, *row, _ in zip(*(c.tolist() for c in merge_top_k(found, count)), strict=True):
        lists.setdefault(movie, []).append(tuple(row))
    return lists


def stars(rated: Rated) -> list[oracle.Rating]:
    return [(user, movie, half / 2) for (user, movie), half in rated.items()]


@settings(deadline=None)
@given(
    rated=RATINGS,
    least=st.integers(1, 3),
    score=st.sampled_from([-1.0, 0.0, 0.5, 0.9, 1.0]),
    count=st.integers(1, 3),
    blocks=st.integers(1, 4),
    bound=st.integers(1, 9),
    workers=st.integers(1, 3),
    lost=st.sets(st.integers(0, 9)),
)
@example(  # without the first user the movies are closer
    rated={(1, 1): 10, (1, 2): 1, (2, 1): 5, (2, 2): 5, (3, 1): 10, (3, 2): 10},
    least=1, score=0.0, count=1, blocks=1, bound=2, workers=1, lost=set(),
)  # fmt: skip
def test_cells_give_the_oracles_pairs_and_lists_of_all_users_and_of_those_not_held_out(
    tmp_path_factory: pytest.TempPathFactory, rated: Rated, least: int, score: float, count: int,
    blocks: int, bound: int, workers: int, lost: set[int],
) -> None:  # fmt: skip
    output = tmp_path_factory.mktemp("pairs")
    others = {key: half for key, half in rated.items() if key[0] >= bound}
    held_out = {key: half for key, half in rated.items() if key[0] < bound}
    thresholds = Thresholds(least, score, count)
    of_all = choose_blocks(*totals(rated), least, blocks)
    needed = np.array([1, 2, 8], np.int32)
    plan = CellPlan(of_all, thresholds, str(output), HoldOutPass(needed, of_all, thresholds))
    results = list(compute(plan, others, held_out, workers, lost))

    pairs = oracle.similarities(stars(rated), least, score)
    tables = [pq.read_table(file).to_pylist() for file in output.iterdir()]
    assert sorted(tuple(row.values()) for table in tables for row in table) == pairs
    assert sum(each.pairs for each in results if isinstance(each, PairCount)) == len(pairs)
    lists = [each for each in results if isinstance(each, CellLists)]
    assert {each.measure for each in lists} <= {"cosine"}
    published = [each.lists for each in lists if not each.is_held_out]
    assert not published or merged(published, count) == oracle.neighbours(pairs, count)
    without = oracle.neighbours(oracle.similarities(stars(others), least, score), count)
    apart = [each.lists for each in lists if each.is_held_out]
    expected = {movie: rows for movie, rows in without.items() if movie in needed}
    assert (merged(apart, count) if apart else {}) == expected


def test_a_cell_without_ratings_has_no_results() -> None:
    blocks = choose_blocks(*totals({(1, 5): 3, (2, 7): 4}), 1, 1)
    plan = CellPlan(blocks, Thresholds(1, 0.0, 3))
    assert list(compute(plan, {(1, 5): 3, (2, 7): 4}, {})) == []


def test_a_worker_returns_no_neighbour_that_its_earlier_cells_rule_out() -> None:
    rated = {
        (user, movie): 1 + user * movie % 10
        for user in range(1, 40)
        for movie in range(1, 60)
        if user * movie % 7 < 3
    }
    measures = pair_measures(MEASURES, {name: each.parameters for name, each in MEASURES.items()})
    thresholds = Thresholds(1, 0.0, 2, measures)
    plan = CellPlan(choose_blocks(*totals(rated), 1, 6), thresholds)

    def lists_of(workers: int) -> dict[str, list[NeighbourLists]]:
        found: dict[str, list[NeighbourLists]] = {}
        for each in compute(plan, rated, {}, workers):
            if isinstance(each, CellLists):
                found.setdefault(each.measure, []).append(each.lists)
        return found

    alone, apart = lists_of(workers=1), lists_of(workers=len(plan.blocks.cells))
    assert set(alone) == {"cosine", *measures}
    for measure, found in alone.items():
        rows, more = (sum(each.movies.size for each in some) for some in (found, apart[measure]))
        assert rows < 0.8 * more, measure
        assert merged(found, 2) == merged(apart[measure], 2), measure


def test_a_worker_that_computes_a_cell_again_finds_the_same_lists() -> None:
    rated = {
        (user, movie): 1 + user * movie % 10 for user in range(1, 30) for movie in range(1, 20)
    }
    measures = pair_measures(MEASURES, {name: each.parameters for name, each in MEASURES.items()})
    plan = CellPlan(choose_blocks(*totals(rated), 1, 1), Thresholds(1, 0.0, 6, measures))
    received, known = split(rated, plan.blocks)[0], no_scores(plan)
    first, again = (list(compute_cell(0, iter(received), plan, known)) for _ in range(2))
    assert len(first) == 2 + len(measures)
    for one, other in zip(first, again, strict=True):
        assert isinstance(one, PairCount) or all(map(np.array_equal, one.lists, other.lists))


def test_a_worker_keeps_scores_of_no_more_movies_than_it_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rated = {
        (user, movie): 1 + user * movie % 10 for user in range(1, 30) for movie in range(1, 20)
    }
    plan = CellPlan(choose_blocks(*totals(rated), 1, 4), Thresholds(1, 0.0, 3))

    def lists(workers: int = 1, known: int = 0) -> list[NeighbourLists]:
        monkeypatch.setattr(cells, "KNOWN_BYTES", known * 3 * 4)
        results = compute(plan, rated, {}, workers)
        return [each.lists for each in results if isinstance(each, CellLists)]

    none, some, every = (lists(known=movies) for movies in (0, 9, 19))
    apart = lists(workers=len(plan.blocks.cells), known=19)
    stored = [sum(each.movies.size for each in found) for found in (apart, none, some, every)]
    assert stored[0] == stored[1] > stored[2] > stored[3]
    assert merged(none, 3) == merged(some, 3) == merged(every, 3) == merged(apart, 3)


def test_a_list_that_is_not_full_tells_the_next_cells_only_the_scores_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rated = {(user, movie): 10 for user in (1, 2) for movie in range(1, 9)}
    plan = CellPlan(choose_blocks(*totals(rated), 1, 4), Thresholds(1, 0.0, 6))
    empty = kernel.empty_top_k

    def with_remains(movies: int, count: int) -> kernel.TopK:
        best = empty(movies, count)
        best.neighbours["score"] = 2
        return best

    monkeypatch.setattr(kernel, "empty_top_k", with_remains)
    found = [each.lists for each in compute(plan, rated, {}) if isinstance(each, CellLists)]
    assert {movie: len(rows) for movie, rows in merged(found, 6).items()} == dict.fromkeys(
        range(1, 9), 6
    )


def test_ratings_that_arrive_in_many_batches_give_the_same_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rated = {(user, movie): 1 + user * movie % 10 for user in range(1, 40) for movie in (1, 2, 3)}
    plan = CellPlan(choose_blocks(*totals(rated), 1, 2), Thresholds(1, 0.0, 3))

    def found() -> list[list]:
        results = [each for each in compute(plan, rated, {}) if isinstance(each, CellLists)]
        return [[column.tolist() for column in each.lists] for each in results]

    whole = found()
    monkeypatch.setattr(cells, "BATCH_BYTES", 8)
    assert found() == whole != []


@pytest.mark.parametrize(
    "module",
    ["blocks", "cells", "entries", "evidence", "kernel", "pair_sums", "pairs", "ranking", "top_k"],
)
def test_the_arithmetic_of_the_engine_imports_no_spark(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; import spark.engine.{module}; sys.exit('pyspark' in sys.modules)",
        ],
        env={"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0
