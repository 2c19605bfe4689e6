"""Reading: every format and encoding, malformed lines rejected, the latest of duplicates kept."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from movielens import FORMATS, GENRES_100K, Format, movie_defect, rating_defect
from movies import catalogue, read_movies
from ratings import latest_ratings, read_ratings
from tests.conftest import movielens
from tests.spark.conftest import ratings_frame

pytestmark = pytest.mark.spark

DAT, CSV, OLD = FORMATS
BROKEN = ["", "0", "-1", "+1", "1.5", "x", " 1", "2147483647", "2147483648", "9" * 18, "9" * 19]
STARS = ["0", "0.5", "5", "5.0", "5.5", "0.25", "4.50", "4.", "nan", "Infinity", "1e0", "NaN", "-1"]


def lines_of(path: Path) -> list[str]:
    """The lines of a text file without their ends."""
    return [line for line in path.read_text().split("\n") if line.strip()]


def rating_lines(format: Format) -> st.SearchStrategy[str]:
    """Lines that look like ratings, good and bad."""
    column = st.sampled_from([*BROKEN, *STARS, "1", "7", '"7"', "ü"])
    columns = st.lists(column, min_size=3, max_size=5)
    good = st.tuples(st.just("7"), st.just("12"), st.just("4.5"), st.just("978300760")).map(list)
    return st.one_of(good, columns).map(format.ratings_separator.join)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_spark_rejects_what_the_rules_reject(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    format: Format,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("lines") / format.ratings
    wanted = data.draw(st.lists(rating_lines(format), min_size=60, max_size=120))
    path.write_text("\n".join(["1,1,1.0,1" if format.header else wanted[0], *wanted]) + "\n")
    judged = read_ratings(spark, str(path), format).collect()
    told = {row.line: row.defect for row in judged}
    assert told == {line: rating_defect(line, format) for line in lines_of(path)}


MOVIE_LINES = {
    DAT: ["1::Toy Story (1995)::Animation|Comedy", "2::No genres (2001)::", "x::A::B", "3::A",
          "4::  ::Drama", "5::Ends (1999)::Drama::more", "0::Zero (1999)::Drama"],
    CSV: ['1,"American President, The (1995)",Comedy', '2,"He said ""no"" (2001)",Drama',
          "3,Plain (2002),(no genres listed)", "4,Too,many,columns", "5,,Drama", "6,Two"],
    OLD: [f"1|Toy Story (1995)|01-Jan-1995||http://x|{'|'.join('0' * 19)}", "2|short|x", "x"],
}  # fmt: skip


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_movie_lines_are_judged_by_the_rules(
    spark: SparkSession, tmp_path: Path, format: Format
) -> None:
    path = tmp_path / format.movies
    header = ["movieId,title,genres"] if format.header else []
    path.write_text("\n".join(header + MOVIE_LINES[format]) + "\n")
    told = {row.line: row.defect for row in read_movies(spark, str(path), format).collect()}
    assert told == {line: movie_defect(line, format) for line in MOVIE_LINES[format]}
    assert None in told.values()


def test_the_latest_of_a_users_ratings_of_a_movie_counts(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text("1::5::1::100\n1::5::2::300\n1::5::3::200\n2::5::4::7\n2::5::4.5::7\n")
    kept = latest_ratings(read_ratings(spark, str(path), DAT)).collect()
    assert {(row.user, row.rating) for row in kept} == {(1, 2.0), (2, 4.5)}


def test_the_later_line_of_equal_times_counts_across_the_splits_of_a_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "ratings.dat"
    lines = [f"{user}::5::{1 + place % 9 / 2}::7" for place in range(40) for user in range(1, 60)]
    path.write_text("\n".join(lines) + "\n")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "4096")
    try:
        judged = read_ratings(spark, str(path), DAT)
        assert judged.rdd.getNumPartitions() > 5
        kept = latest_ratings(judged).collect()
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")
    assert {row.rating for row in kept} == {1 + 39 % 9 / 2}


def test_line_ends_of_windows_and_a_byte_order_mark_do_no_harm(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"\xef\xbb\xbfuserId,movieId,rating,timestamp\r\n1,2,3.5,4\r\n\r\n")
    (row,) = read_ratings(spark, str(path), CSV).collect()
    assert (row.defect, row.user, row.movie, row.rating) == (None, 1, 2, 3.5)


def test_a_header_is_one_only_in_the_first_line(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    header = "userId,movieId,rating,timestamp\n"
    path.write_text(f"{header}1,2,3.5,4\n{header}")
    defects = [row.defect for row in read_ratings(spark, str(path), CSV).collect()]
    assert defects == [None, "user_id"]


def test_titles_are_utf_8_or_else_latin_1(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"
    title = "Misérables, Les (1995)"
    path.write_bytes(f"1::{title}::Drama\n".encode() + f"2::{title}::Drama\n".encode("latin-1"))
    assert [row.title for row in read_movies(spark, str(path), DAT).collect()] == [title, title]


@pytest.mark.parametrize(
    ("title", "year"),
    [("Heat (1995)", 1995), ("Cosmos (1980-1981)", 1980), ("Nick (1995) Fury", None),
     ("1984", None), ("Heat (1995) ", 1995), ("Doors (The) (1991)", 1991)],
)  # fmt: skip
def test_the_year_stands_in_parentheses_at_the_end(
    spark: SparkSession, tmp_path: Path, title: str, year: int | None
) -> None:
    path = tmp_path / "movies.dat"
    path.write_text(f"1::{title}::Drama\n")
    (row,) = read_movies(spark, str(path), DAT).collect()
    assert (row.title, row.year) == (title.strip(), year)


def test_the_catalogue_holds_what_is_listed_and_what_is_rated(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "movies.dat"
    path.write_text("1::Heat (1995)::Crime|Drama\n1::Heat again (1996)::Drama\n2::Alone::\n")
    ratings = ratings_frame(spark, [(1, 1, 4.0), (2, 1, 5.0), (1, 9, 3.0)])
    rows = catalogue(read_movies(spark, str(path), DAT), ratings).collect()
    assert sorted(tuple(row) for row in rows) == [
        (1, "Heat (1995)", 1995, ["Crime", "Drama"], 2),
        (2, "Alone", None, [], 0),
        (9, None, None, [], 1),
    ]


@pytest.mark.parametrize(
    ("release", "ratings", "movies", "toy_story"),
    [
        ("ml-latest-small", 100_836, 9_742, "Adventure Animation Children Comedy Fantasy"),
        ("ml-1m", 1_000_209, 3_883, "Animation Children's Comedy"),
        ("ml-100k", 100_000, 1_682, "Animation Children's Comedy"),
    ],
)
def test_real_releases_are_read_without_a_reject(
    spark: SparkSession, release: str, ratings: int, movies: int, toy_story: str
) -> None:
    root = movielens(release)
    (format,) = [format for format in FORMATS if (root / format.ratings).exists()]
    rated = read_ratings(spark, str(root / format.ratings), format)
    listed = read_movies(spark, str(root / format.movies), format)
    assert rated.where("defect IS NULL").count() == rated.count() == ratings
    assert listed.where("defect IS NULL").count() == listed.count() == movies
    first = listed.where("movie = 1").first()
    assert (first.title, first.genres) == ("Toy Story (1995)", toy_story.split())
    assert {genre for row in listed.collect() for genre in row.genres} <= {
        *GENRES_100K, "Children", "IMAX",
    }  # fmt: skip
