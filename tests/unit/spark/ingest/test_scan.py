"""The compiled scanner: it agrees with the rules on every line."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.movielens import FORMATS, OPTIONAL, RATING_COLUMNS, Layout
from spark.contracts.movielens_lines import parse_rating
from spark.ingest.scan import Scanned, scan

DAT, CSV, OLD = (format.ratings_layout for format in FORMATS)
COLUMN = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "+1", " 1", "1.5", "x", "ü", '"7"', "2147483647",
                     "2147483648", "9" * 18, "9" * 19, "0.5", "5.0", "5.5", "0.25", "4.50", "4.",
                     "nan", "1e0", "0.0", "6", ".5", "05", "1.0", "2.", "2e3", "5E-1", "7.000",
                     "+3",
                     "1e99", "1.5e1", "2147483647.0", "2147483648.0"]),
    st.integers(0, 20).map(str),
)  # fmt: skip


def scan_text(lines: list[str], layout: Layout, is_start: bool = False) -> Scanned:
    """Scan lines of text."""
    return scan(np.frombuffer("\n".join(lines).encode(), np.uint8), layout, is_start)


def layouts() -> st.SearchStrategy[Layout]:
    """Layouts of all formats, the columns in any order, with timestamps and without."""
    orders = st.permutations(RATING_COLUMNS).map(tuple)
    shorter = orders.map(lambda order: tuple(each for each in order if each != OPTIONAL))
    usual = st.sampled_from([DAT, CSV, OLD])
    return st.builds(lambda one, columns: replace(one, columns=columns), usual, orders | shorter)


@settings(max_examples=900, deadline=None)
@given(layout=layouts(), data=st.data())
def test_every_line_is_read_or_rejected_by_the_rules(layout: Layout, data: st.DataObject) -> None:
    width = len(layout.columns)
    columns = st.lists(COLUMN, min_size=width - 1, max_size=width + 1)
    likely = st.lists(COLUMN, min_size=width, max_size=width)
    lines = data.draw(st.lists((columns | likely).map(layout.separator.join), max_size=20))
    scanned = scan_text(lines, layout)
    parsed = [(line, parse_rating(line, layout)) for line in lines if line.strip()]
    assert scanned.lines == len(parsed)
    assert scanned.rejects == [(what, line) for line, what in parsed if isinstance(what, str)]
    read = zip(scanned.users, scanned.movies, scanned.halves, scanned.times, strict=True)
    assert list(read) == [numbers for _, numbers in parsed if not isinstance(numbers, str)]


def test_only_the_first_line_of_a_file_can_be_a_header() -> None:
    lines = ["\ufeffuserId,movieId,rating,timestamp", "1,2,3.5,4"]
    assert (scan_text(lines, CSV, is_start=True).lines, scan_text(lines, CSV).lines) == (1, 2)


def test_lines_in_latin_1_are_rejected_as_text() -> None:
    line = "é::1::3::4".encode("latin-1")
    scanned = scan(np.frombuffer(line, np.uint8), DAT, is_start=True)
    assert scanned.rejects == [("user_id", "é::1::3::4")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_line_ends_of_all_systems_are_recognised(end: str) -> None:
    text = f"{end}1::2::3::4{end}{end}5::6::1.5::8{end}".encode()
    scanned = scan(np.frombuffer(text, np.uint8), DAT, is_start=True)
    assert (scanned.users.tolist(), scanned.halves.tolist(), scanned.lines) == ([1, 5], [6, 3], 2)


def test_an_overlong_line_is_rejected_even_if_its_numbers_are_valid() -> None:
    scanned = scan_text(["1::2::3." + "0" * 70_000 + "::4", "1::2::3.00::4"], DAT)
    assert [reject.defect for reject in scanned.rejects] == ["length"]
    assert scanned.users.tolist() == [1]
