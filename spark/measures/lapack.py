"""Inverts a part of a matrix where it is, by LAPACK; SciPy's own functions would copy the part."""

import ctypes
from typing import Any

import numpy as np
from scipy.linalg import cython_lapack


def invert_upper(matrix: np.ndarray) -> None:
    """Replace the upper triangle of a symmetric matrix by that of its inverse, by Cholesky.

    Args:
        matrix: float32 [n, n], in C order, perhaps a part of a larger one; its lower triangle is
            not read and not changed.

    Raises:
        ArithmeticError: the matrix is not positive definite.
    """
    row, column = matrix.strides
    if matrix.dtype != np.float32 or column != matrix.itemsize or row % column:
        raise TypeError("the matrix must be float32, and the columns of a row one after another")
    order, rows_apart = ctypes.c_int(matrix.shape[0]), ctypes.c_int(row // column)
    failed = ctypes.c_int()
    for step in _FACTOR, _INVERT:
        # LAPACK stores matrices by column, so it takes this triangle for the lower one.
        step(b"L", order, matrix.ctypes.data, rows_apart, failed)
        if failed.value:
            raise ArithmeticError(f"the matrix has no inverse: LAPACK returned {failed.value}")


def _function(name: str) -> Any:
    """A function of LAPACK that takes a triangle, the order, the matrix, its stride, the status."""
    functions: Any = cython_lapack.__pyx_capi__
    capsule = functions[name]
    python = ctypes.pythonapi
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    address = python.PyCapsule_GetPointer(capsule, python.PyCapsule_GetName(capsule))
    integer = ctypes.POINTER(ctypes.c_int)
    takes = ctypes.c_char_p, integer, ctypes.c_void_p, integer, integer
    return ctypes.CFUNCTYPE(None, *takes)(address)


_FACTOR, _INVERT = _function("spotrf"), _function("spotri")
