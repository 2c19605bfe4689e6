"""The MovieLens formats: which files make a folder, and what makes a line good."""

import pytest

from spark.contracts.movielens import (
    FORMATS,
    DatasetError,
    is_header,
    movie_defect,
    only_format,
    rating_defect,
)

DAT, CSV, OLD = FORMATS


@pytest.mark.parametrize(
    ("names", "format"),
    [
        (["ratings.dat", "movies.dat", "tags.dat", "README.html"], "dat"),
        (["ratings.csv", "movies.csv", "links.csv"], "csv"),
        (["u.data", "u.item", "u.genre", "ua.base"], "100k"),
        (["ratings.csv", "movies.csv", "ratings.dat"], "csv"),
    ],
)
def test_a_folder_has_the_format_whose_files_are_complete(names: list[str], format: str) -> None:
    assert only_format(names, "ml").name == format


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "ml is not a MovieLens folder: it needs one of ratings.dat \\+ movies.dat"),
        (["ratings.dat"], "found ratings.dat"),
        (["ratings.dat", "movies.csv"], "found movies.csv, ratings.dat"),
        (["ratings.dat", "movies.dat", "u.data", "u.item"], "keep the files of one format"),
    ],
)
def test_the_message_for_any_other_folder_says_what_it_needs(
    names: list[str], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        only_format(names, "ml")


@pytest.mark.parametrize(
    ("line", "defect"),
    [
        ("1::2::0.5::0", None),
        ("1::2::5::978300760", None),
        ("2147483647::2147483647::4.50::1", None),
        ("1::2::3", "columns"),
        ("1::2::3::4::5", "columns"),
        ("", "columns"),
        ("0::2::3::4", "user_id"),
        ("-1::2::3::4", "user_id"),
        ("1::2147483648::3::4", "movie_id"),
        ("1::two::3::4", "movie_id"),
        ("1::2::0::4", "rating"),
        ("1::2::5.5::4", "rating"),
        ("1::2::4.25::4", "rating"),
        ("1::2::NaN::4", "rating"),
        ("1::2::3::", "timestamp"),
        ("1::2::3::1e9", "timestamp"),
    ],
)
def test_each_defect_of_a_rating_line_is_recognised(line: str, defect: str | None) -> None:
    assert rating_defect(line, DAT) == defect
    assert rating_defect(line.replace("::", "\t"), OLD) == defect
    assert rating_defect(line.replace("::", ","), CSV) == defect


def test_quoted_csv_fields_are_one_column() -> None:
    assert movie_defect('1,"American President, The (1995)",Comedy', CSV) is None
    assert movie_defect("1,American President, The (1995),Comedy", CSV) == "columns"


def test_a_header_names_columns() -> None:
    assert is_header("userId,movieId,rating,timestamp", CSV)
    assert not is_header("1,2,3.5,4", CSV)
    assert not is_header("UserID::MovieID::Rating::Timestamp", DAT)
