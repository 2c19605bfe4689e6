"""Products of sparse vectors: the same as SciPy's, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from spark.measures.products import pair_products, products


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
    found = products(one, other)
    assert np.array_equal(found, (one @ other).toarray())


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 2),
    pairs=st.integers(0, 200),
    density=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_of_pairs_are_among_those_of_all(
    shape: tuple[int, int], pairs: int, density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = random(rng, *shape, density)
    ones, others = rng.integers(0, shape[0], (2, pairs))
    by_word = sparse.csr_array(rows.T)
    for first in ones, np.sort(ones):
        found = pair_products(rows, first, others)
        assert np.array_equal(found, products(rows, by_word)[first, others])


def random(rng: np.random.Generator, rows: int, columns: int, density: float) -> sparse.csr_array:
    """A sparse matrix."""
    dense = np.where(rng.random((rows, columns)) < density, rng.standard_normal((rows, columns)), 0)
    return sparse.csr_array(dense)


def test_matrices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        products(sparse.csr_array((2, 3)), sparse.csr_array((4, 5)))


@pytest.mark.parametrize("pair", [(-1, 0), (0, 2)])
def test_a_pair_of_rows_that_do_not_exist_is_refused(pair: tuple[int, int]) -> None:
    ones, others = np.array([pair, pair[::-1]])
    with pytest.raises(IndexError, match="of 2"):
        pair_products(sparse.csr_array((2, 3)), ones, others)
