"""Files with the sums of a cell, one per kind of sum, for measures that need sums as a whole.

Most sums are small, and those of rarely rated movies are tiny: a band of rows uses 16 bits where
these are enough. On the diagonal, the empty part to the left of a band is left out.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark.engine.blocks import Blocks, cell_name
from spark.storage import child, list_files, read, replacing

KINDS = "n", "xy", "xx", "yy"  # the order of the second dimension of a cell's sums
BAND_ROWS = 256  # one kind of these fits into a cache

type Band = tuple[slice, slice, np.ndarray]


class SumsError(Exception):
    """A file of sums is not what its cell wrote. Zeros in its place would give wrong results."""


class PairSumStore(NamedTuple):
    """The folder to which cells write the sums of the most popular movies.

    Attributes:
        folder: absolute URI.
        limit: how many of the most popular movies; 0 to write nothing.
    """

    folder: str
    limit: int

    def shape(self, blocks: Blocks, i: int, j: int) -> tuple[int, int]:
        """How many row movies and how many column movies of a cell are stored."""
        return blocks.popular(i, self.limit), blocks.popular(j, self.limit)

    def write(self, sums: np.ndarray, blocks: Blocks, i: int, j: int) -> None:
        """Write the sums of a cell."""
        uri = child(self.folder, cell_name(i, j))
        write_sums(sums, self.shape(blocks, i, j), i == j, uri)

    def cells(self, blocks: Blocks) -> Iterator[tuple[int, int]]:
        """The cells that wrote sums; the others have no pairs."""
        stored = list_files(self.folder)
        for i, j in blocks.cells:
            if f"{cell_name(i, j)}.{KINDS[0]}" in stored:
                yield i, j

    def read(self, kind: str, blocks: Blocks, i: int, j: int) -> Iterator[Band]:
        """Read one kind of sums of a cell; see `read_sums`."""
        uri = child(self.folder, cell_name(i, j))
        return read_sums(uri, kind, self.shape(blocks, i, j), i == j)


NO_STORE = PairSumStore("", 0)


def write_sums(sums: np.ndarray, shape: tuple[int, int], same: bool, uri: str) -> None:
    """Write the sums of a cell's first row and column movies; existing files are replaced.

    Args:
        sums: from `kernel.add_pairs`.
        shape: how many row movies and how many column movies.
        same: whether both are the same movies: a cell on the diagonal.
        uri: absolute, without the kind, which is appended to the name.
    """
    rows, columns = shape
    for place, kind in enumerate(KINDS):
        with replacing(f"{uri}.{kind}") as stream:
            for row in range(0, rows, BAND_ROWS):
                band = sums[row : min(row + BAND_ROWS, rows), place, row if same else 0 : columns]
                is_small = band.max(initial=0) <= np.iinfo(np.uint16).max
                narrow = band.astype(np.uint16 if is_small else np.int32, order="C")
                pa.ipc.write_tensor(pa.Tensor.from_numpy(narrow), stream)


def read_sums(uri: str, kind: str, shape: tuple[int, int], same: bool) -> Iterator[Band]:
    """Read what `write_sums` wrote of one kind, band by band.

    Args:
        uri: see `write_sums`.
        kind: one of KINDS.
        shape: see `write_sums`.
        same: see `write_sums`.

    Yields:
        The range of row movies, the range of column movies, and their sums, uint16 or int32 [rows,
        columns].

    Raises:
        SumsError: the file is too short or too long, or has another shape.
    """
    name = f"{uri}.{kind}"
    content = pa.BufferReader(read(name))
    rows, columns = shape
    for row in range(0, rows, BAND_ROWS):
        down, right = slice(row, min(row + BAND_ROWS, rows)), slice(row if same else 0, columns)
        expected = down.stop - down.start, right.stop - right.start
        try:
            band = pa.ipc.read_tensor(content).to_numpy()
        except (pa.ArrowException, OSError) as error:
            raise SumsError(f"{name} ends in row {row} of {rows}: {error}") from error
        if band.shape != expected:
            raise SumsError(f"{name} has {band.shape} sums from row {row}, not {expected}")
        yield down, right, band
    if content.tell() < content.size():
        raise SumsError(f"{name} goes on after its {rows} rows")
