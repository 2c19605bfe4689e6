"""Why two titles are similar: the shared facts, and the sentence that names them."""

from dataclasses import replace
from typing import Any

import pytest

from query.why import why
from tests.unit.query.test_similar import LIVE

RUN = replace(LIVE, users=6_000)
GODFATHER: dict[str, Any] = {
    "movie_id": 1, "title": "Godfather, The (1972)", "year": 1972, "genres": ["Crime", "Drama"],
    "ratings": 2_200, "series": "The Godfather", "tags": ["mafia", "classic", "oscar"],
}  # fmt: skip
SEQUEL = GODFATHER | {
    "movie_id": 2, "title": "Godfather: Part II, The (1974)", "year": 1974, "ratings": 990,
    "genres": ["Drama", "Crime"], "tags": ["sequel", "classic", "mafia"], "co_raters": 1_234,
}  # fmt: skip
OTHER = {"movie_id": 3, "title": None, "year": None, "genres": [], "ratings": 5, "co_raters": 0}


def test_all_shared_facts_are_named() -> None:
    found = why(RUN, GODFATHER, SEQUEL)
    assert found.sentence == (
        "Both in the series The Godfather; both are crime and drama movies of the 1970s; both"
        " tagged mafia, classic; 1,234 people rated both, 3.4 times as many as chance."
    )
    assert (found.series, found.genres, found.decade) == (
        "The Godfather", ["Crime", "Drama"], 1970,
    )  # fmt: skip
    assert (found.tags, found.co_raters) == (["mafia", "classic"], 1_234)
    assert found.lift == pytest.approx(1_234 * 6_000 / (2_200 * 990), abs=5e-4)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"genres": ["Drama"]}, "Both are drama movies."),
        ({"genres": ["Drama"], "year": 1979}, "Both are drama movies of the 1970s."),
        ({"genres": ["Drama"], "year": 1980}, "Both are drama movies."),
        ({"year": 1970}, "Both are of the 1970s."),
        ({"tags": ["oscar"]}, "Both tagged oscar."),
        (
            {"series": "Rocky"},
            "They share no tags, genres, series or decade, and nobody rated both.",
        ),
        ({"co_raters": 1}, "1 person rated both, 0.55 times as many as chance."),
        ({"co_raters": 40}, "40 people rated both, 22 times as many as chance."),
        ({"co_raters": 2}, "2 people rated both, 1.1 times as many as chance."),
    ],
)
def test_only_what_is_shared_is_named(changes: dict[str, Any], sentence: str) -> None:
    assert why(RUN, GODFATHER, OTHER | changes).sentence == sentence


def test_genres_are_joined_as_in_english() -> None:
    genres = ["Sci-Fi", "IMAX", "Film-Noir", "Children", "Terry Pratchett"]
    movie = GODFATHER | {"genres": genres}
    assert why(RUN, movie, OTHER | {"genres": genres}).sentence == (
        "Both are sci-fi, IMAX, film-noir, children's and Terry Pratchett movies."
    )


def test_titles_without_a_series_do_not_share_one() -> None:
    plain = {name: value for name, value in GODFATHER.items() if name != "series"}
    assert why(RUN, plain, OTHER).series is None


@pytest.mark.parametrize("live", [RUN, LIVE], ids=["users known", "users unknown"])
def test_lines_of_an_earlier_version_still_have_a_reason(live: Any) -> None:
    new = {"series", "tags", "ratings"}
    sequel = {name: value for name, value in SEQUEL.items() if name not in new}
    movie = {name: value for name, value in GODFATHER.items() if name not in new - {"ratings"}}
    found = why(live, movie, sequel)
    assert (
        found.sentence == "Both are crime and drama movies of the 1970s; 1,234 people rated both."
    )
    assert (found.lift, found.tags, found.series) == (None, [], None)


def test_without_the_number_of_users_chance_is_unknown() -> None:
    assert LIVE.users is None
    found = why(LIVE, GODFATHER, OTHER | {"co_raters": 7})
    assert (found.lift, found.sentence) == (None, "7 people rated both.")
