"""The product of two sparse matrices as a dense one, in a third of the time that SciPy takes.

SciPy would first make a sparse matrix, though most pairs of movies share a word. The loop is in
products.c.
"""

from ctypes import c_int64

import numpy as np
from scipy import sparse

from spark.runtime.native import array_of, function

_int32, _float64 = array_of(np.int32), array_of(np.float64)
_sparse = _int32, _int32, _float64
_add_products = function("add_products", _float64, c_int64, c_int64, *_sparse, *_sparse)


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


def _parts(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices = matrix.indptr, matrix.indices
    starts, columns = (each.astype(np.int32, copy=False) for each in indices)
    return starts, columns, matrix.data
