"""Reranked neighbours: what rises with `popularity` and `diversity`, and what never changes."""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.reranking import by_popularity, diversified, features

type Row = dict[str, Any]


def row(movie_id: int, ratings: int, *genres: str, year: int | None = None, **about: Any) -> Row:
    return {"movie_id": movie_id, "ratings": ratings, "genres": list(genres), "year": year} | about


def ids(rows: Sequence[Any]) -> list[int]:
    return [each["movie_id"] for each in rows]


type Rated = list[tuple[float, int]]  # scores, the highest first, and ratings

SHARES = st.integers(0, 100).map(lambda percent: percent / 100)
SCORES = st.sampled_from([-0.5, 0.0, 0.25, 0.95, 0.951]) | st.floats(-1, 1)
RATED = st.lists(st.tuples(SCORES, st.integers(0, 6) | st.integers(1, 100_000)), max_size=12).map(
    lambda rated: sorted(rated, key=lambda each: -each[0])
)

ROWS = st.lists(
    st.builds(
        lambda genres, tags, series, year: (
            row(0, 1, *genres, year=year, tags=tags) | ({"series": series} if series else {})
        ),
        genres=st.sets(st.sampled_from(["Crime", "Drama", "War"])),
        tags=st.lists(st.sampled_from(["mafia", "classic", "space"]), unique=True),
        series=st.sampled_from([None, None, "Alien"]),
        year=st.sampled_from([None, 1972, 1979, 1995]),
    ),
    max_size=9,
).map(lambda rows: [each | {"movie_id": place} for place, each in enumerate(rows)])


def listed(rated: Rated) -> list[Row]:
    return [row(place, count, score=score) for place, (score, count) in enumerate(rated)]


@given(RATED, SHARES, SHARES)
def test_a_rarer_title_that_is_ahead_stays_ahead_at_every_higher_popularity(
    rated: Rated, one: float, other: float
) -> None:
    rows = listed(rated)
    before, after = (ids(by_popularity(rows, each)) for each in sorted((one, other)))
    for rare, known in permutations(range(len(rows)), 2):
        is_rarer = rows[rare]["ratings"] < rows[known]["ratings"]
        if is_rarer and before.index(rare) < before.index(known):
            assert after.index(rare) < after.index(known)


@given(RATED)
def test_popularity_goes_from_the_order_of_the_list_to_that_of_ratings(rated: Rated) -> None:
    rows = listed(rated)
    assert by_popularity(rows, 0) == rows
    assert by_popularity(rows, 1) == sorted(rows, key=lambda each: each["ratings"])  # stable


@given(RATED, SHARES)
def test_titles_with_equally_many_ratings_keep_their_order(rated: Rated, popularity: float) -> None:
    rows = listed(rated)
    found = ids(by_popularity(rows, popularity))
    assert sorted(found) == ids(rows)
    for one, other in combinations(range(len(rows)), 2):
        if rows[one]["ratings"] == rows[other]["ratings"]:
            assert found.index(one) < found.index(other)


@pytest.mark.parametrize("scores", [(3, 2, 1), (0.99, 0.97, 0.95), (0.5, -0.5, -1.5)])
def test_half_popularity_weighs_the_range_of_scores_like_the_range_of_ratings(
    scores: tuple[float, ...],
) -> None:
    # log(1 + ratings) falls from 1 over 1/2 to 0 as the scores do.
    rows = listed(list(zip(scores, (99, 9, 0), strict=True)))
    assert ids(by_popularity(rows, 0.49)) == [0, 1, 2]
    assert ids(by_popularity(rows, 0.51)) == [2, 1, 0]


def test_a_far_higher_score_stays_ahead_longer() -> None:
    rows = listed([(0.9, 300), (0.2, 200), (0.19, 20)])
    assert ids(by_popularity(rows, 0.3)) == [0, 2, 1]


def test_of_two_titles_with_equal_claims_the_rarer_one_is_first() -> None:
    assert ids(by_popularity(listed([(1.0, 9), (0.0, 0)]), 0.5)) == [1, 0]


def test_neighbours_of_an_earlier_version_stay_in_their_order() -> None:
    rows = [{"movie_id": 1, "genres": [], "year": None}, {"movie_id": 2, "genres": [], "year": 1}]
    assert by_popularity(rows, 1) == rows
    assert diversified(rows, 1, 2) == rows


def share(one: Row, other: Row) -> float:
    """The similarity of two rows by its definition."""
    mine, theirs = features(one), features(other)
    return len(mine & theirs) / len(mine | theirs) if mine & theirs else 0.0


@given(ROWS, SHARES)
def test_each_next_title_has_the_largest_marginal_relevance(
    rows: list[Row], diversity: float
) -> None:
    found = diversified(rows, diversity, len(rows))
    assert sorted(ids(found)) == ids(rows)
    for place, chosen in enumerate(found):

        def value(each: Row, before: int = place) -> float:
            most = max((share(each, earlier) for earlier in found[:before]), default=0.0)
            return (1 - diversity) * (1 - each["movie_id"] / len(rows)) - diversity * most

        assert value(chosen) == pytest.approx(max(map(value, found[place:])))


@given(ROWS)
def test_without_diversity_the_order_is_that_of_the_list(rows: list[Row]) -> None:
    assert diversified(rows, 0, len(rows)) == rows


@given(ROWS, SHARES, st.integers(0, 9))
def test_a_page_begins_like_every_longer_one(rows: list[Row], diversity: float, count: int) -> None:
    whole = diversified(rows, diversity, len(rows))
    part = diversified(rows, diversity, count)
    assert part[:count] == whole[:count]
    left = ids(part[count:])
    assert left == sorted(left), "the others follow in the given order"
    assert sorted(ids(part)) == ids(rows)
    assert whole[:1] == rows[:1], "the most similar title stays first"


@pytest.mark.parametrize(
    "shared", [{"genres": ["War"]}, {"tags": ["mafia"]}, {"series": "Rocky"}, {"year": 1976}]
)
def test_what_two_titles_share_keeps_them_apart(shared: dict[str, Any]) -> None:
    first, second = (row(n, 1) | shared for n in range(2))
    other = row(2, 1, "Drama", tags=["space"], series="Alien", year=1989)
    assert ids(diversified([first, second, other], 0.5, 3)) == [0, 2, 1]
    assert ids(diversified([first, second, other], 0.2, 3)) == [0, 1, 2]


def test_titles_of_which_nothing_is_known_are_not_alike() -> None:
    rows = [row(n, 1) for n in range(4)]
    assert diversified(rows, 1, 4) == rows
