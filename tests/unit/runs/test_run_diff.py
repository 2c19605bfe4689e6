"""The diff of two runs: what changed, by how much, and why."""

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.diff import Movies, Result, compare_lists, compare_titles, diff, overlap

RANKINGS = st.lists(st.integers(1, 12), min_size=1, max_size=9, unique=True)


def movies(
    lists: Mapping[int, Sequence[int]], titles: Mapping[int, str] | None = None, **ratings: int
) -> Movies:
    """Movies with these lists; a movie has as many ratings as its id, unless `m1=` says."""
    every = {*lists, *(other for each in lists.values() for other in each)}
    return Movies(
        {movie: f"T{movie}" for movie in every} | dict(titles or {}),
        {movie: ratings.get(f"m{movie}", movie) for movie in every | {*(titles or {})}},
        {movie: array("i", each) for movie, each in lists.items() if each},
    )


def result(run_id: str = "r1", **changes: Any) -> Result:
    """A result."""
    usual: dict[str, Any] = {
        "measure": "ease",
        "parameters": {"min_score": 0.95},
        "counts": {"ratings": 40, "users": 20, "movies": 3},
        "quality": None,
        "lines": {"ratings.csv": 40, "movies.csv": 3},
        "unterminated": [],
        "files": {"ratings.csv": "a", "movies.csv": "b", "code": "c"},
        "movies": movies({1: [2, 3]}),
    }
    return Result(run_id=run_id, **usual | changes)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 1),
        ([1, 2, 3], [4, 5, 6], 0),
        # Agreements 0, 1: (1 - p) / p (0 p + 1 p²) + 1 p², with p = 0.9.
        ([1, 2], [2, 1], 0.1 * 0.9 + 0.81),
        # Agreements 1, 1/2: (1 - p) / p (p + p²/2) + p²/2.
        ([1, 2], [1, 3], 0.1 * (1 + 0.45) + 0.405),
        # s = 1, l = 2, X_1 = X_2 = 1: (1 - p) / p (p + p²/2 + 1 (2 - 1) / (1 · 2) p²) + p².
        ([1], [1, 2], 0.1 * (1 + 0.45 + 0.45) + 0.81),
        # s = 1, l = 2, X_1 = 0, X_2 = 1: (1 - p) / p (1/2 p²) + (1/2) p².
        ([2], [1, 2], 0.1 * 0.45 + 0.405),
    ],
)
def test_rank_biased_overlap_is_that_of_the_paper(
    one: list[int], other: list[int], expected: float
) -> None:
    assert overlap(one, other) == pytest.approx(expected)


@given(RANKINGS, RANKINGS)
def test_overlap_is_symmetric_and_between_none_and_all(one: list[int], other: list[int]) -> None:
    found = overlap(one, other)
    assert found == pytest.approx(overlap(other, one))
    assert -1e-9 <= found <= 1 + 1e-9
    assert (found > 1e-9) == bool({*one} & {*other})


@given(RANKINGS, RANKINGS)
def test_overlap_of_equally_long_lists_is_the_sum_over_all_depths(
    one: list[int], other: list[int]
) -> None:
    size, p = min(len(one), len(other)), 0.9
    one, other = one[:size], other[:size]
    at = [len({*one[:d]} & {*other[:d]}) / d for d in range(1, size + 1)]
    # Beyond the last depth the agreement is extrapolated as constant.
    endless = at + [at[-1]] * 500
    assert overlap(one, other) == pytest.approx(
        math.fsum((1 - p) * p**d * agreement for d, agreement in enumerate(endless)), abs=1e-9
    )


def test_titles_gained_and_lost_are_counted_and_the_most_rated_ones_named() -> None:
    before = movies({each: [99] for each in range(1, 11)})
    after = movies({each: [99] for each in (1, 2, 11)})
    found = compare_titles(before, after)
    assert (found.before, found.after, found.gained, found.lost) == (10, 3, 1, 8)
    assert found.gained_examples == ["T11"]
    assert found.lost_examples == ["T10", "T9", "T8", "T7", "T6"]


def test_titles_in_another_encoding_are_told_from_titles_that_were_corrected() -> None:
    old = {1: "Amélie", 2: "Heat", 3: "Brüno", 4: "Léon"}
    wrong = {1: "AmÃ©lie", 2: "Heat (1995)", 3: "Br?no", 4: "Leon"}
    found = compare_titles(movies({}, old), movies({}, wrong))
    assert (found.common, found.renamed, found.beyond_ascii, found.garbled) == (4, 4, 3, 2)
    assert found.renamed_examples[:2] == [["Brüno", "Br?no"], ["Amélie", "AmÃ©lie"]]


def test_the_lists_that_moved_most_are_shown_with_both_lists() -> None:
    before = movies({1: [2, 3], 2: [1, 3], 3: [1, 2], 4: [1, 2]})
    after = movies({1: [2, 3], 2: [3, 1], 3: [7, 8], 5: [1, 2]})
    found = compare_lists(before, after)
    assert (found.common, found.unchanged, found.median_overlap) == (3, 1, 0.9)
    assert [(each.movie_id, each.overlap) for each in found.movers] == [(3, 0), (2, 0.9)]
    assert (found.movers[0].before, found.movers[0].after) == (["T1", "T2"], ["T7", "T8"])


def test_without_common_titles_there_is_no_median() -> None:
    assert compare_lists(movies({1: [2]}), movies({3: [4]})).median_overlap is None


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        ({}, []),
        ({"files": {"ratings.csv": "x", "movies.csv": "b", "code": "c"}}, ["other ratings.csv"]),
        ({"files": {"ratings.csv": "a", "movies.csv": "b", "code": "d"}}, ["other code"]),
        ({"files": {"ratings.csv": "a", "movies.csv": "b", "code": "c", "tags.csv": "t"}},
         ["tags.csv only in r2"]),
        ({"files": {}}, ["the input and code of both runs can no longer be compared"]),
        ({"counts": {"ratings": 4000, "users": 20, "movies": 3}},
         ["other data: ratings 40 -> 4,000"]),
        ({"parameters": {"min_score": 0.5, "ease.lambda": 400}},
         ["ease.lambda none -> 400", "min_score 0.95 -> 0.5"]),
        ({"measure": "hybrid"}, ["default measure ease -> hybrid"]),
    ],
)  # fmt: skip
def test_what_may_have_caused_the_changes_is_named(
    changes: dict[str, Any], causes: list[str]
) -> None:
    found = diff(result(), result("r2", **changes))
    assert found.causes == causes
    assert found.same_settings == (not {"parameters", "measure"} & {*changes})


@pytest.mark.parametrize(
    ("before", "after", "lines", "cut"),
    [
        ([], ["ratings.csv"], 39, ["ratings.csv"]),
        ([], ["ratings.csv"], 40, []),
        (["ratings.csv"], ["ratings.csv"], 39, []),
        ([], [], 39, []),
    ],
)
def test_a_file_is_cut_if_it_is_shorter_and_ends_within_a_line_unlike_before(
    before: list[str], after: list[str], lines: int, cut: list[str]
) -> None:
    later = result("r2", unterminated=after, lines={"ratings.csv": lines, "movies.csv": 3})
    assert diff(result(unterminated=before), later).cut == cut


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_diff_with_a_result_that_is_gone_says_so(side: str) -> None:
    gone = result("r1" if side == "before" else "r2", movies="it is gone")
    found = diff(gone, result("r2")) if side == "before" else diff(result(), gone)
    assert (found.titles, found.lists, found.unreadable) == (None, None, "it is gone")
