"""The movies file: its titles, years and genres, rejected lines, and the catalogue."""

import json
from pathlib import Path

import numpy as np
import pytest

from spark.contracts.movielens import FORMATS, GENRES_100K, Layout
from spark.contracts.movielens_lines import movie_defect
from spark.ingest.lines import read_layout
from spark.ingest.movies import Catalogue, catalogue, described, parse_movie, read_movies
from tests.conftest import movielens

DAT, CSV, OLD = LAYOUTS = [format.movies_layout for format in FORMATS]
LINES = {
    DAT.file: ["1::Toy Story (1995)::Animation|Comedy", "2::No genres (2001)::", "x::A::B", "3::A",
          "4:: \t ::Drama", "5::Ends (1999)::Drama::more", "6::\xa0::Drama", "0::Zero::Drama",
          "-1::Minus::Drama"],
    CSV.file: ['1,"American President, The (1995)",Comedy', '2,"We said ""no"" (2001)",Drama',
          "3,Plain (2002),(no genres listed)", "4,Too,many,columns", "5,,Drama", "6,Two",
          '7,"Open,Drama', '8,"Text" after,Drama', "9,\xa0,Drama",
          '1,"' + '""' * 50_000 + ' (1995)",x', '"1"' + "," * 30_000, '"'],
    OLD.file: [f"1|Toy Story (1995)|01-Jan-1995||http://x|{'|'.join('0' * 19)}", "2|short|x", "x"],
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.file)
def test_lines_that_break_the_rules_are_rejected(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / layout.file
    header = ["movieId,title,genres"] if layout.has_header else []
    path.write_text("\n".join(header + LINES[layout.file]) + "\n")
    movies, line_report, rejects = read_movies(str(path), layout)
    bad = [(defect, line) for line in LINES[layout.file] if (defect := movie_defect(line, layout))]
    assert rejects == bad != []
    assert (line_report.lines, line_report.rejected) == (len(LINES[layout.file]), len(bad))
    assert len(movies) == line_report.good > 0


@pytest.mark.parametrize(
    ("title", "year"),
    [("Heat (1995)", 1995), ("Cosmos (1980-1981)", 1980), ("Death Note (2006\u20132007)", 2006),
     ("Show (2007-)", 2007), ("Nick (1995) Fury", None), ("1984", None), ("Heat (19951)", None),
     ("Show (2009\u2013 )", 2009), ("Tape (1983))", 1983), ("Show ( 2009 - 2011 )", 2009),
     (" Heat (1995)\t", 1995), ("Doors (The) (1991)", 1991),
     ("Heat (\u0661\u0669\u0669\u0665)", None)],
)  # fmt: skip
def test_the_year_is_in_parentheses_at_the_end(title: str, year: int | None) -> None:
    movie = parse_movie(f"1::{title}::Drama", DAT)
    assert (movie.title, movie.year) == (title.strip(), year)


def test_genres_are_names_in_every_format() -> None:
    none = f"1|T|||u|{'|'.join('1' + '0' * 18)}", "1::T::(no genres listed)", "1,T,"
    both = (
        f"2|T|||u|{'|'.join('01' + '0' * 16 + '1')}",
        "2::T::Action|Western",
        "2,T,Action|Western",
    )
    for lines, genres in ((none, []), (both, ["Action", "Western"])):
        for line, layout in zip(lines, (OLD, DAT, CSV), strict=True):
            assert parse_movie(line, layout).genres == genres


def test_titles_and_genres_are_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "movies.csv"
    path.write_bytes(
        b"genres,movieId,title\n"
        b" Drama | Sci&#45;Fi |,1.0,Bed &amp; Board (1970)\n"
        b'Drama,2e0,"Two\r\n\r\nlines, \\"quoted\\" (1999)"\r\n'
        b'Drama,3,"Open (2000)\nDrama,4,Next (2001)\ntail"\n'
        b'Drama,5,"Also open\nnot closed\nDrama,6,\x93Windows\x94 \x96 (2002)\n'
    )
    layout = read_layout(str(path), CSV)
    movies, report, rejects = read_movies(str(path), layout)
    assert [(movie.movie_id, movie.title, movie.year) for movie in movies] == [
        (1, "Bed & Board (1970)", 1970),
        (2, 'Two lines, "quoted" (1999)', 1999),
        (4, "Next (2001)", 2001),
        (6, "\u201cWindows\u201d \u2013 (2002)", 2002),
    ]
    assert movies[0].genres == ["Drama", "Sci-Fi"]
    assert [reject.line for reject in rejects] == [
        'Drama,3,"Open (2000)', 'tail"', 'Drama,5,"Also open', "not closed",
    ]  # fmt: skip
    assert report.lines == 8


def rows(movies: Catalogue) -> list[dict]:
    """The catalogue's movies."""
    return [json.loads(f"{{{about}}}") for about in movies.about]


def test_the_catalogue_holds_all_listed_and_all_rated_movies() -> None:
    lines = ["2::Alone::", '1::"Heat" \\ ü (1995)::Crime|Drama', "1::Heat again (1996)::Drama"]
    movies = [parse_movie(line, DAT) for line in lines]
    whole = catalogue(described(movies), np.array([1, 2**31 - 1], np.int32), np.array([2, 1]))
    assert rows(whole) == [
        {"movie_id": 1, "title": '"Heat" \\ ü (1995)', "year": 1995, "genres": ["Crime", "Drama"]},
        {"movie_id": 2, "title": "Alone", "year": None, "genres": []},
        {"movie_id": 2**31 - 1, "title": None, "year": None, "genres": []},
    ]
    assert (whole.ids.tolist(), whole.ratings.tolist()) == ([1, 2, 2**31 - 1], [2, 0, 1])
    assert whole.listed == 2


def test_a_movie_of_a_series_names_it() -> None:
    lines = ["3::Rocky II (1979)::", "1::Heat (1995)::", "2::Rocky (1976)::"]
    movies = catalogue(
        described([parse_movie(line, DAT) for line in lines]), *[np.array([], np.int32)] * 2
    )
    assert [row.get("series") for row in rows(movies)] == [None, "Rocky", "Rocky"]
    assert "series" not in rows(movies)[0]


@pytest.mark.parametrize(
    ("release", "layout", "count", "toy_story"),
    [
        ("ml-latest-small", CSV, 9_742, "Adventure Animation Children Comedy Fantasy"),
        ("ml-1m", DAT, 3_883, "Animation Children's Comedy"),
        ("ml-100k", OLD, 1_682, "Animation Children's Comedy"),
    ],
)
def test_the_movies_of_real_releases_are_read_without_a_reject(
    release: str, layout: Layout, count: int, toy_story: str
) -> None:
    movies, _, rejects = read_movies(str(movielens(release) / layout.file), layout)
    assert (len(movies), rejects) == (count, [])
    assert (movies[0].title, movies[0].genres) == ("Toy Story (1995)", toy_story.split())
    assert {genre for movie in movies for genre in movie.genres} <= {
        *GENRES_100K, "Children", "IMAX",
    }  # fmt: skip
