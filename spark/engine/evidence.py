"""The evidence for neighbours: co-raters and cosine of each pair, looked up in the stored sums."""

import math
from collections.abc import Sequence

import numpy as np

from spark.engine.blocks import Blocks
from spark.engine.pair_sums import KINDS, PairSumStore
from spark.engine.pairs import Pairs, cosine
from spark.engine.top_k import NeighbourLists, concatenate
from spark.runtime.threads import in_threads


def attach_evidence(
    found: Sequence[NeighbourLists], blocks: Blocks, store: PairSumStore
) -> NeighbourLists:
    """Fill in co-raters and cosine of neighbours that were not found in cells.

    Args:
        found: neighbours by one measure, among the `store.limit` most popular movies. Their last
            two columns are ignored.
        blocks: of the movies that were compared.
        store: to which the cells wrote their sums.

    Returns:
        All neighbours, by movie; the order within a movie is unchanged.
    """
    rows, by_id = concatenate(found), np.argsort(blocks.ids)
    rank = np.stack(
        [
            by_id[np.searchsorted(blocks.ids, ids, sorter=by_id)]
            for ids in (rows.movies, rows.neighbours)
        ]
    )
    # As in the cells: the lower block's movie first; on the diagonal the more popular one.
    side = math.ceil(blocks.ids.size / blocks.count)
    pairs = np.sort(rank % blocks.count * side + rank // blocks.count, axis=0)
    (i, j), (row, column) = np.divmod(pairs, side)
    sums = np.zeros((len(KINDS), rows.movies.size), np.int32)

    def fill(cell: tuple[int, int]) -> None:
        in_cell = np.flatnonzero((i == cell[0]) & (j == cell[1]))
        for kind, into in zip(KINDS, sums, strict=True):
            for down, right, band in store.read(kind, blocks, *cell):
                in_band = in_cell[(row[in_cell] >= down.start) & (row[in_cell] < down.stop)]
                into[in_band] = band[row[in_band] - down.start, column[in_band] - right.start]

    list(in_threads(fill, store.cells(blocks)))
    n, xy, xx, yy = sums
    with np.errstate(invalid="ignore"):
        return rows._replace(co_raters=n, cosines=cosine(Pairs(n, xy, xx, yy, (n, n), (n, n))))
