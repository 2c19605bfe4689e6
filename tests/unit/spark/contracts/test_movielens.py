"""The MovieLens formats: which files make a folder, and what makes a line good."""

from dataclasses import replace

import pytest

from spark.contracts.movielens import FORMATS, DatasetError, Layout, only_format
from spark.contracts.movielens_files import is_another_scale, layout_of
from spark.contracts.movielens_lines import movie_defect, rating_defect, split_line, unescape

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
        ("0::0::3::0", None),
        ("2e3::2000.0::4.::+978300760.00", None),
        (" 7 ::7  ::.5::9.7e8", None),
        ("1.5::2::3::4", "user_id"),
        ("1e10::2::3::4", "user_id"),
        ("-1::2::3::4", "user_id"),
        ("1::2147483648::3::4", "movie_id"),
        ("1::two::3::4", "movie_id"),
        ("1::2::0::4", "scale"),
        ("1::2::5.5::4", "scale"),
        ("1::2::-1::4", "scale"),
        ("1::2::4.25::4", "scale"),
        ("1::2::4/5::4", "rating"),
        ("1::2::NaN::4", "rating"),
        ("1::2::3::", "timestamp"),
        ("1::2::3::1.5", "timestamp"),
        ("1::2::3::2005-04-02 23:53:47", "timestamp"),
    ],
)
def test_each_defect_of_a_rating_line_is_recognised(line: str, defect: str | None) -> None:
    for format in FORMATS:
        separator = format.ratings_separator
        assert rating_defect(line.replace("::", separator), format.ratings_layout) == defect


def test_quoted_csv_fields_are_one_column() -> None:
    assert movie_defect('1,"American President, The (1995)",Comedy', CSV.movies_layout) is None
    assert movie_defect("1,American President, The (1995),Comedy", CSV.movies_layout) == "columns"


RATINGS = CSV.ratings_layout


@pytest.mark.parametrize(
    ("head", "has_header", "columns"),
    [
        (b"userId,movieId,rating,timestamp\n1,2,3,4", True, "userId,movieId,rating,timestamp"),
        (b"movieId,userId,rating,timestamp\n", True, "movieId,userId,rating,timestamp"),
        (b'\xef\xbb\xbf"Timestamp","RATING","movie_id","User ID"\r\n', True,
         "timestamp,rating,movieId,userId"),
        (b"\r\n \nuser,item,rating\r1,2,3\r", True, "userId,movieId,rating"),
        (b"1,2,3,4\n" * 9, False, "userId,movieId,rating,timestamp"),
        (b"1,2,3\n" * 9 + b"1,2,3,4\n", False, "userId,movieId,rating"),
        (b"rubbish\n1,2,3,4\n2,2,3,4\n", False, "userId,movieId,rating,timestamp"),
        (b"2e3,2000.0,4,9e8\n", False, "userId,movieId,rating,timestamp"),
        (b"1,2,3,4\n" * 9_000 + b"1,2", False, "userId,movieId,rating,timestamp"),
    ],
)  # fmt: skip
def test_a_header_is_read_by_its_names_and_without_one_the_usual_order_holds(
    head: bytes, has_header: bool, columns: str
) -> None:
    layout = layout_of(head, RATINGS)
    assert ",".join(layout.columns) == columns
    assert layout.has_header == has_header


@pytest.mark.parametrize(
    ("usual", "header", "columns"),
    [
        (DAT.ratings_layout, "MovieID::UserID::Rating::Timestamp",
         "movieId userId rating timestamp"),
        (OLD.ratings_layout, "item_id\tuser_id\trating\ttimestamp",
         "movieId userId rating timestamp"),
        (CSV.movies_layout, "genres,title,movieId", "genres title movieId"),
        (CSV.tags_layout, "tag,movieId,userId", "tag movieId userId"),
    ],
)  # fmt: skip
def test_every_file_of_every_format_may_have_a_header(
    usual: Layout, header: str, columns: str
) -> None:
    assert layout_of(header.encode(), usual) == replace(
        usual, columns=tuple(columns.split()), has_header=True
    )


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"userId;movieId;rating;timestamp\n1;2;3,5;4\n2;2;3,5;4\n", "separated by semicolons"),
        (b"userId\tmovieId\trating\ttimestamp\n" + b"1\t2\t3.5\t4\n" * 5, "separated by tabs"),
        (b"1::2::3::4\n" * 5, "separated by double colons"),
        (b",userId,movieId,rating,timestamp\n0,1,2,3,4\n", "the columns ',userId,"),
        (b"userId,movieId,userId,rating,timestamp\n", "the columns 'userId,movieId,userId"),
        (b"userId,movieId,timestamp\n1,2,4\n", "the columns 'userId,movieId,timestamp'"),
        (b"who,what,stars,when\n1,2,3,4\n", "the columns 'who,what,stars,when'"),
        (b"\x1f\x8b\x08\x00abc", "gzip-compressed bytes: add .gz to its name"),
        (b"PK\x03\x04abc", "a zip archive"),
        (b"PAR1abc", "Parquet"),
        ("userId,movieId,rating,timestamp".encode("utf-16"), "UTF-16: save the file as UTF-8"),
    ],
)
def test_another_layout_is_refused_with_what_was_expected_and_what_was_found(
    head: bytes, found: str
) -> None:
    with pytest.raises(DatasetError) as refused:
        layout_of(head, RATINGS)
    message = str(refused.value)
    assert message.startswith("ratings.csv: expected userId,movieId,rating,timestamp; found ")
    assert found in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("lines", "scale", "is_another"), [(10, 5, False), (10, 6, True), (10_000, 10, False),
                                       (10_000, 11, True)],
)  # fmt: skip
def test_more_than_a_few_ratings_beyond_the_scale_are_another_scale(
    lines: int, scale: int, is_another: bool
) -> None:
    assert is_another_scale(lines, {"scale": scale, "columns": 9}) is is_another


def test_quotes_within_quotes_are_doubled_or_have_a_backslash() -> None:
    assert split_line('1,"\\"Great\\" Cats, The",x', ",") == ["1", '"Great" Cats, The', "x"]
    assert split_line('1,"""Great"" Cats, The",x', ",") == ["1", '"Great" Cats, The', "x"]
    assert split_line('1,"C:\\",x', ",") == ["1", "C:\\", "x"]


def test_only_entities_are_unescaped() -> None:
    assert unescape("Bed &amp; Board &#39;70 &copy R&D; AT&T &nosuch;") == (
        "Bed & Board '70 &copy R&D; AT&T &nosuch;"
    )
