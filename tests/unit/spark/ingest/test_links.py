"""Links: ids at IMDb and TMDB as the releases write them; nothing in the file fails a run."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.movielens import FORMATS
from spark.contracts.movielens_lines import link_of
from spark.ingest.links import read_links
from spark.ingest.movies import Movie, catalogue, described
from tests.conftest import movielens

_, CSV, _ = FORMATS
HEADER = "movieId,imdbId,tmdbId\n"


def links_of(folder: Path, content: str | bytes) -> dict[int, dict[str, str | int]]:
    """The links of a file of that content."""
    path = folder / "links.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_links(str(path), CSV.links_layout)


def test_ids_are_read_as_imdb_and_tmdb_write_them(tmp_path: Path) -> None:
    lines = "1,0114709,862\r\n2,113497,8844.0\r\n3,10872600,\r\n4,tt0114885,31357\r\n5,,9087\r\n"
    assert links_of(tmp_path, HEADER + lines) == {
        1: {"imdb_id": "tt0114709", "tmdb_id": 862},
        2: {"imdb_id": "tt0113497", "tmdb_id": 8844},
        3: {"imdb_id": "tt10872600"},
        4: {"imdb_id": "tt0114885", "tmdb_id": 31357},
        5: {"tmdb_id": 9087},
    }


def test_a_header_names_the_columns_in_any_order(tmp_path: Path) -> None:
    expected = {1: {"imdb_id": "tt0114709", "tmdb_id": 862}}
    assert links_of(tmp_path, "tmdbId,movieId,imdbId\n862,1,0114709\n") == expected
    assert links_of(tmp_path, "1,0114709,862\n") == expected


def test_of_several_lines_of_a_movie_the_first_good_one_counts(tmp_path: Path) -> None:
    lines = "1,,\n1,x,0\n1,0114709,862\n1,1,1\n"
    assert links_of(tmp_path, HEADER + lines) == {1: {"imdb_id": "tt0114709", "tmdb_id": 862}}


def test_bad_lines_are_skipped_and_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = "x,1,1\n-1,1,1\n1\n1,2,3,4\n,,\n2,0,0\n2,nm1,-7\n" + "9" * 70_000 + ',1,1\n"1,1,1\n'
    assert links_of(tmp_path, HEADER + bad + "7,1,nonsense\n") == {7: {"imdb_id": "tt0000001"}}
    assert "links.csv: 9 lines without an id are not used" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", HEADER.encode(), b"PK\x03\x04 a zip", b"id;imdb;tmdb\n1;2;3\n",
     b"movieId,title\n1,Heat\n", b"\xff\xfe1\0,\0", b"\x00\x80\xff" * 99],
)  # fmt: skip
def test_a_file_that_holds_no_links_gives_none(tmp_path: Path, content: bytes) -> None:
    assert links_of(tmp_path, content) == {}


@given(st.text(max_size=40) | st.lists(st.text("019t.- \"'", max_size=12)).map(",".join))
def test_no_line_is_more_than_good_or_bad(line: str) -> None:
    found = link_of(line, CSV.links_layout)
    if found is not None:
        movie, imdb, tmdb = found
        assert 0 <= movie < 2**31
        assert imdb is not None or tmdb is not None
        assert imdb is None or (imdb[:2] == "tt" and len(imdb) >= 9 and int(imdb[2:]) > 0)
        assert tmdb is None or tmdb > 0


def test_the_catalogue_has_the_ids_of_the_movies_that_have_them() -> None:
    movies = [Movie(id, f"Movie {id}", None, []) for id in (1, 2, 3)]
    links: dict[int, dict[str, str | int]] = {
        1: {"imdb_id": "tt0114709", "tmdb_id": 862}, 3: {"tmdb_id": 7}, 9: {"tmdb_id": 9},
    }  # fmt: skip
    nobody = np.array([], np.int32)
    plain = [
        json.loads(f"{{{each}}}") for each in catalogue(described(movies), nobody, nobody).about
    ]
    about = catalogue(described(movies, links), nobody, nobody, links).about
    assert [json.loads(f"{{{each}}}") for each in about] == [
        plain[0] | {"imdb_id": "tt0114709", "tmdb_id": 862}, plain[1], plain[2] | {"tmdb_id": 7},
    ]  # fmt: skip


def test_every_movie_of_a_real_release_has_an_id(tmp_path: Path) -> None:
    found = links_of(tmp_path, (movielens("ml-latest-small") / "links.csv").read_bytes())
    assert len(found) == 9_742
    assert found[1] == {"imdb_id": "tt0114709", "tmdb_id": 862}
    assert all("imdb_id" in each for each in found.values())
    assert sum("tmdb_id" not in each for each in found.values()) == 8, "as in the file"
