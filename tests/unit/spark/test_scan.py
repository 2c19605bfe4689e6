"""The compiled scanner: it agrees with the rules on every line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.movielens import FORMATS, Format, rating_defect, split_line
from spark.ingest.scan import Scanned, scan

DAT, CSV, OLD = FORMATS
COLUMN = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "+1", " 1", "1.5", "x", "ü", '"7"', "2147483647",
                     "2147483648", "9" * 18, "9" * 19, "0.5", "5.0", "5.5", "0.25", "4.50", "4.",
                     "nan", "1e0", "0.0", "6", ".5", "05"]),
    st.integers(0, 20).map(str),
)  # fmt: skip


def scan_text(lines: list[str], format: Format, is_start: bool = False) -> Scanned:
    """Scan lines of text."""
    return scan(np.frombuffer("\n".join(lines).encode(), np.uint8), format, is_start)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_line_is_read_or_rejected_by_the_rules(format: Format, data: st.DataObject) -> None:
    line = st.lists(COLUMN, min_size=3, max_size=5).map(format.ratings_separator.join)
    lines = data.draw(st.lists(line, max_size=20))
    scanned = scan_text(lines, format)
    data_lines = [line for line in lines if line.strip()]
    good = [
        split_line(line, format.ratings_separator)
        for line in data_lines
        if rating_defect(line, format) is None
    ]
    assert scanned.lines == len(data_lines)
    assert scanned.rejects == [
        (defect, line) for line in data_lines if (defect := rating_defect(line, format))
    ]
    read = zip(scanned.users, scanned.movies, scanned.halves / 2, scanned.times, strict=True)
    assert [tuple(map(float, row)) for row in read] == [tuple(map(float, row)) for row in good]


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
