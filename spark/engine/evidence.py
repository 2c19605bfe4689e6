"""The evidence for neighbours: co-raters and cosine of each pair, looked up in the stored sums."""

import math
from collections.abc import Iterable

import numpy as np

from spark.engine.blocks import Blocks
from spark.engine.pair_sums import KINDS, PairSumStore
from spark.engine.pairs import Pairs, cosine
from spark.engine.top_k import NeighbourLists
from spark.runtime.threads import in_threads


def stored_pairs(
    rows: NeighbourLists, blocks: Blocks, store: PairSumStore, kinds: Iterable[str] = KINDS
) -> Pairs:
    """The sums of pairs that were found outside the cells.

    Args:
        rows: among the `store.limit` most popular movies; only their first two columns are used.
        blocks: of the movies that were compared.
        store: to which the cells wrote their sums.
        kinds: of sums, to read; the others stay 0.

    Returns:
        The sums of each row, all [rows]; either of `xx` and `yy` may be the movie's own.
    """
    by_id = np.argsort(blocks.ids)
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
    sums = {kind: np.zeros(rows.movies.size, np.int32) for kind in KINDS}

    def fill(cell: tuple[int, int]) -> None:
        in_cell = np.flatnonzero((i == cell[0]) & (j == cell[1]))
        for kind in kinds:
            for down, right, band in store.read(kind, blocks, *cell):
                in_band = in_cell[(row[in_cell] >= down.start) & (row[in_cell] < down.stop)]
                sums[kind][in_band] = band[row[in_band] - down.start, column[in_band] - right.start]

    list(in_threads(fill, store.cells(blocks)))
    raters, squares = (each[rank].astype(float) for each in (blocks.raters, blocks.squares))
    return Pairs(**sums, raters=(raters[0], raters[1]), squares=(squares[0], squares[1]))


def with_evidence(rows: NeighbourLists, pairs: Pairs) -> NeighbourLists:
    """The same neighbours with co-raters and cosine.

    Args:
        rows: the neighbours.
        pairs: of each row, from `stored_pairs`.
    """
    return rows._replace(co_raters=pairs.n, cosines=cosine(pairs))
