"""Products of sparse vectors: of all with all, and of given pairs.

SciPy would first make a sparse matrix, though most pairs of movies share a word: that takes three
times as long. The loops are in products.c.
"""

from ctypes import c_int64

import numpy as np
from scipy import sparse

from spark.runtime.native import array_of, function

_int32, _float64 = array_of(np.int32), array_of(np.float64)
_sparse = _int32, _int32, _float64
_add_products = function("add_products", _float64, c_int64, c_int64, *_sparse, *_sparse)
_pair_products = function("pair_products", _float64, c_int64, _int32, _int32, *_sparse, _float64)


def products(rows: sparse.csr_array, by_word: sparse.csr_array) -> np.ndarray:
    """Return `rows @ by_word`, float64 [rows, columns].

    Each element is summed up in the order of the row's words, whatever other rows there are. A
    product of dense matrices does not promise that: its last bits depend on the number of rows.

    Args:
        rows: float64 [rows, words].
        by_word: float64 [words, columns].

    Raises:
        ValueError: the shapes do not fit.
    """
    if rows.shape[1] != by_word.shape[0]:
        raise ValueError(f"shapes {rows.shape} and {by_word.shape} do not fit")
    found = np.zeros((rows.shape[0], by_word.shape[1]))
    _add_products(found, *found.shape, *_parts(rows), *_parts(by_word))
    return found


def pair_products(rows: sparse.csr_array, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The same for some pairs of rows of one matrix: `(rows @ rows.T)[ones, others]`, to the bit.

    Args:
        rows: float64 [rows, words]; the words of each row ascend.
        ones: indices of rows; quickest if equal ones follow each other.
        others: indices of rows, one for each of `ones`.

    Raises:
        IndexError: there is no such row.
    """
    for each in ones, others:
        if each.size and not 0 <= each.min() <= each.max() < rows.shape[0]:
            raise IndexError(f"rows {each.min()} to {each.max()} of {rows.shape[0]}")
    found, row = np.empty(ones.size), np.zeros(rows.shape[1])
    places = (each.astype(np.int32) for each in (ones, others))
    _pair_products(found, found.size, *places, *_parts(rows), row)
    return found


def _parts(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices = matrix.indptr, matrix.indices
    starts, columns = (each.astype(np.int32, copy=False) for each in indices)
    return starts, columns, matrix.data
