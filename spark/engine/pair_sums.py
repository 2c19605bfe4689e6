"""The files in which cells leave their sums: small for what they hold, one for each kind of sum.

Most sums are small, those of seldom rated movies tiny: a band of rows has 16 bits where these are
enough. On the diagonal what lies left of a band is empty, and is left out.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from spark.storage import read, replacing

KINDS = "n", "xy", "xx", "yy"  # as in the second dimension of a cell's sums
BAND_ROWS = 256  # which a cache holds, of one kind


class SumsError(Exception):
    """A file of sums is not what its cell has left: zeros in their place would be wrong."""


def write_sums(sums: np.ndarray, shape: tuple[int, int], same: bool, uri: str) -> None:
    """Write the sums of a cell's first row and column movies; they replace what is there.

    Args:
        sums: from `kernel.add_pairs`.
        shape: how many row movies and how many column movies.
        same: whether both are the same: a cell on the diagonal.
        uri: absolute, what the files' names begin with.
    """
    rows, columns = shape
    for place, kind in enumerate(KINDS):
        with replacing(f"{uri}.{kind}") as stream:
            for row in range(0, rows, BAND_ROWS):
                band = sums[row : min(row + BAND_ROWS, rows), place, row if same else 0 : columns]
                is_small = band.max(initial=0) <= np.iinfo(np.uint16).max
                narrow = band.astype(np.uint16 if is_small else np.int32, order="C")
                pa.ipc.write_tensor(pa.Tensor.from_numpy(narrow), stream)


def read_sums(
    uri: str, kind: str, shape: tuple[int, int], same: bool
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """What `write_sums` has written of one kind, a band at a time.

    Args:
        uri: see `write_sums`.
        kind: one of KINDS.
        shape: see `write_sums`.
        same: see `write_sums`.

    Yields:
        Which row movies and which column movies, and their sums, uint16 or int32 [rows, columns].

    Raises:
        SumsError: the file ends too early or too late, or is of another shape.
    """
    name = f"{uri}.{kind}"
    content = pa.BufferReader(read(name))
    rows, columns = shape
    for row in range(0, rows, BAND_ROWS):
        down, right = slice(row, min(row + BAND_ROWS, rows)), slice(row if same else 0, columns)
        wanted = down.stop - down.start, right.stop - right.start
        try:
            band = pa.ipc.read_tensor(content).to_numpy()
        except (pa.ArrowException, OSError) as error:
            raise SumsError(f"{name} ends in row {row} of {rows}: {error}") from error
        if band.shape != wanted:
            raise SumsError(f"{name} has {band.shape} sums from row {row}, not {wanted}")
        yield down, right, band
    if content.tell() < content.size():
        raise SumsError(f"{name} goes on after its {rows} rows")
