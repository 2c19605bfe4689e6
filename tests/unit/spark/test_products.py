"""Products of sparse vectors: the same as SciPy's, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from spark.measures.products import add_products


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    density=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_are_those_of_scipy(
    shape: tuple[int, int, int], density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, words, columns = shape
    one = random(rng, rows, words, density)
    other = random(rng, words, columns, density)
    before = rng.random((rows, columns))
    found = before.copy()
    add_products(found, one, other)
    assert np.array_equal(found, before + (one @ other).toarray())


def random(rng: np.random.Generator, rows: int, columns: int, density: float) -> sparse.csr_array:
    """A sparse matrix."""
    dense = np.where(rng.random((rows, columns)) < density, rng.standard_normal((rows, columns)), 0)
    return sparse.csr_array(dense)


def test_matrices_that_do_not_fit_are_refused() -> None:
    one, other = sparse.csr_array((2, 3)), sparse.csr_array((4, 5))
    with pytest.raises(ValueError, match="shapes"):
        add_products(np.zeros((2, 5)), one, other)
    with pytest.raises(ValueError, match="shapes"):
        add_products(np.zeros((2, 4)), one, sparse.csr_array((3, 5)))
