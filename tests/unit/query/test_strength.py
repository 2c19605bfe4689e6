"""Strength beside each score: of the live run, by measure and by how known the movie is."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from query import recommendations, similar
from query.requests import RecommendationRequest, SimilarQuery
from query.strength import strength
from spark.contracts.strength import Curve, to_text
from tests.unit.query.test_similar import LINE
from tests.unit.query.test_similar import LIVE as OLD

# LINE's movie has 300 raters, between the two curves.
CURVES = [Curve(30, [(0.4, 20), (0.8, 60)]), Curve(3000, [(0.4, 0), (0.8, 40)])]
LIVE = replace(OLD, strength=to_text({"damped": CURVES}))


def rows(live: Any, measure: str) -> list[dict[str, Any]]:
    """The neighbours by a measure."""
    query = SimilarQuery(movie_id=1, measure=measure)
    return to_builtins(similar.similar_titles(live, LINE, query))["similar"]


def test_each_neighbour_has_the_strength_of_its_score() -> None:
    assert [(row["score"], row["strength"]) for row in rows(LIVE, "damped")] == [
        (0.9, 50), (0.5, 20), (0.5, 20),
    ]  # fmt: skip


def test_a_measure_that_the_run_did_not_evaluate_has_no_strength() -> None:
    assert [row["strength"] for row in rows(LIVE, "cosine")] == [None] * 3


def test_runs_of_earlier_versions_have_no_strength() -> None:
    assert [row["strength"] for row in rows(OLD, "damped")] == [None] * 3


@pytest.mark.parametrize(("live", "expected"), [(LIVE, 50), (OLD, None)])
def test_reasons_of_a_recommendation_have_it_too(live: Any, expected: int | None) -> None:
    request = RecommendationRequest(liked=[1])
    first, *_ = recommendations.recommend(live, {1: LINE}, request).recommendations
    assert [reason.strength for reason in first.because] == [expected]


@given(
    heights=st.lists(st.lists(st.integers(0, 99), min_size=3, max_size=3), min_size=1, max_size=4),
    raters=st.integers(0, 10**6),
    scores=st.lists(st.floats(0, 30), min_size=2),
)
def test_on_a_list_strength_never_rises_and_is_from_0_to_100(
    heights: list[list[int]], raters: int, scores: list[float]
) -> None:
    curves = [
        Curve(10 ** (place + 1), list(zip((0.3, 1.7, 9.1), map(float, sorted(of)), strict=True)))
        for place, of in enumerate(heights)
    ]
    live = replace(OLD, strength=to_text({"damped": curves}))
    movie = LINE | {"ratings": raters}
    found = [strength(live, "damped", movie, score) or 0 for score in sorted(scores, reverse=True)]
    assert found == sorted(found, reverse=True)
    assert all(0 <= each <= 100 for each in found)
