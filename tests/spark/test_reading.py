"""Reading ratings: malformed lines are rejected and stored, the latest of duplicates counts."""

import gzip
import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark.contracts.movielens import FORMATS, Layout
from spark.contracts.movielens_lines import BLANKS, rating_defect
from spark.ingest import ratings as ratings_module
from spark.ingest.chunks import Chunk
from spark.ingest.lines import read_layout
from spark.ingest.ratings import Ratings, read_ratings
from tests.conftest import movielens

pytestmark = pytest.mark.spark

DAT, CSV, OLD = LAYOUTS = [replace(format.ratings_layout, has_header=False) for format in FORMATS]
QUOTED = ['"7"', '"a,b"', '"a""b"', '"', '""', '7"', '"7" ', '"7"x', ' "7"', "\t", "\xa0", "\x1c"]
BROKEN = ["", "0", "-1", "+1", "1.5", "x", " 1", "2147483647", "2147483648", "9" * 18, "9" * 19]
STARS = ["0", "0.5", "5", "5.0", "5.5", "0.25", "4.50", "4.", "nan", "Infinity", "1e0", "NaN", "-1"]


def read(
    spark: SparkSession,
    path: Path,
    layout: Layout,
    output: Path | None = None,
    most: int | None = None,
) -> Ratings:
    """Read a ratings file."""
    size = path.stat().st_size
    where = str(output or path.parent)
    return read_ratings(spark.sparkContext, str(path.parent), layout, size, where, most)


def by_user(ratings: Ratings) -> list[dict[int, float]]:
    """Each user's ratings, in no order of users."""
    users = []
    for chunk in ratings.packed.collect():
        if isinstance(chunk, Chunk):
            starts = np.frombuffer(chunk.starts, np.int64).tolist()
            movies = np.frombuffer(chunk.movies, np.int32).tolist()
            stars = (np.frombuffer(chunk.halves, np.uint8) / 2).tolist()
            rated = list(zip(movies, stars, strict=True))
            users += [dict(rated[a:b]) for a, b in itertools.pairwise(starts)]
    return users


def rating_lines(layout: Layout) -> st.SearchStrategy[str]:
    """Lines that look like ratings, good and bad."""
    column = st.sampled_from([*BROKEN, *STARS, *QUOTED, "1", "7", "ü"])
    columns = st.lists(column, min_size=3, max_size=5)
    # Lines with one odd column: no defect hides another.
    good = ["7", "12", "4.5", "978300760"]
    odd = st.tuples(st.integers(0, 3), column).map(
        lambda change: [*good[: change[0]], change[1], *good[change[0] + 1 :]]
    )
    return st.one_of(odd, columns).map(layout.separator.join)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.file)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_lines_are_rejected_one_by_one_by_the_rules(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    layout: Layout,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("lines") / layout.file
    wanted = data.draw(st.lists(rating_lines(layout), min_size=60, max_size=120))
    path.write_text("\n".join(wanted) + "\n")
    ratings = read(spark, path, layout)
    lines = [line for line in path.read_text().split("\n") if line.strip(BLANKS)]
    bad = [(defect, line) for line in lines if (defect := rating_defect(line, layout))]
    stored = [
        json.loads(line)
        for part in sorted((path.parent / "rejects").glob("*"))
        for line in gzip.decompress(part.read_bytes()).splitlines()
    ]
    assert ratings.line_report.lines == len(lines)
    assert [(row["defect"], row["line"]) for row in stored] == bad
    assert ratings.samples == bad[:5]
    assert ratings.line_report.defects == dict(Counter(defect for defect, _ in bad))


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
    assert path.stat().st_size > 5 * 4096
    assert by_user(ratings) == [{5: 1 + 39 % 9 / 2}] * 59
    counts = ratings.users, ratings.count, ratings.line_report.lines
    assert counts == (59, 59, 59 * 40)


@settings(max_examples=10, deadline=None)
@given(
    rated=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 10), st.integers(0, 4)),
        max_size=60,
    ),
    most=st.integers(1, 6),
)
def test_a_users_latest_ratings_count_and_of_equal_times_the_larger_movie_ids(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, rated: list, most: int
) -> None:
    path = tmp_path_factory.mktemp("latest") / DAT.file
    path.write_text("".join(f"{u}::{m}::{h / 2:g}::{t}\n" for u, m, h, t in rated) or "\n")
    single: dict[int, dict[int, tuple[int, float]]] = {}
    for user, movie, half, time in rated:
        of_user = single.setdefault(user, {})
        if time >= of_user.get(movie, (0, 0))[0]:
            of_user[movie] = time, half / 2
    expected = []
    for of_user in single.values():
        order = sorted(of_user, key=lambda movie: (of_user[movie][0], movie), reverse=True)
        expected.append({movie: of_user[movie][1] for movie in order[:most]})
    ratings = read(spark, path, DAT, most=most)
    assert sorted(map(sorted, map(dict.items, by_user(ratings)))) == sorted(
        map(sorted, map(dict.items, expected))
    )
    assert ratings.left_out == sum(map(len, single.values())) - ratings.count


def test_windows_line_ends_and_a_byte_order_mark_are_accepted(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"\xef\xbb\xbfuserId,movieId,rating,timestamp\r\n1,2,3.5,4\r\n\r\n \t\x0b\r\n")
    ratings = read(spark, path, read_layout(str(path), CSV))
    assert (by_user(ratings), ratings.line_report.defects) == ([{2: 3.5}], {})


def test_only_the_first_line_can_be_a_header(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    header = "userId,movieId,rating,timestamp\n"
    path.write_text(f"{header}1,2,3.5,4\n{header}")
    line_report = read(spark, path, read_layout(str(path), CSV)).line_report
    assert (line_report.lines, line_report.defects) == (2, {"user_id": 1})


def test_without_timestamps_the_order_of_the_lines_counts_across_splits(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ratings.csv"
    lines = [f"{user},{place % 9},{1 + place % 8 / 2}" for place in range(40) for user in range(60)]
    path.write_text("\n".join(["userId,movieId,rating", *lines]) + "\n")
    monkeypatch.setattr(ratings_module, "SPLIT_BYTES", 4096)
    assert path.stat().st_size > 4 * 4096
    layout = read_layout(str(path), CSV)
    last = {place % 9: 1 + place % 8 / 2 for place in range(40)}
    assert by_user(read(spark, path, layout)) == [last] * 60
    latest = {place % 9: last[place % 9] for place in range(37, 40)}
    assert by_user(read(spark, path, layout, most=3)) == [latest] * 60


def test_the_ratings_of_1m_are_read_without_a_reject(spark: SparkSession, tmp_path: Path) -> None:
    ratings = read(spark, movielens("ml-1m") / "ratings.dat", DAT, tmp_path)
    line_report = ratings.line_report
    assert (ratings.count, line_report.lines, line_report.defects) == (1_000_209, 1_000_209, {})
