"""Parts of neighbours: a line for every movie, best first, every double to the bit."""

import gzip
import hashlib
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

import neighbours
from best import Best
from movielens import FORMATS
from movies import Catalogue, catalogue, parse_movie
from neighbours import bounds, write_part


def movies(count: int) -> Catalogue:
    """Movies 10, 20, ... of which each has as many ratings as its id."""
    ids = np.arange(10, 10 * count + 10, 10, np.int32)
    listed = [parse_movie(f"{id}::Movie {id} (1990)::Drama", FORMATS[0]) for id in ids]
    return catalogue(listed, ids, ids.astype(np.int64))


def best(*rows: tuple[int, int, float, int, float]) -> Best:
    """Neighbours by movie and rank."""
    kinds = np.int32, np.int32, np.float64, np.int32, np.float64
    columns = zip(*rows, strict=True) if rows else [()] * 5
    return Best(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def test_every_movie_of_a_part_has_a_line_with_its_neighbours_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "ROWS_PER_PART", 20)
    everything = movies(5)
    first = bounds(everything, 10)
    assert first.tolist() == [10, 30, 50]
    found = (
        {
            "cosine": best((30, 50, 0.99, 10, 0.99), (30, 10, 0.96, 11, 0.96)),
            "content": best((30, 20, 0.7, 0, math.nan), (40, 30, 0.5, 7, math.nan)),
            "ease": best((30, 10, 0.123457, 11, 0.96)),
        },
        {"cosine": best((50, 30, 0.99, 10, 0.99)), "content": best()},
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
        "others": [{"movie_id": id, "title": f"Movie {id} (1990)", **about} for id in (10, 20, 50)],
        "neighbours": {
            "cosine": [[2, 0.99, 10, 0.99], [0, 0.96, 11, 0.96]],
            "content": [[1, 0.7, 0, None]],
            "ease": [[0, 0.123457, 11, 0.96]],
        },
    }  # fmt: skip
    assert forty["movie_id"] == 40
    assert forty["neighbours"] == {"cosine": [], "content": [[0, 0.5, 7, None]], "ease": []}


def test_a_second_attempt_writes_the_same_bytes(tmp_path: Path) -> None:
    everything = movies(3)
    rows = {"cosine": best((10, 20, 0.95, 12, 0.95))}
    parts = [
        write_part(rows, 0, everything, bounds(everything, 50), str(tmp_path / attempt))
        for attempt in ("first", "second")
    ]
    assert parts[0] == parts[1]


def test_doubles_survive_the_way_through_json_bit_by_bit(tmp_path: Path) -> None:
    draw = random.Random(7)
    scores = [2e-3, 2.0**-44, 1 / 3, 0.1 + 0.2, 1 - 2**-53, 1.0]
    scores += [draw.uniform(0.9, 1) for _ in range(20_000)]
    everything = movies(2)
    rows = {"cosine": best(*((10, 20, score, 10, score) for score in scores))}
    part = write_part(rows, 0, everything, bounds(everything, 50), str(tmp_path))
    first, *_ = gzip.decompress((tmp_path / part.name).read_bytes()).splitlines()
    assert [row[1] for row in json.loads(first)["neighbours"]["cosine"]] == scores
