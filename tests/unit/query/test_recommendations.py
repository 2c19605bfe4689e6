"""Titles to watch next: sums, differences and reasons, without AWS."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query import recommendations
from query.http.problems import ProblemError
from query.requests import RecommendationRequest
from query.responses import Recommendation
from tests.builders.aws import movie_line
from tests.unit.query.test_similar import LIVE as RUN

LIVE = replace(RUN, measure="cosine", measures=["cosine"])
# movie_line gives scores from 0.99 down in steps of 0.01.
LINES = {1: movie_line(1, 10, 11, 2), 2: movie_line(2, 12, 10), 3: movie_line(3, 13, 10, 11),
         4: movie_line(4, ratings=3)}  # fmt: skip


def rows(*liked: int, disliked: tuple[int, ...] = (), limit: int = 10) -> list[tuple[int, float]]:
    request = RecommendationRequest(liked=list(liked), disliked=list(disliked), limit=limit)
    response = recommendations.recommend(LIVE, LINES, request)
    return [(row.movie_id, row.score) for row in response.recommendations]


def test_scores_of_all_liked_movies_are_added() -> None:
    assert rows(1, 2) == [(10, 0.99 + 0.98), (12, 0.99), (11, 0.98)]


def test_scores_of_disliked_movies_are_subtracted_and_the_rest_must_be_positive() -> None:
    assert sorted(rows(1, disliked=(3,))) == [
        (2, 0.97), (10, pytest.approx(0.99 - 0.98)), (11, pytest.approx(0.98 - 0.97))
    ]  # fmt: skip
    assert rows(2, disliked=(1,)) == [(12, 0.99)]


def test_movies_of_the_request_are_never_recommended_and_count_once() -> None:
    recommended = {id for id, _ in rows(1, 1, 2)}
    assert recommended.isdisjoint({1, 2})
    assert rows(1, 1, 2) == rows(1, 2)
    assert 2 not in {id for id, _ in rows(1, disliked=(2,))}


def test_each_row_names_the_liked_movies_that_led_to_it_best_first() -> None:
    request = RecommendationRequest(liked=[2, 1])
    first, *_ = recommendations.recommend(LIVE, LINES, request).recommendations
    assert [(why.movie_id, why.title) for why in first.because] == [
        (1, "Movie 1 (1995)"), (2, "Movie 2 (1995)")
    ]  # fmt: skip
    assert first.score == sum(why.score for why in first.because)


def test_each_row_names_its_series() -> None:
    line = movie_line(1, 10, 11)
    line["others"][1]["series"] = "S"
    answer = recommendations.recommend(LIVE, {1: line}, RecommendationRequest(liked=[1]))
    assert [row.series for row in answer.recommendations] == [None, "S"]


def test_a_weight_multiplies_what_a_liked_movie_gives_and_because_says_how_much_that_is() -> None:
    request = RecommendationRequest(liked=[2, 1], weights=[3, 1])  # their mean is 2
    first, *others = recommendations.recommend(LIVE, LINES, request).recommendations
    assert (first.movie_id, first.score) == (10, pytest.approx(1.5 * 0.98 + 0.5 * 0.99))
    assert [(why.movie_id, why.score, why.weight, why.share) for why in first.because] == [
        (2, 0.98, 3.0, round(1.5 * 0.98 / (1.5 * 0.98 + 0.5 * 0.99), 4)),
        (1, 0.99, 1.0, round(0.5 * 0.99 / (1.5 * 0.98 + 0.5 * 0.99), 4)),
    ]
    assert [(row.movie_id, row.score) for row in others] == [
        (12, pytest.approx(1.5 * 0.99)), (11, pytest.approx(0.5 * 0.98))
    ]  # fmt: skip
    assert [why.share for row in others for why in row.because] == [1, 1]


def test_a_movie_that_is_liked_twice_counts_once_with_its_first_weight() -> None:
    lines = LINES | {"tmdb:1": LINES[1]}

    def recommended(liked: list[int | str], weights: list[float]) -> list[Recommendation]:
        request = RecommendationRequest(liked=liked, weights=weights)
        return recommendations.recommend(LIVE, lines, request).recommendations

    once = recommended([1, 2], [2, 1])
    assert recommended([1, 1, 2], [2, 9, 1]) == recommended(["tmdb:1", 2, 1], [2, 1, 9]) == once
    assert recommended([1, 99, 2], [2, 50, 1]) == once, "a movie that the run lacks has no say"


LIKED = st.lists(st.integers(1, 6), min_size=1, max_size=5, unique=True)
WEIGHTS = st.lists(st.integers(1, 1000).map(lambda each: each / 100), min_size=6, max_size=6)
# For each liked movie the score of each title, or none, in hundredths.
GIVEN = st.lists(
    st.dictionaries(st.integers(10, 20), st.integers(1, 500), max_size=8), min_size=6, max_size=6
)


def lines_of(given: list[dict[int, int]]) -> dict[int | str, dict[str, Any]]:
    """The lines of the movies 1 to 6 with these neighbours."""
    lines: dict[int | str, dict[str, Any]] = {}
    for movie_id, scores in enumerate(given, start=1):
        line = movie_line(movie_id, *scores)
        rows = [[place, score / 100, 9, None] for place, score in enumerate(scores.values())]
        lines[movie_id] = line | {"neighbours": {"cosine": rows}}
    return lines


def weighted(
    given: list[dict[int, int]], liked: list[int], weights: list[float], **request: Any
) -> list[Recommendation]:
    """All recommendations with weights, which are given by movie id."""
    asked = RecommendationRequest(
        liked=list(liked), weights=[weights[id - 1] for id in liked] if weights else [], limit=50,
        **request,
    )  # fmt: skip
    return recommendations.recommend(LIVE, lines_of(given), asked).recommendations


@given(given=GIVEN, liked=LIKED, weight=st.sampled_from([0.01, 0.1, 0.3, 1, 3, 7.7, 100]))
def test_equal_weights_are_the_same_as_none(
    given: list[dict[int, int]], liked: list[int], weight: float
) -> None:
    without = weighted(given, liked, [])
    equal = weighted(given, liked, [weight] * 6)
    assert [(row.movie_id, row.score) for row in equal] == [
        (row.movie_id, row.score) for row in without
    ]
    for one, other in zip(equal, without, strict=True):
        assert [(why.movie_id, why.share) for why in one.because] == [
            (why.movie_id, why.share) for why in other.because
        ]


@given(given=GIVEN, liked=LIKED, weights=WEIGHTS, factor=st.sampled_from([0.1, 0.5, 3, 7, 10]))
def test_only_the_ratios_of_weights_matter_also_beside_disliked_movies(
    given: list[dict[int, int]], liked: list[int], weights: list[float], factor: float
) -> None:
    scaled = [float(Decimal(str(weight)) * Decimal(str(factor))) for weight in weights]
    disliked = [id for id in range(1, 7) if id not in liked]
    one = weighted(given, liked, weights, disliked=disliked)
    other = weighted(given, liked, scaled, disliked=disliked)
    assert [(row.movie_id, row.score) for row in one] == [
        (row.movie_id, row.score) for row in other
    ]


@given(given=GIVEN, liked=LIKED, weights=WEIGHTS, more=st.integers(1, 5000))
def test_a_larger_weight_lowers_no_title_to_which_only_that_movie_leads(
    given: list[dict[int, int]], liked: list[int], weights: list[float], more: int
) -> None:
    favourite, *others = liked
    only = set(given[favourite - 1]).difference(*(given[id - 1] for id in others))
    larger = [*weights]
    larger[favourite - 1] += more / 100
    before = {row.movie_id: row.rank for row in weighted(given, liked, weights)}
    after = {row.movie_id: row.rank for row in weighted(given, liked, larger)}
    assert before.keys() == after.keys()
    assert all(after[id] <= before[id] for id in only)


@given(given=GIVEN, liked=LIKED, weights=WEIGHTS)
def test_shares_of_a_title_add_up_to_one_and_the_largest_comes_first(
    given: list[dict[int, int]], liked: list[int], weights: list[float]
) -> None:
    for row in weighted(given, liked, weights):
        shares = [why.share for why in row.because]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
        assert shares == sorted(shares, reverse=True)


def test_every_liked_movie_has_a_weight_or_none_has() -> None:
    for weights in ([1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(ProblemError, match=f"weights: {len(weights)} weights for 2 liked"):
            recommendations.requested_ids(RecommendationRequest(liked=[1, 2], weights=weights))
    assert recommendations.requested_ids(RecommendationRequest(liked=[1, 2], weights=[1, 2]))


def test_the_limit_shortens_the_rows_but_not_the_count_of_matches() -> None:
    request = RecommendationRequest(liked=[1, 2], limit=1)
    response = recommendations.recommend(LIVE, LINES, request)
    assert (len(response.recommendations), response.matched) == (1, 3)


def test_recommendations_can_put_rarer_titles_first_or_titles_that_differ() -> None:
    about = [{"ratings": 90}, {"ratings": 9}, {"ratings": 50, "genres": ["War"], "year": 1940}]
    others = [old | new for old, new in zip(LINES[1]["others"], about, strict=True)]
    lines = {1: LINES[1] | {"others": others}}

    def ranked(**order: Any) -> list[int]:
        request = RecommendationRequest(liked=[1], **order)
        return [
            row.movie_id for row in recommendations.recommend(LIVE, lines, request).recommendations
        ]

    assert ranked() == [10, 11, 2]
    assert ranked(popularity=1) == [11, 2, 10]
    assert ranked(diversity=1) == [10, 2, 11]
    assert ranked(diversity=1, limit=2) == [10, 2]


def test_filters_apply_to_recommendations_and_leave_scores_and_order() -> None:
    genres = [["Drama", "War"], ["War"], ["Comedy"]]  # of 10, 11 and 2; the liked movie is a drama
    others = [old | {"genres": new} for old, new in zip(LINES[1]["others"], genres, strict=True)]
    lines = {1: LINES[1] | {"others": others}}

    def kept(**filters: Any) -> list[int]:
        request = RecommendationRequest(liked=[1], **filters)
        response = recommendations.recommend(LIVE, lines, request)
        assert response.matched == len(response.recommendations)
        return [row.movie_id for row in response.recommendations]

    assert kept() == [10, 11, 2]
    assert kept(genre=("war", "COMEDY")) == [10, 11, 2]
    assert kept(genre=("war",)) == [10, 11]
    assert kept(all_genres=("war", "drama")) == [10]
    assert kept(same_genre=True) == [10]
    assert kept(same_genre=False) == [10, 11, 2]
    assert kept(exclude=(10, 99)) == [11, 2]
    assert kept(exclude=(10,), genre=("War",), popularity=1.0) == [11]
    request = RecommendationRequest(liked=[1], genre=("Western",))
    reason = recommendations.recommend(LIVE, lines, request).reason
    assert reason == "none of the 3 titles to recommend passes the filters"


def test_unknown_movies_are_listed_and_the_others_are_used() -> None:
    request = RecommendationRequest(liked=[1, 99], disliked=[98])
    response = recommendations.recommend(LIVE, LINES, request)
    assert (response.unknown, response.matched) == ([98, 99], 3)
    with pytest.raises(ProblemError, match="none of the liked movies in run"):
        recommendations.recommend(LIVE, LINES, RecommendationRequest(liked=[99]))


def test_nothing_to_recommend_has_a_reason() -> None:
    response = recommendations.recommend(LIVE, LINES, RecommendationRequest(liked=[4]))
    assert response.reason == "3 users rated it; 10 are needed"
    response = recommendations.recommend(
        LIVE, LINES, RecommendationRequest(liked=[1, 4], disliked=[2, 10, 11])
    )
    assert response.recommendations == []
    assert response.reason is not None
    assert response.reason.startswith("every neighbour of the liked movies")


def test_a_movie_cannot_be_liked_and_disliked() -> None:
    with pytest.raises(ProblemError, match="disliked: also liked"):
        recommendations.requested_ids(RecommendationRequest(liked=[1, 2], disliked=[2]))
    assert sorted(
        recommendations.requested_ids(RecommendationRequest(liked=[2, 1, 2], disliked=[3]))
    ) == [1, 2, 3]
