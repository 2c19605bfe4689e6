"""Titles to watch next: sums, differences and reasons, without AWS."""

from dataclasses import replace
from typing import Any

import pytest

from query import recommendations
from query.http.problems import ProblemError
from query.requests import RecommendationRequest
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
