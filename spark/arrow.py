"""Makes Arrow arrays without pandas.

`pyarrow.array` and `pyarrow.scalar` first import pandas where it is installed. That takes a worker
half a second, and the job needs none of it.
"""

import numpy as np
import pyarrow as pa


def numbers(values: np.ndarray, are_null: np.ndarray | None = None) -> pa.Array:
    """Numbers as an Arrow array, without a copy.

    Args:
        values: of one dimension.
        are_null: bool, which of them are missing; None for none.
    """
    known = None if are_null is None else pa.py_buffer(np.packbits(~are_null, bitorder="little"))
    content = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [known, content])
