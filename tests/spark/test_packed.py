"""The packed reading: every line judged by the rules, users brought together, the latest kept."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

import packed
from movielens import FORMATS, Format, rating_defect
from packed import Ratings, read_ratings
from tests.conftest import movielens
from tests.spark.test_reading import lines_of, rating_lines

pytestmark = pytest.mark.spark

DAT, CSV, _ = FORMATS


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
    monkeypatch.setattr(packed, "SPLIT_BYTES", 4096)
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


def test_the_ratings_of_1m_are_read_without_a_reject(spark: SparkSession) -> None:
    ratings = read(spark, movielens("ml-1m") / "ratings.dat", DAT)
    assert (ratings.count, ratings.lines, ratings.defects) == (1_000_209, 1_000_209, {})
