"""Reading: every format and encoding, malformed lines rejected, the latest of duplicates kept."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import ratings as ratings_module
from lines import columns
from movielens import BLANKS, FORMATS, GENRES_100K, Format, movie_defect, rating_defect, split_line
from movies import catalogue, read_movies
from ratings import Ratings, read_ratings
from tests.conftest import movielens
from tests.spark.conftest import folder

pytestmark = pytest.mark.spark

DAT, CSV, OLD = FORMATS
QUOTED = ['"7"', '"a,b"', '"a""b"', '"', '""', '7"', '"7" ', '"7"x', ' "7"', "\t", "\xa0", "\x1c"]
BROKEN = ["", "0", "-1", "+1", "1.5", "x", " 1", "2147483647", "2147483648", "9" * 18, "9" * 19]
STARS = ["0", "0.5", "5", "5.0", "5.5", "0.25", "4.50", "4.", "nan", "Infinity", "1e0", "NaN", "-1"]


def lines_of(path: Path) -> list[str]:
    """The lines of a text file without their ends."""
    return [line for line in path.read_text().split("\n") if line.strip(BLANKS)]


def read(spark: SparkSession, path: Path, format: Format) -> Ratings:
    """Read a ratings file."""
    return read_ratings(spark, str(path), format, path.stat().st_size)


def by_user(ratings: Ratings) -> list[dict[int, float]]:
    """What each user rated, users in no order."""
    users = []
    for row in ratings.chunks.collect():
        starts = np.frombuffer(row.starts, np.int64).tolist()
        movies = np.frombuffer(row.movies, np.int32).tolist()
        stars = (np.frombuffer(row.halves, np.uint8) / 2).tolist()
        rated = list(zip(movies, stars, strict=True))
        users += [dict(rated[a:b]) for a, b in itertools.pairwise(starts)]
    return users


def rating_lines(format: Format) -> st.SearchStrategy[str]:
    """Lines that look like ratings, good and bad."""
    column = st.sampled_from([*BROKEN, *STARS, *QUOTED, "1", "7", "ü"])
    columns = st.lists(column, min_size=3, max_size=5)
    # A line with one odd column, so that no defect hides behind another.
    good = ["7", "12", "4.5", "978300760"]
    odd = st.tuples(st.integers(0, 3), column).map(
        lambda change: [*good[: change[0]], change[1], *good[change[0] + 1 :]]
    )
    return st.one_of(odd, columns).map(format.ratings_separator.join)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_a_file_is_rejected_line_by_line_as_the_rules_say(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    format: Format,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("lines") / format.ratings
    wanted = data.draw(st.lists(rating_lines(format), min_size=60, max_size=120))
    # A file without a header: its first line is data.
    path.write_text("\n".join(["1,1,1.0,1" if format.header else wanted[0], *wanted]) + "\n")
    ratings = read(spark, path, format)
    lines = lines_of(path)
    bad = [(defect, line) for line in lines if (defect := rating_defect(line, format))]
    assert ratings.lines == len(lines)
    assert sorted(tuple(row) for row in ratings.rejects.collect()) == sorted(bad)
    assert ratings.defects == dict(Counter(defect for defect, _ in bad))


@settings(max_examples=4, deadline=None)
@given(texts=st.lists(st.text('a1", ', min_size=1, max_size=14), min_size=60, max_size=200))
def test_quotes_mean_to_spark_what_they_mean_to_the_rules(
    spark: SparkSession, texts: list[str]
) -> None:
    table = spark.createDataFrame([(text,) for text in texts], "line string")
    told = table.select("line", columns(F.col("line"), ",", 3).alias("columns")).collect()
    for row in told:
        expected = split_line(row.line, ",")
        assert row.columns == (expected if len(expected) == 3 else None), row.line


@pytest.mark.parametrize("line", ['1,"' + '""' * 50_000 + ' (1995)",x', '"1"' + "," * 30_000, '"'])
def test_a_monstrous_line_does_not_end_the_job(
    spark: SparkSession, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "movies.csv"
    path.write_text(f"movieId,title,genres\n{line}\n")
    (row,) = read_movies(spark, str(path), CSV).collect()
    assert row.defect == movie_defect(line, CSV)


MOVIE_LINES = {
    DAT: ["1::Toy Story (1995)::Animation|Comedy", "2::No genres (2001)::", "x::A::B", "3::A",
          "4:: \t ::Drama", "5::Ends (1999)::Drama::more", "6::\xa0::Drama", "0::Zero::Drama"],
    CSV: ['1,"American President, The (1995)",Comedy', '2,"He said ""no"" (2001)",Drama',
          "3,Plain (2002),(no genres listed)", "4,Too,many,columns", "5,,Drama", "6,Two",
          '7,"Open,Drama', '8,"Text" after,Drama', "9,\xa0,Drama"],
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
    assert sorted(map(sorted, (u.items() for u in by_user(read(spark, path, DAT))))) == [
        [(5, 2.0)], [(5, 4.5)],
    ]  # fmt: skip


def test_the_later_line_of_equal_times_counts_across_the_splits_of_a_file(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ratings.dat"
    lines = [f"{user}::5::{1 + place % 9 / 2}::7" for place in range(40) for user in range(1, 60)]
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(ratings_module, "SPLIT_BYTES", 4096)
    ratings = read(spark, path, DAT)
    assert spark.read.text(str(path)).rdd.getNumPartitions() > 5
    assert by_user(ratings) == [{5: 1 + 39 % 9 / 2}] * 59
    assert (ratings.users, ratings.count, ratings.lines) == (59, 59, 59 * 40)


def test_line_ends_of_windows_and_a_byte_order_mark_do_no_harm(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"\xef\xbb\xbfuserId,movieId,rating,timestamp\r\n1,2,3.5,4\r\n\r\n \t\x0b\r\n")
    ratings = read(spark, path, CSV)
    assert (by_user(ratings), ratings.defects) == ([{2: 3.5}], {})


def test_a_header_is_one_only_in_the_first_line(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    header = "userId,movieId,rating,timestamp\n"
    path.write_text(f"{header}1,2,3.5,4\n{header}")
    ratings = read(spark, path, CSV)
    assert (ratings.lines, ratings.defects) == (2, {"user_id": 1})


def test_titles_are_utf_8_or_else_latin_1(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"
    title = "Misérables, Les (1995)"
    path.write_bytes(f"1::{title}::Drama\n".encode() + f"2::{title}::Drama\n".encode("latin-1"))
    assert [row.title for row in read_movies(spark, str(path), DAT).collect()] == [title, title]


@pytest.mark.parametrize(
    ("title", "year"),
    [("Heat (1995)", 1995), ("Cosmos (1980-1981)", 1980), ("Death Note (2006\u20132007)", 2006),
     ("Show (2007-)", 2007), ("Nick (1995) Fury", None), ("1984", None), ("Heat (19951)", None),
     (" Heat (1995)\t", 1995), ("Doors (The) (1991)", 1991)],
)  # fmt: skip
def test_the_year_stands_in_parentheses_at_the_end(
    spark: SparkSession, tmp_path: Path, title: str, year: int | None
) -> None:
    path = tmp_path / "movies.dat"
    path.write_text(f"1::{title}::Drama\n")
    (row,) = read_movies(spark, str(path), DAT).collect()
    assert (row.title, row.year) == (title.strip(), year)


def test_genres_are_names_whatever_the_format(spark: SparkSession, tmp_path: Path) -> None:
    flags = {"unknown": "1" + "0" * 18, "Action Western": "01" + "0" * 16 + "1"}
    lines = [f"{id}|T|||u|{'|'.join(bits)}" for id, bits in enumerate(flags.values(), 1)]
    listed = folder(
        tmp_path,
        u_item="\n".join(lines),
        movies_dat="1::T::(no genres listed)\n2::T::Action|Western\n",
        movies_csv="movieId,title,genres\n1,T,(no genres listed)\n2,T,Action|Western\n",
    )
    for format in FORMATS:
        rows = read_movies(spark, str(listed / format.movies), format).orderBy("number").collect()
        assert [row.genres for row in rows] == [[], ["Action", "Western"]]


def test_the_catalogue_holds_what_is_listed_and_what_is_rated(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "movies.dat"
    path.write_text("1::Heat (1995)::Crime|Drama\n1::Heat again (1996)::Drama\n2::Alone::\n")
    rated = spark.createDataFrame([(1, 2), (9, 1)], "movie int, ratings long")
    rows = catalogue(read_movies(spark, str(path), DAT), rated).collect()
    assert sorted(tuple(row) for row in rows) == [
        (1, "Heat (1995)", 1995, ["Crime", "Drama"], 2),
        (2, "Alone", None, [], 0),
        (9, None, None, [], 1),
    ]


@pytest.mark.parametrize(
    ("release", "format", "movies", "toy_story"),
    [
        ("ml-latest-small", CSV, 9_742, "Adventure Animation Children Comedy Fantasy"),
        ("ml-1m", DAT, 3_883, "Animation Children's Comedy"),
        ("ml-100k", OLD, 1_682, "Animation Children's Comedy"),
    ],
)
def test_the_movies_of_real_releases_are_read_without_a_reject(
    spark: SparkSession, release: str, format: Format, movies: int, toy_story: str
) -> None:
    listed = read_movies(spark, str(movielens(release) / format.movies), format).collect()
    assert len(listed) == movies
    assert all(row.defect is None for row in listed)
    assert (listed[0].title, listed[0].genres) == ("Toy Story (1995)", toy_story.split())
    assert {genre for row in listed for genre in row.genres} <= {*GENRES_100K, "Children", "IMAX"}


def test_the_ratings_of_1m_are_read_without_a_reject(spark: SparkSession) -> None:
    ratings = read(spark, movielens("ml-1m") / "ratings.dat", DAT)
    assert (ratings.count, ratings.lines, ratings.defects) == (1_000_209, 1_000_209, {})
