"""The evidence for neighbours: co-raters and cosine of each pair, looked up in the stored sums."""

import math
from collections.abc import Iterable

import numpy as np

from spark.engine.blocks import Blocks
from spark.engine.pair_sums import BAND_ROWS, KINDS, PairSumStore
from spark.engine.pairs import Pairs, cosine
from spark.engine.top_k import NeighbourLists
from spark.ingest.chunks import split_rows
from spark.runtime.places import places_in
from spark.runtime.threads import in_threads

NO_ROWS = np.empty(0, int)


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
    ranks = [places_in(blocks.ids, each) for each in rows[:2]]
    # As in the cells: the lower block's movie first; on the diagonal the more popular one.
    side = math.ceil(blocks.ids.size / blocks.count)
    both = [rank % blocks.count * side + rank // blocks.count for rank in ranks]
    i, row = np.divmod(np.minimum(*both), side)
    j, column = np.divmod(np.maximum(*both), side)
    bands = math.ceil(side / BAND_ROWS)
    band_of = (i * blocks.count + j) * bands + row // BAND_ROWS
    in_band = dict(split_rows(band_of, blocks.count**2 * bands))
    sums = {kind: np.zeros(rows.movies.size, np.int32) for kind in KINDS}

    def fill(cell: tuple[int, int]) -> None:
        first = (cell[0] * blocks.count + cell[1]) * bands
        for kind in kinds:
            for number, (down, right, band) in enumerate(store.read(kind, blocks, *cell), first):
                mine = in_band.get(number, NO_ROWS)
                sums[kind][mine] = band[row[mine] - down.start, column[mine] - right.start]

    list(in_threads(fill, store.cells(blocks)))
    raters, squares = (
        (of_movie[ranks[0]], of_movie[ranks[1]])
        for of_movie in (blocks.raters.astype(float), blocks.squares.astype(float))
    )
    return Pairs(**sums, raters=raters, squares=squares)


def with_evidence(rows: NeighbourLists, pairs: Pairs) -> NeighbourLists:
    """The same neighbours with co-raters and cosine.

    Args:
        rows: the neighbours.
        pairs: of each row, from `stored_pairs`.
    """
    return rows._replace(co_raters=pairs.n, cosines=cosine(pairs))
