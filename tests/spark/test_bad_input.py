"""Damaged and wrong input: what is refused, with which message, and which lines still count."""

import csv
import gzip
import re
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark.contracts.movielens import FORMATS, DatasetError, Format
from spark.ingest.chunks import Chunk
from spark.ingest.dataset import Dataset, read_dataset
from spark.ingest.rejects import UnusableFileError
from spark.ingest.scan import scan
from tests.conftest import Observed

pytestmark = pytest.mark.spark

DAT, CSV, OLD = FORMATS
GOOD = b"".join(b"%d::%d::%d.5::97830\n" % (u, m, u % 5) for u in range(1, 11) for m in (1, 2))
HEADER = "userId,movieId,rating,timestamp"
GOOD_CSV = HEADER.encode() + b"\n" + GOOD.replace(b"::", b",")
TITLES = {"dat": b"1::One (1999)::Drama\n2::Two (1998)::\n",
          "csv": b"movieId,title,genres\n1,One (1999),Drama\n2,Two (1998),Drama\n"}  # fmt: skip
LINE = b"7::1::4.5::97840\n"

type Rated = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Expected:
    """The content of a ratings file, by a slow and simple reader.

    Attributes:
        good: number of valid lines.
        bad: texts of the other lines.
        rated: by user and movie the latest rating; of equal times the last line.
    """

    good: int
    bad: list[str]
    rated: Rated


def slowly(content: bytes, format: Format) -> Expected:
    """Read a ratings file line by line, with an independent copy of the rules."""
    good, bad, latest = 0, [], {}
    for number, raw in enumerate(re.split(rb"\r\n|\n|\r", content)):
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            of_byte = (bytes([each]) for each in raw)
            line = "".join(
                each.decode("cp1252", "ignore") or each.decode("latin-1") for each in of_byte
            )
        if number == 0:
            line = line.removeprefix("\ufeff")
            if line == HEADER:
                continue
        if not line.strip(" \t\v\f\r\n"):
            continue
        numbers = _numbers(line, format)
        if numbers is None:
            bad.append(line)
            continue
        good += 1
        user, movie, stars, time = numbers
        if (user, movie) not in latest or time >= latest[user, movie][0]:
            latest[user, movie] = time, stars
    return Expected(good, bad, {key: stars for key, (_, stars) in latest.items()})


def _numbers(line: str, format: Format) -> tuple[int, int, float, int] | None:
    columns = line.split(format.ratings_separator)
    if format is CSV and '"' in line:
        try:
            columns = next(csv.reader([line], strict=True))
        except csv.Error:
            return None
    columns = [column.strip(" \t\v\f\r\n") for column in columns]
    notation = r"[+-]?([0-9]{1,18}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?"
    if len(line) > 65_536 or len(columns) != 4:
        return None
    if not all(re.fullmatch(notation, text) for text in columns):
        return None
    user, movie, stars, time = (Fraction(re.sub(r"\.(?![0-9])", "", text)) for text in columns)
    are_whole = all(each.denominator == 1 for each in (user, movie, 2 * stars, time))
    is_in_range = 0 <= user < 2**31 and 0 <= movie < 2**31 and 0.5 <= stars <= 5
    is_good = are_whole and is_in_range and 0 <= time < 10**18
    return (int(user), int(movie), float(stars), int(time)) if is_good else None


def read(spark: SparkSession, path: Path) -> Dataset:
    """Read a folder as the job does."""
    output = str(path / "result")
    return read_dataset(spark.sparkContext, str(path), output, most=None, with_tags=False)


def rated_in(dataset: Dataset) -> Rated:
    """All ratings that the job uses."""
    found: Rated = {}
    for chunk in dataset.ratings.packed.collect():
        if isinstance(chunk, Chunk):
            lengths = np.diff(np.frombuffer(chunk.starts, np.int64))
            users = np.repeat(np.frombuffer(chunk.users, np.int32), lengths).tolist()
            movies = np.frombuffer(chunk.movies, np.int32).tolist()
            stars = (np.frombuffer(chunk.halves, np.uint8) / 2).tolist()
            found |= dict(zip(zip(users, movies, strict=True), stars, strict=True))
    return found


def many(*lines: bytes) -> bytes:
    """Good lines with odd ones between them."""
    return GOOD + b"".join(line + b"\n" for line in lines) + GOOD


# Damaged ratings files: every good line counts, every other line is reported.
MENDED: dict[str, tuple[Format, bytes]] = {
    "the last line is cut": (DAT, GOOD + b"9::2::4.5::97"),
    "the last line is cut in the middle": (DAT, GOOD + b"9::2::4"),
    "too few and too many columns": (DAT, many(b"1::2::3", b"1::2::3::4::5", b"1", b"::::::")),
    "another separator": (DAT, many(b"1\t2\t3.5\t4", b"1,2,3.5,4", b"1:2:3.5:4")),
    "NUL bytes": (DAT, many(b"\x00", b"1::2::3.5::4\x00", b"1\x00::2::3.5::4", b"\x00" * 999)),
    "line ends of Windows": (DAT, GOOD.replace(b"\n", b"\r\n") + b"x\r\n"),
    "line ends of old Macs": (DAT, GOOD.replace(b"\n", b"\r") + b"x\r"),
    "a byte order mark": (DAT, b"\xef\xbb\xbf" + GOOD + b"x\n"),
    "a second byte order mark": (DAT, GOOD + b"\xef\xbb\xbf" + LINE),
    "bytes of another encoding": (DAT, many(b"\xe9::1::3::4", b"1::2::3::\xff\xfe", b"\x80\x81")),
    "ratings out of range": (
        DAT,
        many(*(b"1::2::%s::4" % each for each in (
            b"0", b"5.5", b"-0.5", b"4.3", b"4.50000000000001", b"nan", b"NaN", b"inf", b"4,5",
            b"", b"0x4", b"9999999999999999999999",
        ))),
    ),
    "ids out of range": (
        DAT,
        many(*(line for each in (
            b"-1", b"2147483648", b"4294967297", b"9223372036854775808", b"1.5", b"1e-3", b"1e10",
            b"1 2", b"1_0", b"0x1", "\u0661".encode(), b"",
        ) for line in (b"%s::1::3::4" % each, b"1::%s::3::4" % each))),
    ),
    "numbers in other notations": (
        DAT,
        many(*(line for each in (b"0", b"1.0", b"+1", b" 1 ", b"1e3", b"2000.", b"01", b"200e-2")
             for line in (b"%s::1::3e0::4.0" % each, b"1::%s::.5::+4" % each))),
    ),
    "columns in another order": (CSV, b"movieId,userId,rating,timestamp\n1,2,3,4\n1,3,3,4\n"),
    "the largest ids there may be": (DAT, GOOD + b"2147483647::2147483647::5::999999999999999999"),
    "a line of ten million columns": (DAT, many(b"1::" * 10_000_000)),
    "a line longer than any": (DAT, many(b"1::2::3::" + b"4" * 70_000)),
    "a user's ratings again and again": (
        DAT,
        GOOD + b"1::1::1::5\n1::1::2::99999\n1::1::3::99999\n1::1::4::0\n",
    ),
    "ratings of movies that are in no movies file": (DAT, GOOD + b"1::77::3::4\n2::78::3::4\n"),
    "quoted separators": (
        CSV,
        GOOD_CSV + b'"7","1","4.5","97840"\n7,"1,2",3,4\n"7,1,3,4\n7,1,"3"x,4\n7,1,3,4"\n',
    ),
    "a header twice": (CSV, GOOD_CSV + GOOD_CSV),
    "no header": (CSV, GOOD.replace(b"::", b",")),
    "formulas and markup": (CSV, GOOD_CSV + b"=1+1,2,3,4\n<script>,2,3,4\n@SUM(1),2,3,4\n"),
}  # fmt: skip

# Unusable ratings files.
UNUSABLE: dict[str, tuple[Format, bytes]] = {
    "empty": (DAT, b""),
    "blank lines": (DAT, b"\n\r\n \t\n"),
    "a header alone": (CSV, b"userId,movieId,rating,timestamp\n"),
    "UTF-16": (DAT, GOOD.decode().encode("utf-16")),
    "a picture": (DAT, bytes(range(256)) * 64),
    "one byte again and again": (DAT, b"x" * 5_000_000),
    "a page of the web": (DAT, b"<!doctype html>\n<title>404</title>\n" * 3),
    "JSON": (DAT, b'{"user": 1, "movie": 2}\n' * 9),
    "the movies' file": (DAT, TITLES["dat"] * 9),
    "ratings from 1 to 10": (DAT, GOOD * 9 + LINE.replace(b"4.5", b"8") * 6),
    "dates for timestamps": (DAT, LINE.replace(b"97840", b"2005-04-02 23:53:47") * 9),
    "ISBNs for ids": (DAT, LINE.replace(b"::1::", b"::034545104X::") * 9),
    "semicolons": (CSV, GOOD_CSV.replace(b",", b";")),
    "compressed": (CSV, gzip.compress(GOOD_CSV)),
    "a column too many": (CSV, b",userId,movieId,rating,timestamp\n" + b"0,1,1,4,4\n" * 9),
}


def write(path: Path, format: Format, ratings: bytes) -> Path:
    """A folder with this ratings file."""
    path.mkdir(exist_ok=True)
    (path / format.ratings).write_bytes(ratings)
    (path / format.movies).write_bytes(TITLES[format.name])
    return path


@pytest.mark.drill(
    "Bad input",
    injected="damaged ratings files: cut, with other columns, separators, encodings or line ends, "
    "NUL bytes, numbers out of range or in other notations, ten million columns, quotes",
    promised="every good line counts; every other line is counted and stored with its defect and "
    "text; the ratings are those of a plain reader",
)
@pytest.mark.parametrize("case", MENDED)
def test_every_good_line_of_a_damaged_file_counts(
    spark: SparkSession, tmp_path: Path, observed: Observed, case: str
) -> None:
    format, content = MENDED[case]
    expected = slowly(content, format)
    if case == "columns in another order":
        expected = Expected(2, [], {(2, 1): 3.0, (3, 1): 3.0})
    dataset = read(spark, write(tmp_path, format, content))
    report = dataset.line_reports[format.ratings]
    assert (report.good, report.rejected) == (expected.good, len(expected.bad))
    assert rated_in(dataset) == expected.rated
    samples = [reject.line for reject in dataset.ratings.samples]
    assert all(any(line.startswith(text[:500]) for line in expected.bad) for text in samples)
    assert bool(samples) == bool(expected.bad)
    observed(1, "the plain reader's ratings, every other line counted")


@pytest.mark.drill(
    "Bad input",
    injected="files that are not ratings: empty, UTF-16, a picture, a web page, JSON, one repeated "
    "byte, the movies file; ratings of another scale, with dates, ISBNs, semicolons, an extra "
    "column, compressed",
    promised="refused with one sentence that names the file, what was expected and what was found",
)
@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unrelated_file_is_refused_with_its_name_and_samples(
    spark: SparkSession, tmp_path: Path, observed: Observed, case: str
) -> None:
    format, content = UNUSABLE[case]
    with pytest.raises(DatasetError) as refused:
        read(spark, write(tmp_path, format, content))
    message = str(refused.value)
    assert message.startswith(f"{format.ratings}")
    assert f"expected {format.ratings_layout.expected[:6]}" in message
    assert len(message) < 400
    if isinstance(refused.value, UnusableFileError):
        assert bool(refused.value.report) == bool(slowly(content, format).bad)
    observed(1, "refused by name")


@pytest.mark.drill(
    "Bad input",
    injected="a gigabyte of the same byte",
    promised="refused like any other file of something else, in the memory of its splits",
)
@pytest.mark.slow
def test_a_gigabyte_of_the_same_byte_is_refused(
    spark: SparkSession, tmp_path: Path, observed: Observed
) -> None:
    folder = write(tmp_path, DAT, b"")
    with (folder / DAT.ratings).open("wb") as file:
        file.truncate(2**30)  # NUL bytes that take no space on disk
    with pytest.raises(UnusableFileError, match=r"ratings\.dat: 1 of 1 lines are malformed"):
        read(spark, folder)
    observed(1, "refused by name")


def raw_lines(format: Format) -> st.SearchStrategy[bytes]:
    """Lines that are almost ratings, and arbitrary bytes."""
    separator = format.ratings_separator.encode()
    number = st.one_of(
        st.integers(-2, 2**31 + 1).map(lambda value: b"%d" % value),
        st.sampled_from(
            [b"4.5", b"0.5", b"5.0", b"5.5", b"", b'"3"', b"\xff", "ü".encode(), b"\x00"]
        ),
        st.binary(max_size=6),
    )
    columns = st.lists(number, min_size=3, max_size=5).map(separator.join)
    good = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 10)).map(
        lambda row: separator.join([b"%d" % row[0], b"%d" % row[1], b"%.1f" % (row[2] / 2), b"1"])
    )
    edges = st.sampled_from([b"0", b"1", b"2147483647", b"2147483648", b"5.5", b"0.0", b"-1", b"x"])
    odd = st.tuples(good, st.integers(0, 3), edges).map(
        lambda change: separator.join(
            change[2] if place == change[1] else column
            for place, column in enumerate(change[0].split(separator))
        )
    )
    return st.one_of(good, odd, columns, st.binary(max_size=30))


@pytest.mark.drill(
    "Bad input",
    injected="files of arbitrary bytes and of lines that are almost ratings, by hypothesis",
    promised="the compiled reader accepts exactly the lines of the plain reader, and never fails",
)
@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("examples", [100, pytest.param(3000, marks=pytest.mark.slow)])
def test_any_bytes_are_read_as_a_plain_reader_reads_them(
    observed: Observed, format: Format, examples: int
) -> None:
    tried = Counter[str]()

    @settings(max_examples=examples, deadline=None)
    @given(
        lines=st.lists(raw_lines(format), max_size=12),
        ends=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=12, max_size=12),
    )
    def fuzz(lines: list[bytes], ends: list[bytes]) -> None:
        content = b"".join(line + end for line, end in zip(lines, ends, strict=False))
        expected = slowly(content, format)
        layout = replace(format.ratings_layout, has_header=False)
        found = scan(np.frombuffer(content, np.uint8), layout, is_start=True)
        assert (found.users.size, found.lines) == (expected.good, expected.good + len(expected.bad))
        assert [reject.line for reject in found.rejects] == expected.bad
        rows = zip(found.users.tolist(), found.movies.tolist(), found.halves.tolist(),
                   found.times.tolist(), strict=True)  # fmt: skip
        latest: dict[tuple[int, int], tuple[int, float]] = {}
        for user, movie, halves, time in rows:
            if (user, movie) not in latest or time >= latest[user, movie][0]:
                latest[user, movie] = time, halves / 2
        assert {key: stars for key, (_, stars) in latest.items()} == expected.rated
        tried.update(files=1)

    fuzz()
    observed(tried["files"], f"{format.name}: the same lines and numbers")


# Movies files, and whether they are usable.
CATALOGUES: dict[str, tuple[bytes, bool]] = {
    "titles with markup, formulas and control characters": (
        b"1::<img src=x onerror=alert(1)> (1999)::Drama\n2::=HYPERLINK(\"http://x\")\x1b[31m (1998)"
        b"::Drama\n", True),
    "a title with the separator": (b"1::One::Two (1999)::Drama\n2::Two (1998)::\n3::X::\n", True),
    "empty": (b"", False),
    "something else": (b"\x89PNG\r\n\x1a\n" * 5, False),
    "the ratings' file": (GOOD, False),
}  # fmt: skip


@pytest.mark.drill(
    "Bad input",
    injected="movies files with markup, formulas, control characters, separators in titles; empty "
    "ones, pictures, ratings",
    promised="titles come through as text, every rated movie is in the catalogue, or the file is "
    "refused by name",
)
@pytest.mark.parametrize("case", CATALOGUES)
def test_a_movies_file_is_read_or_refused(
    spark: SparkSession, tmp_path: Path, observed: Observed, case: str
) -> None:
    content, is_good = CATALOGUES[case]
    folder = write(tmp_path, DAT, GOOD)
    (folder / DAT.movies).write_bytes(content)
    if not is_good:
        with pytest.raises(DatasetError, match=r"movies\.dat"):
            read(spark, folder)
        observed(1, "refused by name")
        return
    dataset = read(spark, folder)
    assert {1, 2} <= set(dataset.movies.ids.tolist())
    text = "".join(dataset.movies.about)
    assert not re.search("[\x00-\x1f]", text), "control characters are escaped"
    if "markup" in case:
        assert "<img src=x onerror=alert(1)>" in text
    observed(1, "read; titles are text")
