"""Arrow arrays: equal to what pyarrow makes itself, and made without pandas."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from spark import arrow
from tests.conftest import ROOT


@given(values=st.lists(st.floats(allow_nan=False)), seed=st.integers(0, 99))
def test_numbers_are_what_pyarrow_makes_of_them(values: list[float], seed: int) -> None:
    array = np.array(values)
    are_null = np.random.default_rng(seed).random(array.size) < 0.5
    assert arrow.numbers(array).equals(pa.array(array))
    assert arrow.numbers(array, are_null).equals(pa.array(array, mask=are_null))
    assert arrow.numbers(array[::2]).equals(pa.array(array[::2]))


@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_are_what_pyarrow_makes_of_them(values: list[str]) -> None:
    assert arrow.texts(values).equals(pa.array(values, pa.string()))


def test_lines_are_written_without_pandas() -> None:
    program = """
import sys, numpy as np
from spark.engine.top_k import NeighbourLists
from spark.ingest.movies import Catalogue
from spark.output import neighbours
movies = np.array([1, 2], np.int32)
rows = NeighbourLists(movies[:1], movies[1:], np.array([0.5]), movies[:1], np.array([np.nan]))
catalogue = Catalogue(ids=movies, about=['"movie_id":1', '"movie_id":2'], ratings=movies, listed=2)
print(*(bytes(part).decode() for part in neighbours._text_of({"ease": rows}, catalogue, 0, 2)))
assert "pandas" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["movie_id"] for line in done.stdout.splitlines() if line] == [1, 2]
