"""Lines: each belongs to exactly one split, whatever its line end."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.movielens import FORMATS
from spark.contracts.movielens_lines import MAX_LINE
from spark.ingest import lines
from spark.ingest.lines import data_lines, read_layout, read_split

DAT, CSV, _ = (format.movies_layout for format in FORMATS)
PIECES = st.sampled_from([b"a", b"bcd", b"\n", b"\r\n", b"\r"])


@settings(max_examples=200, deadline=None)
@given(
    content=st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"\r\n", b"\r"]), max_size=30).map(
        b"".join
    ),
    edges=st.lists(st.integers(0, 60), max_size=6),
)
def test_splits_share_the_lines_of_a_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, edges: list[int]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(content)
    size = len(content)
    edges = [0, *sorted(min(edge, size) for edge in edges), size]
    found = [
        line
        for start, stop in itertools.pairwise(edges)
        for line in read_split(str(path), start, stop).tobytes().splitlines()
        if line
    ]
    assert found == [line for line in content.splitlines() if line]


def test_an_overlong_line_is_cut_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 200_000)
    path = tmp_path / "file"
    path.write_bytes(b"first\n" + b"x" * 3_000_000 + b"\nlast\n")
    size = path.stat().st_size
    splits = [read_split(str(path), a, b).tobytes() for a, b in ((0, 9), (9, 99), (99, size))]
    assert splits[0].startswith(b"first\nxxx")
    assert MAX_LINE < len(splits[0]) < 300_000
    assert (splits[1], splits[2].strip()) == (b"", b"last")
    assert [line[:5] for line in data_lines(str(path), DAT)] == ["first", "xxxxx", "last"]


def test_blank_lines_a_byte_order_mark_and_a_header_are_not_data(tmp_path: Path) -> None:
    path = tmp_path / "movies.csv"
    path.write_bytes(b"\xef\xbb\xbfmovieId,title,genres\r\n1,A,x\r\n\r\n \t\x0b\r\nmovieId,t,g")
    layout = read_layout(str(path), CSV)
    assert list(data_lines(str(path), layout)) == ["1,A,x", "movieId,t,g"]


def test_text_is_utf_8_or_windows_1252(tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"
    title = "Schindler\u2019s Misérables \u2013 \x81 (1995)"
    windows = title.encode("cp1252", "replace").replace(b"?", b"\x81")  # which it leaves open
    path.write_bytes(f"1::{title}::\n".encode() + b"2::" + windows + b"::\n")
    assert list(data_lines(str(path), DAT)) == [f"1::{title}::", f"2::{title}::"]
