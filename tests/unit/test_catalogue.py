"""Title search: as people type it."""

import gzip
import json

import pytest

import catalogue

TITLES = {
    1: ("Toy Story (1995)", 200),
    2: ("Matrix, The (1999)", 300),
    3: ("Misérables, Les (1995)", 20),
    4: ("Misérables, Les (1998)", 30),
    5: ("Toy Story 2 (1999)", 250),
    6: (None, 5),
    7: ("Story of Us, The (1999)", 9),
}
CATALOGUE = catalogue.load(
    gzip.compress(
        "\n".join(
            json.dumps(
                {"movie_id": movie_id, "title": title, "year": title and int(title[-5:-1]),
                 "genres": [], "ratings": ratings}
            )
            for movie_id, (title, ratings) in TITLES.items()
        ).encode()
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("toy story", [1, 5]),
        ("Toy Story (1995)", [1]),
        ("the matrix", [2]),
        ("MATRIX, THE", [2]),
        ("matrix", [2]),
        ("miserables", [4, 3]),
        ("les misérables (1995)", [3]),
        ("story", [5, 1, 7]),
        ("sto to", [5, 1]),
        ("nothing of the kind", []),
        ("!!!", []),
    ],
)
def test_titles_are_found_as_people_type_them(query: str, found: list[int]) -> None:
    assert [movie["movie_id"] for movie in catalogue.search(CATALOGUE, query, 10)] == found


def test_the_limit_keeps_the_best() -> None:
    assert [movie["movie_id"] for movie in catalogue.search(CATALOGUE, "story", 1)] == [5]
