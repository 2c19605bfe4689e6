"""Title search: as people type it."""

import gzip
import json

import pytest

from query.search import title_catalogue, title_search

TITLES = {
    1: ("Toy Story (1995)", 200),
    2: ("Matrix, The (1999)", 300),
    3: ("Misérables, Les (1995)", 20),
    4: ("Misérables, Les (1998)", 30),
    5: ("Toy Story 2 (1999)", 250),
    6: (None, 5),
    7: ("Story of Us, The (1999)", 9),
    8: ("City of Lost Children, The (Cité des enfants perdus, La) (1995)", 38),
    9: ("Seven (a.k.a. Se7en) (1995)", 203),
    10: ("Seven Samurai (Shichinin no samurai) (1954)", 48),
    11: ("Spider-Man (2002)", 122),
    12: ("2001: A Space Odyssey (1968)", 109),
    13: ("E.T. the Extra-Terrestrial (1982)", 121),
    14: ("Schindler's List (1993)", 220),
    15: ("Fast & Furious (2009)", 10),
    16: ("Jurassic Park (1993)", 238),
    17: ("Smørrebrød (1961)", 3),
    18: ("<b>Tom</b> & \x07Jerry\u202e (2001)", 2),
    19: ("(500) Days of Summer (2009)", 42),
    20: ("Heat (1995)", 102),
    21: ("Heat, The (2013)", 150),
}


def loaded(titles: dict[int, tuple[str | None, int]]) -> title_catalogue.Catalogue:
    """A catalogue of titles, each with the number of its ratings."""
    lines = (
        json.dumps(
            {"movie_id": movie_id, "title": title, "year": title and int(title[-5:-1]),
             "genres": [], "ratings": ratings}
        )
        for movie_id, (title, ratings) in titles.items()
    )  # fmt: skip
    return title_catalogue.load(gzip.compress("\n".join(lines).encode()))


CATALOGUE = loaded(TITLES)


def search(query: str, limit: int = 10, year: int | None = None) -> list[int]:
    return [hit.movie["movie_id"] for hit in title_search.search(CATALOGUE, query, limit, year)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # equal titles first, then the most rated
        ("toy story", [1, 5]),
        ("story", [5, 1, 7]),
        ("heat", [20, 21]),
        ("the heat", [21, 20]),
        # the year distinguishes equal titles
        ("Toy Story (1995)", [1]),
        ("les misérables (1995)", [3]),
        ("miserables 1998", [4]),
        ("2001 space", [12]),
        # case, accents, articles, punctuation
        ("MATRIX, THE", [2]),
        ("the matrix", [2]),
        ("matrix", [2]),
        ("miserables", [4, 3]),
        ("Les Misérables", [4, 3]),
        ("smorrebrod", [17]),
        ("schindlers list", [14]),
        ("fast and furious", [15]),
        ("et the extra terrestrial", [13]),
        ("500 days", [19]),
        # other titles of the same movie
        ("cite des enfants perdus", [8]),
        ("la cité des enfants perdus", [8]),
        ("se7en", [9]),
        ("shichinin no samurai", [10]),
        # any order, prefixes of words, missing spaces
        ("story toy", [5, 1]),
        ("sto to", [5, 1]),
        ("juras", [16]),
        ("the mat", [2]),
        ("spiderman", [11]),
        ("spider man", [11]),
        ("toystory", [1]),
        # typing errors: a wrong, additional or missing letter, or two swapped
        ("natrix", [2]),
        ("mattrix", [2]),
        ("matix", [2]),
        ("matirx", [2]),
        ("jurasic prk", [16]),
        ("shindlers lits", [14]),
        ("sevn", [9, 10]),
        ("spidremann", [11]),
        # nothing
        ("nothing of the kind", []),
        ("xyz", []),
        ("!!!", []),
        ("\x00\ud83c", []),
    ],
)
def test_search_finds_titles_as_people_type_them(query: str, found: list[int]) -> None:
    assert search(query) == found


def test_an_equal_title_precedes_a_more_rated_one() -> None:
    assert search("toy story")[0] == 1
    assert TITLES[5][1] > TITLES[1][1]


def test_the_limit_keeps_the_best() -> None:
    assert search("story", limit=1) == [5]


def test_a_year_keeps_only_the_movies_of_that_year() -> None:
    assert search("heat", year=1995) == [20]
    assert search("heat", year=1996) == []


@pytest.mark.parametrize("movie_id", [movie_id for movie_id, (title, _) in TITLES.items() if title])
def test_every_title_finds_its_movie_first_in_any_case(movie_id: int) -> None:
    title = TITLES[movie_id][0] or ""
    for written in (title, title.upper(), title.lower(), f" {title}! "):
        assert search(written)[0] == movie_id


def test_a_title_with_all_the_words_does_not_count_as_a_typing_error() -> None:
    qualities = [hit.quality for hit in title_search.search(CATALOGUE, "toy story", 10)]
    assert qualities == [title_search.EXACT, title_search.WORDS]
    assert [hit.quality for hit in title_search.search(CATALOGUE, "juras", 10)] == [
        title_search.BEGINNINGS
    ]


def test_typing_errors_are_not_tolerated_if_a_title_matches_without_them() -> None:
    close = loaded({1: ("Alien (1979)", 1), 2: ("Allen (1980)", 900)})
    (hit,) = title_search.search(close, "alien", 10)
    assert hit.movie["movie_id"] == 1
    assert hit.quality == title_search.EXACT


def test_fewer_errors_precede_more_errors_and_popularity() -> None:
    near = loaded({1: ("Terminator (1984)", 1), 2: ("Terminators (1990)", 900)})
    assert [hit.movie["movie_id"] for hit in title_search.search(near, "terminatr", 10)] == [1, 2]
