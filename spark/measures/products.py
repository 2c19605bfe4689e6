"""Products of sparse vectors, added to a dense matrix: a third of the time that SciPy takes.

SciPy would first make a sparse matrix, though most pairs of movies share a word. The loop is in
products.c.
"""

from ctypes import c_int64

import numpy as np
from scipy import sparse

from spark.runtime.native import array_of, function

_int32, _float64 = array_of(np.int32), array_of(np.float64)
_sparse = _int32, _int32, _float64
_add_products = function("add_products", _float64, c_int64, c_int64, *_sparse, *_sparse, _float64)


def add_products(scores: np.ndarray, rows: sparse.csr_array, by_word: sparse.csr_array) -> None:
    """Add `rows @ by_word`.

    Args:
        scores: float64 [rows, columns].
        rows: float64 [rows, words].
        by_word: float64 [words, columns].

    Raises:
        ValueError: the shapes do not fit.
    """
    if scores.shape != (rows.shape[0], by_word.shape[1]) or rows.shape[1] != by_word.shape[0]:
        raise ValueError(f"shapes {scores.shape}, {rows.shape} and {by_word.shape} do not fit")
    _add_products(scores, *scores.shape, *_parts(rows), *_parts(by_word), np.empty(scores.shape[1]))


def _parts(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts, columns = (
        each.astype(np.int32, copy=False) for each in (matrix.indptr, matrix.indices)
    )
    return starts, columns, matrix.data
