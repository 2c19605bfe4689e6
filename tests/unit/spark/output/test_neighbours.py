"""Parts of `neighbours/`: a line for every movie, best first, doubles exact to the bit."""

import gzip
import hashlib
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import index_table
from spark.contracts.movielens import FORMATS
from spark.contracts.neighbour_lines import neighbours_of
from spark.engine.top_k import NeighbourLists
from spark.ingest.movies import Catalogue, catalogue, described, parse_movie, with_tags
from spark.measures.registry import MEASURES
from spark.output import neighbours
from spark.output.neighbours import _lines, _texts, part_starts, write_part


def movies(count: int) -> Catalogue:
    """Movies 10, 20, ...; each has as many ratings as its id."""
    ids = np.arange(10, 10 * count + 10, 10, np.int32)
    listed = [
        parse_movie(f"{id}::Movie {id} (1990)::Drama", FORMATS[0].movies_layout) for id in ids
    ]
    return catalogue(described(listed), ids, ids.astype(np.int64))


def best(*rows: tuple[int, int, float, int, float]) -> NeighbourLists:
    """Neighbours by movie and rank."""
    kinds = np.int32, np.int32, np.float64, np.int32, np.float64
    columns = zip(*rows, strict=True) if rows else [()] * 5
    return NeighbourLists(
        *(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))
    )


def test_every_movie_of_a_part_has_a_line_with_its_neighbours_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "ROWS_PER_PART", 20)
    everything = movies(5)
    first = part_starts(everything, 10, 1)
    assert first.tolist() == [10, 30, 50]
    assert part_starts(everything, 1000, 2).tolist() == [10, 20, 30, 40, 50], (
        "at least one movie per part"
    )
    found = (
        {
            "cosine": best((30, 50, 0.99, 10, 0.99), (30, 10, 0.96, 11, 0.96)),
            "hybrid": best((30, 20, 0.7, 0, math.nan), (40, 30, 0.5, 7, math.nan)),
            "ease": best((30, 10, 0.123457, 11, 0.96)),
        },
        {"cosine": best((50, 30, 0.99, 10, 0.99)), "hybrid": best()},
    )
    parts = [
        write_part(rows, number, everything, first, str(tmp_path))
        for number, rows in ((1, found[0]), (2, found[1]))
    ]
    assert [part.records for part in parts] == [2, 1]
    blob = (tmp_path / parts[0].name).read_bytes()
    assert (parts[0].bytes, parts[0].sha256) == (len(blob), hashlib.sha256(blob).hexdigest())
    thirty, forty = map(json.loads, gzip.decompress(blob).splitlines())
    about = {"year": 1990, "genres": ["Drama"]}
    assert thirty == {
        "movie_id": 30, "title": "Movie 30 (1990)", **about, "ratings": 30,
        "others": [
            {"movie_id": id, "title": f"Movie {id} (1990)", **about, "ratings": id}
            for id in (10, 20, 50)
        ],
        "neighbours": {
            "cosine": [[2, 0.99, 10, 0.99], [0, 0.96, 11, 0.96]],
            "hybrid": [[1, 0.7, 0, None]],
            "ease": [[0, 0.123457, 11, 0.96]],
        },
    }  # fmt: skip
    assert forty["movie_id"] == 40
    assert forty["neighbours"] == {"cosine": [], "hybrid": [[0, 0.5, 7, None]], "ease": []}


type Found = dict[str, dict[int, list[int]]]  # by measure and movie: its neighbours


def some_lists(count: int) -> st.SearchStrategy[Found]:
    """Neighbours of some of the movies 10, 20, ... by two measures; any may have none."""
    ids = st.integers(1, count).map(lambda number: 10 * number)
    of_movies = st.dictionaries(ids, st.lists(ids, unique=True, max_size=4))
    return st.fixed_dictionaries({"cosine": of_movies, "ease": of_movies})


@given(some_lists(6))
def test_a_line_has_its_own_neighbours_whatever_lines_there_are_beside_it(found: Found) -> None:
    lists = {
        measure: best(
            *((movie, other, 0.5, other, 0.25) for movie in sorted(of) for other in of[movie])
        )
        for measure, of in found.items()
    }
    everything = movies(6)
    lines = b"".join(_lines(lists, _texts(everything), 0, 6)).splitlines()
    for movie, line in zip(everything.ids.tolist(), map(json.loads, lines), strict=True):
        assert line["movie_id"] == line["ratings"] == movie
        others = sorted({other for of in found.values() for other in of.get(movie, [])})
        assert [each["movie_id"] for each in line["others"]] == others
        assert line["neighbours"] == {
            measure: [[others.index(other), 0.5, other, 0.25] for other in of.get(movie, [])]
            for measure, of in found.items()
        }


def about_in(line: dict[str, Any]) -> dict[str, Any]:
    """What a line says of its movie."""
    return {name: line[name] for name in line if name not in ("others", "neighbours")}


def test_a_movie_and_its_neighbours_carry_their_series_and_their_most_telling_tags(
    tmp_path: Path,
) -> None:
    lines = ["1::Godfather, The (1972)::Crime", "2::Godfather: Part II, The (1974)::Crime",
             "3::Heat (1995)::Crime"]  # fmt: skip
    listed = [parse_movie(line, FORMATS[0].movies_layout) for line in lines]
    links = {1: {"imdb_id": "tt0068646", "tmdb_id": 238}}
    linked = catalogue(
        described(listed, links), np.array([1, 2], np.int32), np.array([9, 7]), links
    )
    everything = with_tags(linked, [["mafia", 'a "classic"'], [], list("abcdefg")])
    rows = {"cosine": best((1, 2, 0.9, 5, 0.9), (1, 3, 0.8, 5, 0.8))}
    part = write_part(rows, 0, everything, np.array([1]), str(tmp_path))
    text, *_ = gzip.decompress((tmp_path / part.name).read_bytes()).splitlines()
    first = json.loads(text)
    assert (first["series"], first["tags"]) == ("The Godfather", ["mafia", 'a "classic"'])
    assert first["others"] == [
        {"movie_id": 2, "title": "Godfather: Part II, The (1974)", "year": 1974,
         "genres": ["Crime"], "series": "The Godfather", "ratings": 7},
        {"movie_id": 3, "title": "Heat (1995)", "year": 1995, "genres": ["Crime"],
         "tags": ["a", "b", "c", "d", "e"], "ratings": 0},
    ]  # fmt: skip
    item = index_table.to_item("run", text)
    assert index_table.from_item(item).items() >= about_in(first).items(), "the API reads them all"
    assert neighbours_of(first, "cosine")[0] == first["others"][0] | {
        "score": 0.9, "co_raters": 5, "cosine": 0.9,
    }  # fmt: skip


def test_the_number_of_parts_keeps_all_cores_busy_to_the_end() -> None:
    everything = movies(10_000)
    parts = {cores: part_starts(everything, 300, cores).size for cores in (1, 2, 3, 5)}
    assert parts == {1: 8, 2: 8, 3: 9, 5: 10}
    assert part_starts(everything, 40, 8).size == 1, "a single part stays single"


def test_a_second_attempt_writes_the_same_bytes(tmp_path: Path) -> None:
    everything = movies(3)
    rows = {"cosine": best((10, 20, 0.95, 12, 0.95))}
    parts = [
        write_part(rows, 0, everything, part_starts(everything, 50, 2), str(tmp_path / attempt))
        for attempt in ("first", "second")
    ]
    assert parts[0] == parts[1]


def scores_in(text: bytes) -> list[str]:
    """The scores by the cosine in a line, as it has them."""
    line = json.loads(text, parse_float=str, parse_int=str)
    return [row[1] for row in line["neighbours"]["cosine"]]


def significant(text: str) -> str:
    """The digits of a decimal that say more than how large it is."""
    return text.partition("e")[0].replace(".", "").strip("0")


EDGES = [1e-6, math.nextafter(1e-6, 0), 1e15, math.nextafter(1e15, 0), 2.0**-19, 2.0**49, 5e-324]
EDGES += [0.1 + 0.2, 1 / 3, 1 - 2**-53, 0.5, 1.0, 100.0, 123457.0, 0.123457, 9007199254740993.0]


@given(st.lists(st.floats(0, exclude_min=True, allow_infinity=False), min_size=1))
@example(EDGES)
@example([random.Random(7).uniform(0.9, 1) for _ in range(20_000)])
@example([round(random.Random(8).uniform(0, 2), 6) for _ in range(20_000)])
def test_a_double_is_written_to_the_bit_and_in_as_few_digits_as_that_takes(
    scores: list[float],
) -> None:
    everything = movies(2)
    rows = {"cosine": best(*((10, 20, score, 10, score) for score in scores))}
    first, *_ = b"".join(_lines(rows, _texts(everything), 0, 2)).splitlines()
    written = scores_in(first)
    assert [float(text) for text in written] == scores
    for text, score in zip(written, scores, strict=True):
        if 1e-6 <= score < 1e15:
            assert "e" not in text
            assert len(significant(text)) <= len(significant(repr(score)))


def crowded(titles: Iterator[str], measures: int, count: int) -> tuple[Catalogue, dict]:
    """Movie 1 with `count` distinct neighbours by each measure, and scores with all digits."""
    total = measures * count
    lines = [f"{id}::{next(titles)} ({1900 + id % 120})::Drama|War" for id in range(1, total + 2)]
    listed = [parse_movie(line, FORMATS[0].movies_layout) for line in lines]
    ids = np.arange(1, total + 2, dtype=np.int32)
    everything = catalogue(described(listed), ids, ids.astype(np.int64))
    draw = random.Random(3)
    lists = {}
    for number in range(measures):
        others = range(2 + number * count, 2 + (number + 1) * count)
        rows = [(1, id, draw.random(), 10**4 + id, draw.random()) for id in others]
        lists[f"measure-{number}"] = best(*rows)
    return everything, lists


def stored(everything: Catalogue, lists: dict, path: Path) -> tuple[dict, int]:
    """Movie 1 as it is read back, and the size of its item in bytes."""
    part = write_part(lists, 0, everything, np.array([1]), str(path))
    text, *_ = gzip.decompress((path / part.name).read_bytes()).splitlines()
    item = index_table.to_item("20261123T235333648Z-28a5b128", text)
    return json.loads(text), sum(len(name) + len(value) for name, value in item.items())


def test_the_largest_number_of_neighbours_by_all_measures_fits_into_an_item(tmp_path: Path) -> None:
    words = [
        "Adventures",
        "Bridge",
        "Castle",
        "Daughters",
        "Empire",
        "Forest",
        "Garden",
        "Harbour",
        "Island",
        "Journey",
    ]
    draw = random.Random(1)
    titles = iter(lambda: " ".join(draw.choices(words, k=5)) + f" {draw.random()}", "")
    usual = sum(each.is_usual for each in MEASURES.values())
    everything, lists = crowded(titles, usual + 1, 500)
    line, size = stored(everything, lists, tmp_path)
    assert {len(rows) for rows in line["neighbours"].values()} == {500}
    assert size < 400_000


def test_if_a_line_is_too_long_each_measure_keeps_its_best_neighbours(tmp_path: Path) -> None:
    draw = random.Random(2)
    titles = iter(lambda: "".join(chr(draw.randint(0x3041, 0x9000)) for _ in range(90)), "")
    everything, lists = crowded(titles, 8, 500)
    line, size = stored(everything, lists, tmp_path)
    kept = {len(rows) for rows in line["neighbours"].values()}
    assert kept.issubset(range(50, 500)), "the same number by each measure"
    assert len(kept) == 1
    assert 370_000 < size < 400_000
    first, *_ = lists["measure-3"].scores
    assert line["neighbours"]["measure-3"][0][1] == first
