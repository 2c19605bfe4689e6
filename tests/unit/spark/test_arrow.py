"""Arrow arrays: equal to what pyarrow makes itself, and made without pandas."""

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


def test_numbers_are_made_without_pandas() -> None:
    program = """
import sys, numpy as np
from spark import arrow
assert arrow.numbers(np.arange(3.0), np.arange(3) == 1).to_pylist() == [0, None, 2]
assert "pandas" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
